//! Keeps the worker's memory to itself: the key is in it, and prompts.

use nix::sys::resource::{Resource, setrlimit};

/// No core is written of this process, nor of one it starts, and no other process of this user may look into it.
///
/// What cannot be had is no reason not to start: it is one layer of several.
pub(crate) fn forbid() {
    // One byte and not none: where cores go to a program, Linux does not ask for the limit, but for this one value, at
    // which it makes none either.
    let _refused = setrlimit(Resource::RLIMIT_CORE, 1, 1);
    // Undone by each exec, so engines keep their parent-death signal and can be looked into by their owner.
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
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((1, 1)));
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(false));
    }
}
