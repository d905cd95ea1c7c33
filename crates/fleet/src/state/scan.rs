//! What a scan of the models folders has found, and whether one is under way.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::{Catalog, CatalogWatcher, Model};
use auxot_engine::FileId;
use tokio::time::Instant;

/// What one look has found: the models, and which files they were.
///
/// The files are looked at together with the models, off the runtime's thread: a network file system that hangs must
/// not hang a decision.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) catalog: Arc<Catalog>,
    files: HashMap<PathBuf, FileId>,
}

impl Scan {
    /// Looks at the files of all models, and at the engine's program. Blocks.
    pub(crate) fn new(catalog: Arc<Catalog>, program: &Path) -> Self {
        let of_models = catalog.models().iter().flat_map(|model| model.files.iter().chain(&model.mmproj));
        let paths = of_models.map(PathBuf::as_path).chain([program]);
        let files = paths.map(|path| (path.to_owned(), FileId::of(path))).collect();
        Self { catalog, files }
    }

    /// The model of a file, if there is one that can be used.
    pub(crate) fn model(&self, file: &Path) -> Option<&Model> {
        self.catalog.models().iter().find(|model| model.file == *file)
    }

    /// What the files of a model were.
    pub(crate) fn of(&self, model: &Model) -> Vec<(PathBuf, FileId)> {
        model.files.iter().chain(&model.mmproj).map(|path| (path.clone(), self.file(path))).collect()
    }

    /// What a file was; one that was not there is nothing.
    pub(crate) fn file(&self, path: &Path) -> FileId {
        self.files.get(path).copied().unwrap_or_default()
    }
}

/// When the folders were scanned, so that no crowd of strangers' names keeps the disk busy.
#[derive(Debug)]
pub(crate) struct ScanProgress {
    pub(crate) state: Scanning,
    /// None until the tasks has begun its work.
    pub(crate) watcher: Option<Arc<CatalogWatcher>>,
}

/// Whether somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanning {
    /// Nobody, since then.
    Idle(Instant),
    /// A look is under way.
    Running,
    /// A look is under way, and something has changed meanwhile: perhaps where it had been already.
    RunningAndStale,
}

impl ScanProgress {
    pub(crate) fn new() -> Self {
        Self { state: Scanning::Idle(Instant::now()), watcher: None }
    }

    /// Whether a scan is under way or may begin now: the last one is long ago, or something has changed since.
    pub(crate) fn may(&self, pause: Duration, now: Instant) -> bool {
        match self.state {
            Scanning::Idle(since) => now.saturating_duration_since(since) >= pause || self.has_changed(),
            Scanning::Running | Scanning::RunningAndStale => true,
        }
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| watcher.has_changed())
    }

    /// Whether changes can go by unnoticed.
    pub(crate) fn misses_changes(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| !watcher.is_complete())
    }
}
