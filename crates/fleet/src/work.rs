//! What the judge has decided and cannot do under its lock: left for the staff, which alone owns tasks.

use std::fmt;

use auxot_instance::Status;
use tokio::sync::watch;

use crate::engines::Driver;
use crate::judge::MemberId;

/// Work that needs an owner. There is never more of it than members, twice, and one look at the folders.
pub(crate) enum Work {
    /// A process to be driven and listened to. The listener has no handle: the driver ends with the last one.
    Drive { member: MemberId, generation: u64, status: watch::Receiver<Status>, driver: Driver },
    /// A member whose process is to be replaced by one of another size.
    Reshape { member: MemberId },
    /// The models folders, to be looked through again.
    Look,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Drive { member, generation, .. } => write!(f, "Drive({member:?}, {generation})"),
            Work::Reshape { member } => write!(f, "Reshape({member:?})"),
            Work::Look => f.write_str("Look"),
        }
    }
}
