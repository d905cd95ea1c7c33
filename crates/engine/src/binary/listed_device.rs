//! The devices that an engine lists: those that it was built for and that its drivers reach.

const MIB: u64 = 1 << 20;

/// One listed device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// The engine's own name for it, such as `CUDA0` or `Vulkan1`, which its `--device` takes.
    pub name: String,
    /// The product's name, as the driver reports it.
    pub description: String,
    /// Its whole memory, in bytes; drivers differ by some hundred MiB.
    pub total: Option<u64>,
}

impl ListedDevice {
    /// Parses the output of `--list-devices`; `None` where that is no list.
    pub(crate) fn parse(text: &str) -> Option<Vec<ListedDevice>> {
        let (_, list) = text.split_once("Available devices:")?;
        // Messages of drivers are indented too, and follow the list, from the other pipe.
        let lines = list.lines().skip(1).map_while(|line| line.strip_prefix("  "));
        Some(lines.filter_map(|line| line.split_once(": ")).map(|(name, rest)| Self::of(name, rest)).collect())
    }

    fn of(name: &str, rest: &str) -> ListedDevice {
        let (description, memory) = rest.rsplit_once(" (").unwrap_or((rest, ""));
        let total = memory.split_once(" MiB").and_then(|(total, _)| total.parse::<u64>().ok()?.checked_mul(MIB));
        ListedDevice { name: name.to_owned(), description: description.to_owned(), total }
    }

    /// The engine's name without its number: `CUDA`, `ROCm`, `Vulkan`, `MTL`.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.name.trim_end_matches(|sign: char| sign.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parsed() {
        let text = "warning: something\nAvailable devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143260 MiB free)\n  \
                    Vulkan1: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)\n";
        let [card, other] = ListedDevice::parse(text).unwrap().try_into().unwrap();
        assert_eq!((card.backend(), &*card.description, card.total), ("CUDA", "NVIDIA H200", Some(143_771 * MIB)));
        assert_eq!((&*other.name, &*other.description), ("Vulkan1", "AMD Radeon RX 7900 XTX (RADV NAVI31)"));
    }

    #[test]
    fn a_message_of_a_driver_after_the_list_is_no_device() {
        let text = "Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143260 MiB free)\n\
                    ggml_cuda_init: found 1 CUDA devices:\n  Device 0: NVIDIA H200, compute capability 9.0, VMM: yes\n";
        let names: Vec<String> = ListedDevice::parse(text).unwrap().into_iter().map(|listed| listed.name).collect();
        assert_eq!(names, ["CUDA0"]);
    }

    #[test]
    fn an_empty_list_differs_from_no_list() {
        assert_eq!(ListedDevice::parse("Available devices:\n  (none)\n"), Some(Vec::new()));
        assert_eq!(ListedDevice::parse("Available devices:\n"), Some(Vec::new()));
        assert_eq!(ListedDevice::parse("error: invalid argument: --list-devices\n"), None);
        let odd = ListedDevice::parse("Available devices:\n  CUDA0: a card (many MiB)\n  CUDA1: b\n").unwrap();
        assert_eq!(odd.iter().map(|listed| listed.total).collect::<Vec<_>>(), [None, None]);
    }
}
