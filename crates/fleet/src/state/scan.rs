//! The result of the last scan of the models folders: its models, what names mean in it, and whether a scan is running.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auxot_catalog::{Catalog, CatalogWatcher, Model, ResolveError};
use auxot_engine::FileId;
use tokio::time::Instant;
use tracing::warn;

/// So many results are kept; further names are resolved each time.
const MOST_KEPT: usize = 256;
/// Errors list all models, so few of them are kept.
const MOST_ERRORS: usize = 16;
/// The longest name that is kept, in bytes.
const LONGEST_KEPT: usize = 512;

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

/// The results of name resolution over one catalog, which is done outside the fleet's lock: a catalog of a thousand models
/// takes some time to search. The operator's and the router's names are resolved once for each scan, before its result is used.
#[derive(Debug, Default)]
struct ResolvedNames {
    /// The index of the model in the catalog.
    known: Mutex<HashMap<String, Result<usize, ResolveError>>>,
}

impl ResolvedNames {
    /// Finds the one model that a name fits best.
    fn resolve<'a>(&self, catalog: &'a Catalog, name: &str) -> Result<&'a Model, ResolveError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let index = match known {
            Some(known) => known?,
            None => self.resolve_now(catalog, name)?,
        };
        // The index is one of this catalog.
        catalog.models().get(index).ok_or_else(|| ResolveError::Unknown { name: name.to_owned(), known: Vec::new() })
    }

    fn resolve_now(&self, catalog: &Catalog, name: &str) -> Result<usize, ResolveError> {
        let resolved = catalog.resolve(name).map(|found| {
            // Each model of a catalog has a file of its own.
            catalog.models().iter().position(|model| model.file == found.file).unwrap_or(usize::MAX)
        });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_kept = match &resolved {
            Ok(_) => known.len() < MOST_KEPT,
            Err(_) => known.values().filter(|result| result.is_err()).count() < MOST_ERRORS,
        };
        if is_kept && name.len() <= LONGEST_KEPT {
            known.insert(name.to_owned(), resolved.clone());
        }
        resolved
    }
}

/// The model that a job wants, by name.
#[derive(Debug, Clone)]
pub(crate) enum Requested<'a> {
    /// The job names none: the primary model serves it.
    Primary,
    /// The exact name of a model of the fleet.
    Exact(&'a str),
    /// A name that means this file, which may be damaged.
    File(&'a str, PathBuf),
    /// A name that means no file.
    Unknown(&'a str),
    /// A name that means several models.
    Ambiguous(&'a str, Vec<String>),
}

impl<'a> Requested<'a> {
    /// What a name means that is not the exact name of a model of the fleet. Not called under the lock.
    pub(crate) fn resolve(name: &'a str, scan: &Scan) -> Self {
        match scan.resolve(name) {
            Ok(model) => Self::File(name, model.file.clone()),
            // A damaged model has the same answer by each of its names.
            Err(ResolveError::Damaged { path, .. } | ResolveError::ShardsMissing { path, .. }) => {
                Self::File(name, path)
            }
            Err(ResolveError::Unknown { .. }) => Self::Unknown(name),
            Err(ResolveError::Ambiguous { candidates, .. }) => Self::Ambiguous(name, candidates),
        }
    }

    /// The name, where the job has one.
    pub(crate) fn name(&self) -> Option<&'a str> {
        match self {
            Self::Primary => None,
            Self::Exact(name) | Self::File(name, _) | Self::Unknown(name) | Self::Ambiguous(name, _) => Some(name),
        }
    }

    /// The file that the name means, where the name is not exact.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(_, file) => Some(file),
            Self::Primary | Self::Exact(_) | Self::Unknown(_) | Self::Ambiguous(..) => None,
        }
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

    /// Whether no scan is running.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, Scanning::Idle(_))
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| watcher.has_changed())
    }

    /// Whether changes can go unnoticed.
    pub(crate) fn misses_changes(&self) -> bool {
        self.watcher.as_ref().is_some_and(|watcher| !watcher.is_complete())
    }
}
