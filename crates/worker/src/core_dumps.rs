//! Protects the worker's memory, which holds the key and prompts.

use nix::sys::resource::{Resource, setrlimit};

/// Disables core dumps of this process and of its children, and access to its memory by other processes of the user.
///
/// A failure does not stop the start: this is one layer of several.
pub(crate) fn forbid() {
    // One byte instead of 0: where a program receives core dumps, Linux ignores the limit except for the value 1, which
    // disables the dump. If the hard limit is already 0, only root can set it to 1.
    let _refused = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    // In that case the dump contains no mapping. Children inherit the filter, and an exec keeps it.
    #[cfg(target_os = "linux")]
    let _refused = std::fs::write("/proc/self/coredump_filter", "0");
    // An exec undoes this, so that engines keep their parent-death signal and can be inspected by their owner. It comes
    // last: afterwards the files below /proc/self belong to root.
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_dumpable(false);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn this_process_cannot_dump_core() {
        forbid();
        let limit = getrlimit(Resource::RLIMIT_CORE).unwrap();
        assert!(limit == (1, 1) || limit == (0, 0), "{limit:?}");
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
        let filter = std::process::Command::new("cat").arg("/proc/self/coredump_filter").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&filter.stdout).trim_matches('0').trim(), "", "children inherit it");
    }
}
