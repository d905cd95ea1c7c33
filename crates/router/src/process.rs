//! The process that the router runs in: what is left of it, and what it gives back.

use nix::sys::resource::{Resource, setrlimit};

/// No core is written: keys and prompts are in the memory. What cannot be had is no reason not to start.
pub(crate) fn forbid_cores() {
    // One byte and not none: where cores go to a program, Linux does not ask for the limit, but for this one value, at
    // which it makes none either. Where the hard limit is 0 already, only root may set one byte.
    let _refused = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    #[cfg(target_os = "linux")]
    {
        // For that case: a core without any mapping.
        let _refused = std::fs::write("/proc/self/coredump_filter", "0");
        // The last one: afterwards the files below /proc/self belong to root.
        let _refused = nix::sys::prctl::set_dumpable(false);
    }
}

/// Large pieces of memory go back to the system when they are freed. By default the C library keeps ever larger ones.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other way to be told")]
pub(crate) fn give_memory_back() {
    const LARGE: i32 = 256 * 1024;
    // SAFETY: two numbers are set, before another thread runs.
    let _refused = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Other C libraries give it back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_memory_back() {}
