//! The result of the last scan of the models folders, and whether a scan is running.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::{Catalog, CatalogWatcher, Model, ResolveError};
use auxot_engine::FileId;
use tokio::time::Instant;
use tracing::warn;

use super::names::ResolvedNames;

/// The result of one scan: the models, and the ids of their files.
///
/// The file ids are read together with the models, off the runtime's threads: a network file system that hangs must not block a
/// decision.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) catalog: Arc<Catalog>,
    files: HashMap<PathBuf, FileId>,
    names: ResolvedNames,
}

impl Scan {
    /// Reads the ids of all models' files and of the engine's program. Blocks.
    pub(crate) fn new(catalog: Arc<Catalog>, program: &Path) -> Self {
        let of_models = catalog.models().iter().flat_map(|model| model.files.iter().chain(&model.mmproj));
        let paths = of_models.map(PathBuf::as_path).chain([program]);
        let files = paths.map(|path| (path.to_owned(), FileId::of(path))).collect();
        Self { catalog, files, names: ResolvedNames::default() }
    }

    /// Resolves names before they are needed under the fleet's lock.
    pub(crate) fn resolve_all(&self, names: &[String]) {
        for name in names {
            // An error is kept too, for the place that needs the name.
            let _kept = self.resolve(name);
        }
    }

    /// The one model that a name fits best; see the catalog's description for the rules.
    pub(crate) fn resolve(&self, name: &str) -> Result<&Model, ResolveError> {
        self.names.resolve(&self.catalog, name)
    }

    /// Warns of aliases that name no model, or several.
    pub(crate) fn warn_of_aliases(&self) {
        for setting in self.catalog.alias_warnings() {
            warn!(setting, "an alias means no model");
        }
    }

    /// The usable model of a file.
    pub(crate) fn model(&self, file: &Path) -> Option<&Model> {
        self.catalog.models().iter().find(|model| model.file == *file)
    }

    /// The files of a model and their ids at the scan.
    pub(crate) fn of(&self, model: &Model) -> Vec<(PathBuf, FileId)> {
        model.files.iter().chain(&model.mmproj).map(|path| (path.clone(), self.file(path))).collect()
    }

    /// The id of a file at the scan; a missing file has the default id.
    pub(crate) fn file(&self, path: &Path) -> FileId {
        self.files.get(path).copied().unwrap_or_default()
    }
}

/// When the folders were scanned, so that many requests with unknown names do not keep the disk busy.
#[derive(Debug)]
pub(crate) struct ScanProgress {
    pub(crate) state: Scanning,
    /// `None` until the tasks run.
    pub(crate) watcher: Option<Arc<CatalogWatcher>>,
}

/// Whether a scan is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scanning {
    /// None since then.
    Idle(Instant),
    /// A scan is running.
    Running,
    /// A scan is running, and something has changed since it began, perhaps in a part that it has read already.
    RunningAndStale,
}

impl ScanProgress {
    pub(crate) fn new() -> Self {
        Self { state: Scanning::Idle(Instant::now()), watcher: None }
    }

    /// Whether a scan is running or may begin now: the last one is long ago, or something has changed since.
    pub(crate) fn may(&self, pause: Duration, now: Instant) -> bool {
        match self.state {
            Scanning::Idle(since) => now.saturating_duration_since(since) >= pause || self.has_changed(),
            Scanning::Running | Scanning::RunningAndStale => true,
        }
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| watcher.has_changed())
    }

    /// Whether changes can go unnoticed.
    pub(crate) fn misses_changes(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| !watcher.is_complete())
    }
}
