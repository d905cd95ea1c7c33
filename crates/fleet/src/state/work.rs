//! What the fleet state has decided and cannot do under its lock: left for the tasks, which alone owns tasks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use auxot_engine::Status;
use tokio::sync::{oneshot, watch};

use crate::factory::Driver;
use crate::factory::DryRun;
use crate::model::managed::ManagedId;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::model::remembered::Key;
use crate::model::size_search::Size;

/// Work that needs an owner. There is never more of it than a few pieces for each model.
pub(crate) enum Work {
    /// A process to be driven and listened to. The listener has no handle: the driver ends with the last one.
    Drive { managed: ManagedId, generation: u64, status: watch::Receiver<Status>, driver: Driver },
    /// A load whose memory is asked of the engine first.
    DryRun { managed: ManagedId, generation: u64, dry_run: DryRun, ended: oneshot::Sender<()> },
    /// The memory of a process that has ended, to be seen free before what follows.
    Release { managed: ManagedId, generation: u64, after: AfterExit, release: Release },
    /// A size that was found to fit, to be remembered; none where what is wanted fits.
    Remember { key: Key, size: Option<Size> },
    /// The files of a model that has failed, to be looked at.
    Inspect { managed: ManagedId, files: Vec<PathBuf> },
    /// A process whose devices ought to be read before it takes jobs: after a while it is believed without.
    AcceptUnread { managed: ManagedId, generation: u64 },
    /// What readings have shown of the models' true needs, to be remembered.
    Learn,
    /// The models folders, to be scanned again.
    Scan,
    /// The same after a pause.
    ScanAfter(Duration),
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Drive { managed, generation, .. } => write!(f, "Drive({managed:?}, {generation})"),
            Work::DryRun { managed, generation, .. } => write!(f, "DryRun({managed:?}, {generation})"),
            Work::Release { managed, after, .. } => write!(f, "Release({managed:?}, {after:?})"),
            Work::Remember { size, .. } => write!(f, "Remember({size:?})"),
            Work::Inspect { managed, .. } => write!(f, "Inspect({managed:?})"),
            Work::AcceptUnread { managed, .. } => write!(f, "Believe({managed:?})"),
            Work::Learn => f.write_str("Learn"),
            Work::Scan => f.write_str("Look"),
            Work::ScanAfter(pause) => write!(f, "LookAfter({pause:?})"),
        }
    }
}
