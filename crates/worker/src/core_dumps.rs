//! Keeps the worker's memory to itself: the key is in it, and prompts.

use nix::sys::resource::{Resource, setrlimit};

/// No core is written of this process, nor of one it starts, and no other process of this user may look into it.
///
/// What cannot be had is no reason not to start: it is one layer of several.
pub(crate) fn forbid() {
    // One byte and not none: where cores go to a program, Linux does not ask for the limit, but for this one value, at
    // which it makes none either. Where the hard limit is 0 already, only root may set one byte.
    let _refused = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    // For that case: a core without any mapping. Children inherit it, and it stays over an exec.
    #[cfg(target_os = "linux")]
    let _refused = std::fs::write("/proc/self/coredump_filter", "0");
    // Undone by each exec, so engines keep their parent-death signal and can be looked into by their owner. The last one:
    // afterwards the files below /proc/self belong to root.
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_dumpable(false);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn this_process_can_leave_no_core() {
        forbid();
        let limit = getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert!(limit == (1, 1) || limit == (0, 0), "{limit:?}");
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
        let filter = std::process::Command::new("cat").arg("/proc/self/coredump_filter").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&filter.stdout).trim_matches('0').trim(), "", "children inherit it");
    }
}
