//! What one process holds of the host's memory, and which processes are children of this one.

#[cfg(any(test, not(target_os = "linux")))]
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::device::ProcessUse;

/// What a process holds of the host's memory now; unknown where the system does not say, or the process is gone.
///
/// Pages of a mapped model file count as well: they are in memory because of this process.
#[must_use]
#[cfg(target_os = "linux")]
pub fn host_use(pid: u32) -> ProcessUse {
    linux::host_use(std::path::Path::new("/proc"), pid)
}

/// What a process holds of the host's memory now; unknown where the system does not say, or the process is gone.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn host_use(pid: u32) -> ProcessUse {
    let Ok(mut system) = System::new() else { return ProcessUse::on_device(pid, None) };
    let process = Pid::from_u32(pid);
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), true, memory);
    ProcessUse::on_device(pid, system.process(process).and_then(|process| read(process.memory())))
}

/// sysinfo gives zero for a reading that failed.
#[cfg(any(test, not(target_os = "linux")))]
fn read(bytes: u64) -> Option<u64> {
    (bytes > 0).then_some(bytes)
}

/// What the children of a process hold of the host's memory, on systems that do not list children: all processes are
/// searched.
#[cfg(any(test, not(target_os = "linux")))]
pub(crate) fn held_by_children(parent: u32) -> Vec<ProcessUse> {
    let Ok(mut system) = System::new() else { return Vec::new() };
    let memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, memory);
    let children = system.processes().values().filter(|process| process.parent() == Some(Pid::from_u32(parent)));
    let mut children: Vec<ProcessUse> =
        children.map(|child| ProcessUse::on_device(child.pid().as_u32(), read(child.memory()))).collect();
    children.sort_by_key(|child| child.pid);
    children
}

#[cfg(target_os = "linux")]
pub(crate) mod linux {
    //! Read from the files of one process. `sysinfo` would walk all processes, in 15 ms.

    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use crate::device::ProcessUse;

    /// What a process holds of the host's memory; nothing is known of one that is gone or on its way out.
    pub(crate) fn host_use(proc_root: &Path, pid: u32) -> ProcessUse {
        let status = fs::read_to_string(proc_root.join(pid.to_string()).join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
            kibibytes.checked_mul(1024)
        };
        // Pages that are locked are not among what the kernel calls available.
        let locked = field("VmLck:").unwrap_or(0);
        let mapped = field("RssFile:").map(|bytes| bytes.saturating_sub(locked));
        ProcessUse { pid, bytes: field("VmRSS:"), mapped }
    }

    /// All processes below this one, whichever of its threads started them: an engine may be started by a script.
    pub(crate) fn descendants(proc_root: &Path) -> Vec<u32> {
        let (mut found, mut open) = (BTreeSet::new(), children(proc_root, "self"));
        while let Some(pid) = open.pop() {
            if found.insert(pid) {
                open.extend(children(proc_root, &pid.to_string()));
            }
        }
        found.into_iter().collect()
    }

    fn children(proc_root: &Path, process: &str) -> Vec<u32> {
        let Ok(threads) = fs::read_dir(proc_root.join(process).join("task")) else { return Vec::new() };
        let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
            .collect()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_own_memory_is_known_and_that_of_no_process_is_not() {
            let own = crate::host_use(std::process::id()).bytes.unwrap();
            assert!(own > 100 << 10, "{own}");
            assert_eq!(crate::host_use(u32::MAX), ProcessUse::on_device(u32::MAX, None));
        }

        #[test]
        fn a_child_is_found_while_it_lives() {
            let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
            assert!(descendants(Path::new("/proc")).contains(&child.id()));
            let walked = super::super::held_by_children(std::process::id());
            let found = walked.iter().find(|held| held.pid == child.id()).unwrap();
            assert!(found.bytes.is_some_and(|bytes| bytes > 0), "{found:?}");
            drop(child.stdin.take());
            child.wait().unwrap();
            assert!(!descendants(Path::new("/proc")).contains(&child.id()));
        }

        #[test]
        fn a_child_of_a_script_is_a_descendant_too() {
            let root = tempfile::tempdir().unwrap();
            let put = |process: &str, thread: &str, children: &str| {
                let folder = root.path().join(process).join("task").join(thread);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("children"), children).unwrap();
            };
            put("self", "1", "8 7 ");
            put("self", "2", "9 ");
            put("8", "8", "10 ");
            put("10", "11", "12 ");
            assert_eq!(descendants(root.path()), [7, 8, 9, 10, 12]);
        }

        #[test]
        fn a_status_without_memory_is_unknown() {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("7")).unwrap();
            fs::write(root.path().join("7/status"), "Name:\tkthreadd\n").unwrap();
            assert_eq!(host_use(root.path(), 7).bytes, None);
            fs::write(root.path().join("7/status"), "Name:\tx\nVmRSS:\t    2048 kB\n").unwrap();
            assert_eq!(host_use(root.path(), 7).bytes, Some(2 << 20));
        }
    }
}
