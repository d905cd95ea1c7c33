//! The limit of open files and sockets of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// No router of one host needs more.
const MAX_DESCRIPTORS: u64 = 1 << 16;

/// Raises the limit as far as allowed and returns it; `None` where the system does not report it.
pub(crate) fn raise_limit() -> Option<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = hard.min(MAX_DESCRIPTORS).max(soft);
    let now = if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(now).ok()
}
