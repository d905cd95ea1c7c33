//! What an engine is told so that it lies where it was planned.

use auxot_gpu::Mask;

use super::{Placement, Share, Split};

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
        if let Some(names) = self.names() {
            arguments.extend(["--device".to_owned(), names.join(",")]);
        }
        match (self.split, self.shares.len()) {
            (Split::Host, _) | (_, 0) => arguments.extend(words(&["--device", "none"])),
            (_, 1) => arguments.extend(words(&["--split-mode", "none", "--main-gpu", "0"])),
            (Split::Tensor, _) => {
                arguments.extend(words(&["--split-mode", "tensor", "--tensor-split"]));
                // In MiB: what counts is the proportion.
                let part = |share: &Share| ((share.weights + share.cache) >> 20).max(1).to_string();
                let parts: Vec<String> = self.in_the_engines_order().map(part).collect();
                arguments.push(parts.join(","));
            }
            (Split::Whole | Split::Layers | Split::Partial | Split::Engine, _) => {
                arguments.extend(words(&["--split-mode", "layer", "--tensor-split"]));
                let parts: Vec<String> =
                    self.in_the_engines_order().map(|share| share.layers.len().to_string()).collect();
                arguments.push(parts.join(","));
            }
        }
        arguments
    }

    /// The engine's names for its devices, where it is to be told any: of those that it is shown by a variable it sees no
    /// other, and counts them.
    fn names(&self) -> Option<Vec<String>> {
        self.shares.iter().any(|share| matches!(share.mask, Mask::Named(_))).then_some(())?;
        let (mut cuda, mut rocm) = (0.., 0..);
        let shares = self.in_the_engines_order().map(|share| match &share.mask {
            Mask::Named(name) => Some(name.to_string()),
            Mask::Cuda => cuda.next().map(|at: usize| format!("CUDA{at}")),
            Mask::Rocr(_) => rocm.next().map(|at: usize| format!("ROCm{at}")),
            Mask::None => None,
        });
        shares.collect()
    }

    /// All of NVIDIA's before all of AMD's, and among themselves as the variables name them.
    pub(crate) fn in_the_engines_order(&self) -> impl Iterator<Item = &Share> {
        let of = |cuda: bool| self.shares.iter().filter(move |share| (share.mask == Mask::Cuda) == cuda);
        of(true).chain(of(false))
    }

    /// The variables that show an engine its own devices and no other, in the order of the shares: an index in its
    /// arguments counts what it sees. None at all where a device has no name that its driver would take, or where all go by
    /// the engine's own names.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let nameless = self.shares.iter().any(|share| share.mask == Mask::None);
        let all_named = !self.shares.is_empty() && self.shares.iter().all(|share| matches!(share.mask, Mask::Named(_)));
        if nameless || all_named || self.split == Split::Engine {
            return Vec::new();
        }
        let cuda = self.shares.iter().filter(|share| share.mask == Mask::Cuda).map(|share| share.device.as_str());
        let rocr: Vec<&str> = self.shares.iter().filter_map(|share| rocr_word(&share.mask)).collect();
        let mut variables = vec![("CUDA_VISIBLE_DEVICES", cuda.collect::<Vec<_>>().join(","))];
        variables.push(("ROCR_VISIBLE_DEVICES", rocr.join(",")));
        if !rocr.is_empty() {
            // Without one of its own HIP takes CUDA's variable for its own, and counts what is left by the other.
            let all: Vec<String> = (0..rocr.len()).map(|at| at.to_string()).collect();
            variables.push(("HIP_VISIBLE_DEVICES", all.join(",")));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn rocr_word(mask: &Mask) -> Option<&str> {
    match mask {
        Mask::Rocr(word) => Some(word),
        Mask::Cuda | Mask::Named(_) | Mask::None => None,
    }
}
