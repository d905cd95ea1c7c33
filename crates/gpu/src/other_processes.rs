//! Notices when other processes hold much more or much less of a device than before.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::device::{Device, Kind};

/// A smaller change is not reported, in bytes.
const MUCH: u64 = 1 << 30;
/// After a child was started or has ended, its memory has no known owner for a moment: the driver frees it later than
/// the kernel removes the process.
const SETTLE: Duration = Duration::from_secs(2);
/// The name of the first namespace of processes, the same on every Linux.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// What other processes held at the last report.
#[derive(Debug, Default)]
pub(crate) struct OtherProcesses {
    reported: BTreeMap<String, u64>,
    ours: Vec<u32>,
    quiet_until: Option<Instant>,
}

/// Bytes of a device that other processes hold, before and now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl OtherProcesses {
    /// What has changed much since the last report. `ours` are the children of this process, in order; each of the
    /// devices knows them by the same numbers.
    pub(crate) fn changes<'a>(
        &mut self,
        devices: impl IntoIterator<Item = &'a Device>,
        ours: &[u32],
        now: Instant,
    ) -> Vec<Change> {
        if self.ours != ours {
            self.ours = ours.to_vec();
            self.quiet_until = Some(now + SETTLE);
        }
        let quiet = self.quiet_until.is_some_and(|until| now < until);
        let is_ours = |pid: u32| self.ours.binary_search(&pid).is_ok();
        let mut changes = Vec::new();
        for device in devices {
            let Some(to) = device.held_by_others(is_ours) else { continue };
            // What other processes held at the first sample is no change.
            let from = *self.reported.entry(device.id.clone()).or_insert(to);
            if !quiet && from.abs_diff(to) > MUCH {
                self.reported.insert(device.id.clone(), to);
                changes.push(Change { id: device.id.clone(), from, to });
            }
        }
        changes
    }
}

/// Whether the device's driver names the children of this process by the same numbers. NVIDIA's counts processes as the
/// host does, so in a container with a process namespace of its own they look like other processes; and in some virtual
/// machines it names none. For AMD each child's own files say what it holds.
pub(crate) fn knows_ours(device: &Device, proc_root: &Path) -> bool {
    let elsewhere =
        || std::fs::read_link(proc_root.join("self/ns/pid")).is_ok_and(|own| own != Path::new(FIRST_NAMESPACE));
    device.kind != Kind::Nvidia || (!device.processes.is_empty() && !elsewhere())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::ProcessUse;

    fn card(id: &str, used: Option<u64>, ours: &[(u32, u64)]) -> Device {
        let processes = ours.iter().map(|(pid, gib)| ProcessUse::on_device(*pid, Some(gib << 30))).collect();
        let used = used.map(|gib| gib << 30);
        Device { used, processes, ..Device::unread(Kind::Nvidia, id.into(), id.into()) }
    }

    #[test]
    fn another_process_that_grows_is_reported_once_and_once_when_it_shrinks() {
        let mut other_processes = OtherProcesses::default();
        let now = Instant::now();
        let mut sample = |a, b| {
            let changes = other_processes.changes(&[card("a", a, &[]), card("b", b, &[])], &[], now);
            changes.into_iter().map(|change| (change.id, change.from >> 30, change.to >> 30)).collect::<Vec<_>>()
        };
        assert_eq!(sample(Some(5), None), [], "the first sample is no change");
        assert_eq!(sample(Some(6), Some(9)), [], "not more than a GiB");
        assert_eq!(sample(Some(7), Some(9)), [("a".into(), 5, 7)]);
        assert_eq!(sample(Some(7), None), []);
        assert_eq!(sample(Some(8), Some(1)), [("b".into(), 9, 1)]);
        assert_eq!(sample(Some(9), Some(1)), [("a".into(), 7, 9)], "since the last report");
    }

    #[test]
    fn what_is_ours_comes_and_goes_unsaid() {
        let mut other_processes = OtherProcesses::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        // A child that was only asked for its version.
        assert_eq!(other_processes.changes(&[card("a", Some(2), &[])], &[5], at(0)), []);
        // Loading: the whole shows more than the driver has put to its name.
        assert_eq!(other_processes.changes(&[card("a", Some(9), &[(7, 3)])], &[7], at(5)), []);
        assert_eq!(other_processes.changes(&[card("a", Some(22), &[(7, 20)])], &[7], at(10)), []);
        // Gone, and not freed yet.
        assert_eq!(other_processes.changes(&[card("a", Some(22), &[])], &[], at(15)), []);
        assert_eq!(other_processes.changes(&[card("a", Some(2), &[])], &[], at(20)), []);
        let change = other_processes.changes(&[card("a", Some(12), &[])], &[], at(25));
        assert_eq!(change, [Change { id: "a".into(), from: 2 << 30, to: 12 << 30 }]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn in_a_container_s_own_numbers_nvidia_s_driver_does_not_know_us() {
        let root = tempfile::tempdir().unwrap();
        let nvidia = card("a", Some(1), &[(7, 1)]);
        let amd = Device { kind: Kind::Amd, ..nvidia.clone() };
        assert!(knows_ours(&nvidia, root.path()) && !knows_ours(&card("a", Some(1), &[]), root.path()));
        std::fs::create_dir_all(root.path().join("self/ns")).unwrap();
        std::os::unix::fs::symlink("pid:[4026532741]", root.path().join("self/ns/pid")).unwrap();
        assert!(!knows_ours(&nvidia, root.path()) && knows_ours(&amd, root.path()));
    }
}
