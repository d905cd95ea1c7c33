//! What a process holds on each amdgpu device, from the notes that the kernel keeps beside each open file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Bytes of one process on one device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// In the card's own memory; None where the driver does not say.
    pub(crate) vram: Option<u64>,
    /// In host memory that the card can reach.
    pub(crate) gtt: Option<u64>,
}

/// What a process holds, by PCI address of the device.
pub(crate) fn held(proc_root: &Path, pid: u32) -> BTreeMap<String, Held> {
    let process = proc_root.join(pid.to_string());
    let mut devices: BTreeMap<String, Held> = BTreeMap::new();
    let mut counted = BTreeSet::new();
    let Ok(files) = fs::read_dir(process.join("fd")) else { return devices };
    for file in files.filter_map(Result::ok) {
        // A server has hundreds of open files; only those of a graphics device have notes worth reading.
        if !fs::read_link(file.path()).is_ok_and(|target| target.starts_with("/dev/dri")) {
            continue;
        }
        let Ok(text) = fs::read_to_string(process.join("fdinfo").join(file.file_name())) else { continue };
        let Some(note) = Note::parse(&text) else { continue };
        // Several open files may be one client of the driver, and each has the whole sum.
        if counted.insert((note.device.to_string(), note.client.to_string())) {
            let device = devices.entry(note.device.to_string()).or_default();
            device.vram = add(device.vram, note.held.vram);
            device.gtt = add(device.gtt, note.held.gtt);
        }
    }
    devices
}

fn add(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => a.checked_add(b),
        (a, b) => a.or(b),
    }
}

struct Note<'a> {
    device: &'a str,
    client: &'a str,
    held: Held,
}

impl<'a> Note<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let fields: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim())).collect();
        if fields.get("drm-driver") != Some(&"amdgpu") {
            return None;
        }
        // Newer kernels report what is resident; `memory` of older ones counts what was allocated.
        let region = |resident: &str, memory: &str| fields.get(resident).or(fields.get(memory)).and_then(|v| bytes(v));
        Some(Self {
            device: fields.get("drm-pdev")?,
            client: fields.get("drm-client-id")?,
            held: Held {
                vram: region("drm-resident-vram", "drm-memory-vram"),
                gtt: region("drm-resident-gtt", "drm-memory-gtt"),
            },
        })
    }
}

/// A bare number is bytes.
fn bytes(value: &str) -> Option<u64> {
    let (number, unit) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let factor = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("12"), Some(12));
        assert_eq!(bytes("12 KiB"), Some(12 << 10));
        assert_eq!(bytes("12 MiB"), Some(12 << 20));
        assert_eq!(bytes("12 parsecs"), None);
        assert_eq!(bytes("many"), None);
    }

    #[test]
    fn another_driver_s_notes_are_not_ours() {
        assert!(Note::parse("drm-driver:\ti915\ndrm-pdev:\t0\ndrm-client-id:\t1\n").is_none());
        assert!(Note::parse("pos:\t0\n").is_none());
    }
}
