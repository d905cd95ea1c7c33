//! Settings of the process: no core dumps, and freed memory goes back to the system.

use nix::sys::resource::{Resource, setrlimit};

/// Disables core dumps, because memory contains keys and prompts. A failure does not stop the start.
pub(crate) fn forbid_cores() {
    // One byte instead of 0: where a program receives core dumps, Linux ignores the limit except for the value 1, which
    // disables the dump. If the hard limit is already 0, only root can set it to 1.
    let _refused = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    #[cfg(target_os = "linux")]
    {
        // In that case the dump contains no mapping.
        let _refused = std::fs::write("/proc/self/coredump_filter", "0");
        // This comes last: afterwards the files below /proc/self belong to root.
        let _refused = nix::sys::prctl::set_dumpable(false);
    }
}

/// Makes large blocks go back to the system when they are freed. By default the C library keeps ever larger ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other interface for it")]
pub(crate) fn give_memory_back() {
    const LARGE: i32 = 256 * 1024;
    // SAFETY: this sets two numbers before another thread runs.
    let _refused = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Other C libraries return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}
