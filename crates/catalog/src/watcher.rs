//! Reports when another scan of the models folders would find something else, without scanning.
//!
//! Each scan lists what its result depends on (`watch_targets`): the folders that it read, and single paths (a models
//! folder itself, whether it exists or not; the file that a link leads to). [`CatalogWatcher::follow`] watches just
//! these; for a path that does not exist, the nearest folder above it that does. A folder may have changed before its
//! watch began, so a new watch counts as a change. Once a scan needs no new watch, no change can be missed.
//!
//! ```text
//!   Signal ── changed ──▶ fleet ── scan ──▶ Catalog::rescan ── watch targets ──▶ CatalogWatcher::follow
//!     ▲                                                                              │ the system's watches
//!     └────────────────── events of the folders, debounced ◀─────────────────────────┘
//! ```
//!
//! Some changes give no event: shared file systems report only what this host does, and the system bounds how many
//! folders are watched. Such gaps are known ([`CatalogWatcher::is_complete`]), and the folders are scanned at an
//! interval while there is one. A disk that is mounted over a folder gives no event and is no known gap: its files are
//! found when a job names an unknown model.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_folder_watch::{FolderId, Watcher};
use tokio::sync::Notify;

use crate::config::Config;
use crate::scan::Catalog;
use crate::scan::changes::Changes;
use crate::scan::watch_target::WatchTarget;

mod debounce;
mod gap;
mod signal;
mod watched_folder;

use gap::{SharedFileSystem, WatchGap};
pub use signal::Signal;
use watched_folder::WatchedFolder;

/// The folders that are watched, and what has happened in them.
#[derive(Debug)]
pub struct CatalogWatcher {
    /// Locked for a whole [`CatalogWatcher::follow`].
    watcher: Option<Mutex<Watcher>>,
    /// Never locked during a call to a file system: [`Signal`] locks it on the thread that carries tokens.
    folders: Mutex<HashMap<FolderId, WatchedFolder>>,
    gap: Mutex<Option<WatchGap>>,
    changed: AtomicBool,
    /// A folder is watched that was not before.
    new_folder: Notify,
}

impl CatalogWatcher {
    /// A watcher without folders, and the signal of its changes. Must be called within a runtime. A system that cannot
    /// watch gives a line in the log, and is no error.
    #[must_use]
    pub fn open() -> (Arc<Self>, Signal) {
        let (watcher, events, fault) = match auxot_folder_watch::open() {
            Ok((watcher, events)) => (Some(watcher), Some(events), None),
            Err(fault) => (None, None, Some(WatchGap::Unsupported(fault.kind()))),
        };
        let watcher = Arc::new(Self {
            watcher: watcher.map(Mutex::new),
            folders: Mutex::default(),
            gap: Mutex::default(),
            changed: AtomicBool::new(false),
            new_folder: Notify::new(),
        });
        watcher.set_gap(fault);
        let signal = Signal::new(Arc::clone(&watcher), events);
        (watcher, signal)
    }

    /// [`Catalog::rescan`], then watches everything that the new catalog depends on. Blocks.
    #[must_use]
    pub fn rescan(&self, known: &Catalog, config: &Config, files: &[&Path]) -> (Catalog, Changes) {
        self.changed.store(false, Ordering::Relaxed);
        let (catalog, changes) = known.rescan(config, files);
        self.follow(&catalog);
        (catalog, changes)
    }

    /// Watches what a catalog depends on, and ends all other watches. Blocks as long as the file systems do.
    pub fn follow(&self, catalog: &Catalog) {
        let Some(watcher) = &self.watcher else { return };
        let watcher = &mut *watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = self.folders().len();
        let mut watch = Watch { watcher, folders: HashMap::with_capacity(watched), gap: None };
        for target in catalog.watch_targets() {
            watch.add(target);
        }
        let Watch { folders, gap, .. } = watch;
        let before = std::mem::replace(&mut *self.folders(), folders.clone());
        for id in before.keys().filter(|id| !folders.contains_key(id)) {
            watcher.unwatch(id.clone());
        }
        self.set_gap(gap);
        if folders.iter().any(|(id, watched_folder)| before.get(id) != Some(watched_folder)) {
            self.changed.store(true, Ordering::Relaxed);
            self.new_folder.notify_one();
        }
    }

    /// Whether the [`Signal`] reports every change. Where it does not, only scanning helps.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gap().is_none()
    }

    /// Whether something has changed since the last [`CatalogWatcher::rescan`] began, debounced or not.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Sets the present gap and logs it once. A system that cannot watch stays so.
    fn set_gap(&self, now: Option<WatchGap>) {
        let mut gap = self.gap();
        if *gap == now || matches!(*gap, Some(WatchGap::Unsupported(_))) {
            return;
        }
        gap.clone_from(&now);
        drop(gap);
        match now {
            Some(gap) => gap.log(),
            None => tracing::info!("all changes of the models folders are noticed as they happen"),
        }
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<FolderId, WatchedFolder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gap(&self) -> MutexGuard<'_, Option<WatchGap>> {
        self.gap.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One run of [`CatalogWatcher::follow`].
struct Watch<'a> {
    watcher: &'a mut Watcher,
    folders: HashMap<FolderId, WatchedFolder>,
    gap: Option<WatchGap>,
}

impl Watch<'_> {
    fn add(&mut self, target: &WatchTarget) {
        match target {
            WatchTarget::Folder(folder) => match self.watched_folder(folder) {
                Ok(watched_folder) => {
                    watched_folder.whole = true;
                    if let Some(file_system) = SharedFileSystem::of(folder) {
                        self.gap.get_or_insert(WatchGap::Shared { folder: folder.clone(), file_system });
                    }
                }
                // A folder that is gone has given an event. A scan reports an unreadable one as damaged; if it becomes
                // readable, the folder above gives an event.
                Err(fault) if is_missing(&fault) || is_unreadable(&fault) => {}
                Err(fault) => self.fault(folder, &fault),
            },
            WatchTarget::Name(path) => self.name(path),
        }
    }

    /// Watches for a path in the nearest folder above it that can be watched.
    fn name(&mut self, path: &Path) {
        let mut below = path;
        while let (Some(folder), Some(name)) = (below.parent(), below.file_name()) {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            match self.watched_folder(here) {
                Ok(watched_folder) => {
                    watched_folder.names.insert(name.to_owned());
                    return;
                }
                Err(fault) if is_missing(&fault) || is_unreadable(&fault) && path.exists() => below = folder,
                // A folder that hides whether it has the path is a gap too.
                Err(fault) => return self.fault(here, &fault),
            }
        }
    }

    fn watched_folder(&mut self, folder: &Path) -> io::Result<&mut WatchedFolder> {
        let id = self.watcher.watch(folder)?;
        let watched_folder = || WatchedFolder { folder: folder.to_owned(), whole: false, names: BTreeSet::new() };
        Ok(self.folders.entry(id).or_insert_with(watched_folder))
    }

    fn fault(&mut self, folder: &Path, fault: &io::Error) {
        self.gap = Some(match fault.kind() {
            io::ErrorKind::StorageFull => WatchGap::LimitReached { watched: self.folders.len() },
            kind => WatchGap::Unwatched { folder: folder.to_owned(), kind },
        });
    }
}

/// Whether a path leads nowhere: the folder above gives an event when that changes.
fn is_missing(fault: &io::Error) -> bool {
    const LOOP: Option<i32> = Some(nix::errno::Errno::ELOOP as i32);
    matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || fault.raw_os_error() == LOOP
}

/// Whether a folder may be entered but not read.
fn is_unreadable(fault: &io::Error) -> bool {
    fault.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests;
