//! The processes that come of one child, wherever they went: out of its group, into the background, behind a script.
//!
//! Each life has a mark, a variable of its environment, which every process inherits that comes of it. So a process can be
//! proved to be of a life of ours without having been seen as it began. On systems without `/proc` nothing is found.

use std::collections::BTreeSet;
use std::path::Path;

use nix::unistd::Pid;

use crate::host::system::ProcessHandle;

/// The variable; its value is the path of the life's files without their ending.
pub(crate) const MARK: &str = "AUXOT_ENGINE_RUN";
/// A process may start another while it is being ended, so it is looked again, but not for ever.
const ROUNDS: usize = 8;
const PROC: &str = "/proc";

/// All processes below one, itself not among them. A process that has lost its parent is below the worker, where that has
/// said so to the kernel (`adopt_orphans`).
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

/// Ends all processes of the life with this mark that are below the worker. Returns those that had left its group.
pub(crate) fn end_marked(mark: &str, group: Pid) -> usize {
    let mut left = BTreeSet::new();
    end_all(
        |pid| {
            let is_ours = carries(pid, |value| value == mark);
            if is_ours && group_of(pid).is_some_and(|of| of != group) {
                left.insert(pid);
            }
            is_ours
        },
        || below(std::process::id()),
    );
    left.len()
}

/// Ends all processes of this user whose mark begins so. Returns how many there were beside those `ended` before.
pub(crate) fn end_marked_anywhere(beginning: &str, ended: &[u32]) -> usize {
    let everybody = || {
        let entries = std::fs::read_dir(PROC).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != std::process::id())
            .collect()
    };
    end_all(|pid| !ended.contains(&pid) && carries(pid, |value| value.starts_with(beginning)), everybody)
}

/// Makes this process the parent of all processes below it that lose theirs, so that they can be found.
pub fn adopt_orphans() {
    // Where it cannot be had, what left the tree is still ended by its mark when the next worker starts.
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_child_subreaper(true);
}

/// Ends every process that is still below this one, at the end of the program. Returns how many there were.
pub fn end_descendants() -> usize {
    end_all(|_| true, || below(std::process::id()))
}

/// Takes the exit statuses of processes that came to us when their parent ended; of `own` somebody else does.
#[cfg(target_os = "linux")]
pub(crate) fn reap_adopted(own: impl Fn(u32) -> bool) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    for pid in children(Path::new(PROC), std::process::id()).into_iter().filter(|pid| !own(*pid)) {
        if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
            let _still_there = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

fn end_all(mut is_meant: impl FnMut(u32) -> bool, find: impl Fn() -> Vec<u32>) -> usize {
    let mut ended = BTreeSet::new();
    for _ in 0..ROUNDS {
        let before = ended.len();
        for pid in find() {
            // The hold comes first, so that what is looked at next is what it holds.
            let Some(held) = ProcessHandle::open(Pid::from_raw(pid.cast_signed())) else { continue };
            if !ended.contains(&pid) && is_meant(pid) {
                held.kill();
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

/// Whether a process has a mark like this. What cannot be read is not ours: it is another user's, or on its way out.
pub(crate) fn carries(pid: u32, fits: impl Fn(&str) -> bool) -> bool {
    let Ok(environment) = std::fs::read(format!("{PROC}/{pid}/environ")) else { return false };
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
    variables.any(|variable| variable.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('=')).is_some_and(&fits))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
