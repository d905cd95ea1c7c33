//! What an engine is told so that it lies where it was planned.

use super::{Placement, Split};

impl Placement {
    /// The engine's arguments: always all of them, because each one's default depends on the others, or
    /// none where it is left to the engine.
    ///
    /// The engine gives layer `i` of `n` to the device in whose part of the split `i / n` lies, so that with the numbers
    /// of layers as the split every device gets exactly its own.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        if self.split == Split::Engine {
            return Vec::new();
        }
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut arguments = words(&["--n-gpu-layers"]);
        arguments.push(self.offloaded.to_string());
        match (self.split, self.shares.len()) {
            (Split::Host, _) | (_, 0) => arguments.extend(words(&["--device", "none"])),
            (_, 1) => arguments.extend(words(&["--split-mode", "none", "--main-gpu", "0"])),
            (Split::Tensor, _) => {
                arguments.extend(words(&["--split-mode", "tensor", "--tensor-split"]));
                // In MiB: what counts is the proportion.
                let parts: Vec<String> =
                    self.shares.iter().map(|share| ((share.weights + share.cache) >> 20).max(1).to_string()).collect();
                arguments.push(parts.join(","));
            }
            (Split::Whole | Split::Layers | Split::Partial | Split::Engine, _) => {
                arguments.extend(words(&["--split-mode", "layer", "--tensor-split"]));
                let parts: Vec<String> = self.shares.iter().map(|share| share.layers.len().to_string()).collect();
                arguments.push(parts.join(","));
            }
        }
        arguments
    }

    /// The variables that show an engine its own devices and no other, where the devices are NVIDIA's. Their ids are what
    /// the driver itself takes; a PCI address, which is what other devices have, is nothing a driver could be told.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        if self.split == Split::Engine {
            return Vec::new();
        }
        let ids: Vec<&str> = self.shares.iter().map(|share| share.device.as_str()).collect();
        if ids.iter().all(|id| id.starts_with("GPU-") || id.starts_with("MIG-")) {
            vec![("CUDA_VISIBLE_DEVICES".to_owned(), ids.join(","))]
        } else {
            Vec::new()
        }
    }
}
