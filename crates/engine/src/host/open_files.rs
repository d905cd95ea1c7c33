//! The limit on open files: raised for us, and as it was for engines.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft limit that we were started with, once it was raised.
static BEFORE: OnceLock<rlim_t> = OnceLock::new();

/// Raises the soft limit of this process to the hard one, and tells what there is now; to be called at the start of the
/// program, before anything is opened. `None` where nothing is known.
pub fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Some systems call the hard one infinite and take no such number.
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        let _as_it_was_first = BEFORE.set(soft);
        return Some(hard);
    }
    Some(soft)
}

/// The soft limit for engines: older ones wait for sockets with `select`, which cannot have numbers above 1023.
pub(crate) fn of_engines() -> Option<rlim_t> {
    BEFORE.get().copied()
}
