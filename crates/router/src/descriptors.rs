//! How many files and sockets this process may hold.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than this no router on one host needs.
const MAX_DESCRIPTORS: u64 = 1 << 16;

/// Raises the limit as far as it may go, and says what it is; nothing where the system does not tell.
pub(crate) fn raise_limit() -> Option<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = hard.min(MAX_DESCRIPTORS).max(soft);
    let now = if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft };
    usize::try_from(now).ok()
}
