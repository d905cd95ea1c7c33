//! What the system reports of a process: its identity, its processor time, the bytes that it has read.
//!
//! Linux has files for it; elsewhere a library asks the kernel, which is slower and less exact. What is not known is `None`,
//! and each caller handles that.

// The library supports Linux too, so tests run it there.
#[cfg(any(test, not(target_os = "linux")))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

use std::path::PathBuf;

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{ProcessHandle, bytes_read, cpu_time, process_start};
#[cfg(target_os = "linux")]
pub(crate) use linux::{ProcessHandle, bytes_read, cpu_time, process_start};

/// When and from which program a process was started. Together with its number this is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessStart {
    /// Clock ticks since the start of the host, or seconds since 1970 where `boot_id` is empty.
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
    pub(crate) exe: PathBuf,
}

#[cfg(test)]
mod tests;
