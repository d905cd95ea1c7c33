//! The descendants of a child, also outside of its group, in the background, or behind a script.
//!
//! Each run has a mark, an environment variable that every descendant inherits. So a process can be proved to belong to a
//! run without having been observed at its start. On systems without `/proc` nothing is found.

use std::collections::BTreeSet;
use std::path::Path;

use nix::unistd::Pid;

use crate::host::system::ProcessHandle;

/// The variable; its value is the path of the run's files without their extension.
pub(crate) const MARK: &str = "AUXOT_ENGINE_RUN";
/// A process can start another while it is being killed, so the search is repeated, but not for ever.
const ROUNDS: usize = 8;
const PROC: &str = "/proc";

/// All descendants of a process. A process whose parent has exited is a child of the worker after `adopt_orphans`.
pub(crate) fn below(root: u32) -> Vec<u32> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = open.pop() {
        open.extend(children(Path::new(PROC), pid).into_iter().filter(|child| found.insert(*child)));
    }
    found.into_iter().collect()
}

fn children(proc_root: &Path, pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(proc_root.join(pid.to_string()).join("task"));
    let lists = threads.into_iter().flatten().flatten();
    let lists = lists.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// Kills all descendants of the worker with this mark. Returns how many of them had left the group.
pub(crate) fn end_marked(mark: &str, group: Pid) -> usize {
    let mut left = BTreeSet::new();
    end_all(
        |pid| {
            let is_ours = has_mark(pid, |value| value == mark);
            if is_ours && group_of(pid).is_some_and(|of| of != group) {
                left.insert(pid);
            }
            is_ours
        },
        || below(std::process::id()),
    );
    left.len()
}

/// Kills all processes of this user whose mark starts like this. Returns how many there were beside those `ended` before.
pub(crate) fn end_marked_anywhere(beginning: &str, ended: &[u32]) -> usize {
    let all = || {
        let entries = std::fs::read_dir(PROC).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id())
            .collect()
    };
    end_all(|pid| !ended.contains(&pid) && has_mark(pid, |value| value.starts_with(beginning)), all)
}

/// Makes this process the parent of its descendants whose parent exits, so that they can be found.
pub fn adopt_orphans() {
    // Where the system refuses, what left the tree is still killed by its mark when the next worker starts.
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_child_subreaper(true);
}

/// Kills every descendant of this process, at the end of the program. Returns how many there were.
pub fn end_descendants() -> usize {
    end_all(|_| true, || below(std::process::id()))
}

/// Reaps adopted processes; those for which `own` is true are reaped by their owners.
#[cfg(target_os = "linux")]
pub(crate) fn reap_adopted(own: impl Fn(u32) -> bool) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    for pid in children(Path::new(PROC), std::process::id()).into_iter().filter(|pid| !own(*pid)) {
        if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
            let _still_there = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

fn end_all(mut matches: impl FnMut(u32) -> bool, find: impl Fn() -> Vec<u32>) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..ROUNDS {
        let before = ended.len();
        for pid in find() {
            // The handle comes first, so that the check that follows is of the process that it refers to.
            let Some(process) = ProcessHandle::open(Pid::from_raw(pid.cast_signed())) else { continue };
            if !ended.contains(&pid) && matches(pid) {
                process.kill();
                ended.insert(pid);
            }
        }
        if ended.len() == before {
            break;
        }
    }
    ended.len()
}

fn group_of(pid: u32) -> Option<Pid> {
    nix::unistd::getpgid(Some(Pid::from_raw(pid.cast_signed()))).ok()
}

/// Whether a process has such a mark. A process whose environment cannot be read is not ours: it belongs to another user,
/// or is exiting.
pub(crate) fn has_mark(pid: u32, accepts: impl Fn(&str) -> bool) -> bool {
    let Ok(environment) = std::fs::read(format!("{PROC}/{pid}/environ")) else { return false };
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
    variables.any(|variable| variable.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('=')).is_some_and(&accepts))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
