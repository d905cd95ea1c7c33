//! What the system tells of a process: who it is, how long it has computed, how much it has read.
//!
//! Linux tells it in files; elsewhere a library asks the kernel, which is dearer and coarser. What cannot be had is
//! `None`, and whoever asks has a decision for it.

// Its library knows Linux too, so tests try it there.
#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

use std::path::PathBuf;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{ProcessHandle, bytes_read, cpu_time, process_start};
#[cfg(target_os = "linux")]
pub(crate) use linux::{ProcessHandle, bytes_read, cpu_time, process_start};

/// When and from what a process was started. Together with its number no other process has that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessStart {
    /// Clock ticks since the start of the host, or seconds since 1970 where `boot_id` is empty.
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
    pub(crate) exe: PathBuf,
}

#[cfg(test)]
mod tests;
