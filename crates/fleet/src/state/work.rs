//! What the judge has decided and cannot do under its lock: left for the staff, which alone owns tasks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use auxot_engine::Status;
use tokio::sync::{oneshot, watch};

use crate::factory::Driver;
use crate::factory::DryRun;
use crate::model::managed::MemberId;
use crate::model::process::After;
use crate::model::release::Release;
use crate::model::remembered::Key;
use crate::model::size_search::Size;

/// Work that needs an owner. There is never more of it than a few pieces for each member.
pub(crate) enum Work {
    /// A process to be driven and listened to. The listener has no handle: the driver ends with the last one.
    Drive { member: MemberId, generation: u64, status: watch::Receiver<Status>, driver: Driver },
    /// A load whose memory is asked of the engine first.
    DryRun { member: MemberId, generation: u64, dry_run: DryRun, ended: oneshot::Sender<()> },
    /// The memory of a process that has ended, to be seen free before what follows.
    Release { member: MemberId, generation: u64, after: After, release: Release },
    /// A size that was found to fit, to be remembered; none where what is wanted fits.
    Remember { key: Key, size: Option<Size> },
    /// The files of a member that has failed, to be looked at.
    Inspect { member: MemberId, files: Vec<PathBuf> },
    /// A process whose devices ought to be read before it takes jobs: after a while it is believed without.
    Believe { member: MemberId, generation: u64 },
    /// What readings have shown of the models' true needs, to be remembered.
    Learn,
    /// The models folders, to be looked through again.
    Look,
    /// The same after a pause.
    LookAfter(Duration),
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Drive { member, generation, .. } => write!(f, "Drive({member:?}, {generation})"),
            Work::DryRun { member, generation, .. } => write!(f, "DryRun({member:?}, {generation})"),
            Work::Release { member, after, .. } => write!(f, "Release({member:?}, {after:?})"),
            Work::Remember { size, .. } => write!(f, "Remember({size:?})"),
            Work::Inspect { member, .. } => write!(f, "Inspect({member:?})"),
            Work::Believe { member, .. } => write!(f, "Believe({member:?})"),
            Work::Learn => f.write_str("Learn"),
            Work::Look => f.write_str("Look"),
            Work::LookAfter(pause) => write!(f, "LookAfter({pause:?})"),
        }
    }
}
