//! The arguments and variables that make an engine use its planned place.

use auxot_gpu::DeviceSelector;

use super::{Placement, Share, Split};

impl Placement {
    /// The engine's arguments: always all of them, because each one's default depends on the others. Where the engine
    /// decides, none but its devices, if those go by name or there is none that it may use.
    ///
    /// The engine gives layer `i` of `n` to the device whose part of the split has `i / n`, so that with the numbers of
    /// layers as the split every device gets exactly its own.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let names = self.names().map(|names| vec!["--device".to_owned(), names.join(",")]).unwrap_or_default();
        if self.split == Split::Engine {
            let none = self.shown.as_ref().is_some_and(Vec::is_empty);
            return if none { words(&["--device", "none"]) } else { names };
        }
        let mut arguments = words(&["--n-gpu-layers"]);
        arguments.push(self.offloaded.to_string());
        arguments.extend(names);
        match (self.split, self.shares.len()) {
            (Split::Host, _) | (_, 0) => arguments.extend(words(&["--device", "none"])),
            (_, 1) => arguments.extend(words(&["--split-mode", "none", "--main-gpu", "0"])),
            (Split::Tensor, _) => {
                arguments.extend(words(&["--split-mode", "tensor", "--tensor-split"]));
                // In MiB: only the proportion counts.
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

    /// The devices that the engine sees, and how, in its order; `None` where they are not restricted.
    fn visible(&self) -> Option<Vec<(&str, &DeviceSelector)>> {
        let mut visible: Vec<(&str, &DeviceSelector)> = match self.split {
            Split::Engine => self.shown.as_ref()?.iter().map(|shown| (&*shown.device, &shown.selector)).collect(),
            _ => self.shares.iter().map(|share| (&*share.device, &share.selector)).collect(),
        };
        visible.sort_by_key(|(_, selector)| is_later(selector));
        Some(visible)
    }

    /// The engine's names for its devices, where its arguments need them: of those that a variable selects it sees no
    /// other, and counts them.
    fn names(&self) -> Option<Vec<String>> {
        let visible = self.visible()?;
        visible.iter().any(|(_, selector)| matches!(selector, DeviceSelector::Named(_))).then_some(())?;
        let (mut cuda, mut rocm) = (0.., 0..);
        let names = visible.into_iter().map(|(_, selector)| match selector {
            DeviceSelector::Named(name) => Some(name.to_string()),
            DeviceSelector::Cuda => cuda.next().map(|at: usize| format!("CUDA{at}")),
            DeviceSelector::Rocr(_) => rocm.next().map(|at: usize| format!("ROCm{at}")),
            DeviceSelector::None => None,
        });
        names.collect()
    }

    /// All of NVIDIA's before all of AMD's, each in the order of their variable.
    pub fn in_the_engines_order(&self) -> impl Iterator<Item = &Share> {
        let of = |later: bool| self.shares.iter().filter(move |share| is_later(&share.selector) == later);
        of(false).chain(of(true))
    }

    /// The variables that restrict an engine to its own devices, in the order of the shares: an index in its arguments
    /// counts the visible ones. None at all where a device has no name for its driver, or where all go by the engine's
    /// own names.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let Some(visible) = self.visible() else { return Vec::new() };
        let nameless = visible.iter().any(|(_, selector)| **selector == DeviceSelector::None);
        let all_named =
            !visible.is_empty() && visible.iter().all(|(_, selector)| matches!(selector, DeviceSelector::Named(_)));
        if nameless || all_named {
            return Vec::new();
        }
        let cuda = visible.iter().filter(|(_, selector)| **selector == DeviceSelector::Cuda).map(|(device, _)| *device);
        let rocr: Vec<&str> = visible.iter().filter_map(|(_, selector)| rocr_word(selector)).collect();
        let mut variables = vec![("CUDA_VISIBLE_DEVICES", cuda.collect::<Vec<_>>().join(","))];
        variables.push(("ROCR_VISIBLE_DEVICES", rocr.join(",")));
        if !rocr.is_empty() {
            // Without a variable of its own HIP uses CUDA's, and counts what that leaves.
            let all: Vec<String> = (0..rocr.len()).map(|at| at.to_string()).collect();
            variables.push(("HIP_VISIBLE_DEVICES", all.join(",")));
        }
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether the engine lists it after all of NVIDIA's.
fn is_later(selector: &DeviceSelector) -> bool {
    *selector != DeviceSelector::Cuda
}

fn rocr_word(selector: &DeviceSelector) -> Option<&str> {
    match selector {
        DeviceSelector::Rocr(word) => Some(word),
        DeviceSelector::Cuda | DeviceSelector::Named(_) | DeviceSelector::None => None,
    }
}
