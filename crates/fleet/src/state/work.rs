//! Work that a decision has queued and the tasks carry out, because it takes time.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use auxot_engine::Status;
use tokio::sync::{oneshot, watch};

use crate::factory::{Driver, DryRun};
use crate::model::history::Key;
use crate::model::managed::ManagedId;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::model::size_search::Size;

/// One piece of work. The queue holds a few for each model at most.
pub(crate) enum Work {
    /// Drives an engine and listens to its status. The listener has no handle: the driver ends with the last handle.
    Drive { managed: ManagedId, generation: u64, status: watch::Receiver<Status>, driver: Driver },
    /// Runs the engine's dry run before a load.
    DryRun { managed: ManagedId, generation: u64, dry_run: DryRun, ended: oneshot::Sender<()> },
    /// Waits until the memory of an exited engine is seen free.
    Release { managed: ManagedId, generation: u64, after: AfterExit, release: Release },
    /// Stores a size that was found to fit; `None` where the wanted size fits.
    Remember { key: Key, size: Option<Size> },
    /// Reads the file ids of a failed model.
    Inspect { managed: ManagedId, files: Vec<PathBuf> },
    /// Lets an engine take jobs after a while without the device sample that it waits for.
    AcceptUnread { managed: ManagedId, generation: u64 },
    /// Saves the measurements.
    Learn,
    /// Scans the models folders.
    Scan,
    /// Scans them after a pause.
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
            Work::AcceptUnread { managed, .. } => write!(f, "AcceptUnread({managed:?})"),
            Work::Learn => f.write_str("Learn"),
            Work::Scan => f.write_str("Scan"),
            Work::ScanAfter(pause) => write!(f, "ScanAfter({pause:?})"),
        }
    }
}
