//! The models folders, looked through again while something is missing: a file that comes later needs no restart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Catalog;
use tokio::time::Instant;

use crate::acquire::settle_all;
use crate::identity::FileId;
use crate::judge::{Door, Judge, Wished};
use crate::shared::Shared;
use crate::work::Work;

/// What one look has found: the models, and which files they were.
///
/// The files are looked at together with the models, off the runtime's thread: a network file system that hangs must
/// not hang a decision.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) catalog: Arc<Catalog>,
    files: HashMap<PathBuf, FileId>,
}

impl Shelf {
    /// Looks at the files of all models, and at the engine's program. Blocks.
    pub(crate) fn new(catalog: Arc<Catalog>, program: &Path) -> Self {
        let of_models = catalog.models().iter().flat_map(|model| model.files.iter().chain(&model.mmproj));
        let paths = of_models.map(PathBuf::as_path).chain([program]);
        let files = paths.map(|path| (path.to_owned(), FileId::of(path))).collect();
        Self { catalog, files }
    }

    /// What a file was; one that was not there is nothing.
    pub(crate) fn file(&self, path: &Path) -> FileId {
        self.files.get(path).copied().unwrap_or_default()
    }
}

/// When the folders were looked through, so that no crowd of strangers' names keeps the disk busy.
#[derive(Debug)]
pub(crate) struct Looks {
    last: Instant,
    running: bool,
}

impl Looks {
    pub(crate) fn new() -> Self {
        Self { last: Instant::now(), running: false }
    }

    /// Whether a look is under way or may begin now.
    fn may(&self, pause: Duration, now: Instant) -> bool {
        self.running || now.saturating_duration_since(self.last) >= pause
    }
}

impl Shared {
    /// Has the folders looked through, unless that was done a moment ago. Whether a look ended by `until`.
    pub(crate) async fn look_again(&self, until: std::time::Instant) -> bool {
        let mut ended = self.looked.subscribe();
        if !self.lock().ask_for_a_look(self.config.rescan_interval) {
            return false;
        }
        self.at_work.notify_one();
        tokio::time::timeout_at(until.into(), ended.changed()).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Has the folders looked through if a model that somebody wants is not here.
    pub(crate) fn look_for_missing(&self) {
        let mut judge = self.lock();
        let missing = !judge.missing.is_empty() || matches!(judge.wished, Wished::Missing { .. });
        if missing && judge.ask_for_a_look(self.config.rescan_interval) {
            drop(judge);
            self.at_work.notify_one();
        }
    }

    /// Takes in what a look has found; `None` is a look that failed. What was missing and is here now is loaded.
    pub(crate) fn shelve(self: &Arc<Self>, found: Option<Shelf>) {
        let mut judge = self.lock();
        judge.looks = Looks::new();
        if let Some(shelf) = found {
            judge.shelf = Arc::new(shelf);
            self.retry_missing(&mut judge);
            self.revive_changed(&mut judge);
            self.renew(&mut judge);
        }
        let settled = self.carry_out(&mut judge, Vec::new());
        drop(judge);
        settle_all(settled);
        self.looked.send_modify(|count| *count += 1);
        self.changed();
    }
}

impl Judge {
    fn ask_for_a_look(&mut self, pause: Duration) -> bool {
        if self.door != Door::Open || !self.looks.may(pause, Instant::now()) {
            return false;
        }
        self.look_now();
        true
    }

    /// Has the staff look, however short the last look is ago.
    pub(crate) fn look_now(&mut self) {
        if !std::mem::replace(&mut self.looks.running, true) {
            self.work.push(Work::Look);
        }
    }
}
