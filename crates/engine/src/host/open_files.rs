//! The limit on open files: raised for the worker, unchanged for engines.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft limit at the start, once it was raised.
static BEFORE: OnceLock<rlim_t> = OnceLock::new();

/// Raises the soft limit of this process to the hard one and returns the new soft limit; to be called at the start of the
/// program, before anything is opened. `None` where the limit is unknown.
pub fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Some systems report an infinite hard limit and do not accept it.
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        let _already_set = BEFORE.set(soft);
        return Some(hard);
    }
    Some(soft)
}

/// The soft limit for engines: older ones wait for sockets with `select`, which cannot handle numbers above 1023.
pub(crate) fn engine_limit() -> Option<rlim_t> {
    BEFORE.get().copied()
}
