//! Tells when another look through the models folders would find something else, without looking.
//!
//! Each look says on what it stands (`watch_targets`): the folders that it read, and single paths (a models folder itself,
//! whether it is there or not; the file that a link leads to). [`CatalogWatcher::follow`] has the system watch just these; of a
//! path that is not there, the nearest folder above that is. A place that was not watched before may have changed before
//! it was, so it counts as a change itself; once a look finds nothing new to watch, nothing can be missed.
//!
//! ```text
//!   Signal ── changed ──▶ who decides ── look ──▶ Catalog::rescan ── ground ──▶ CatalogWatcher::follow
//!     ▲                                                                              │ the system's watches
//!     └────────────────── what happens in the folders, settled (`debounce`) ◀────────────┘
//! ```
//!
//! Not everything is told: file systems of other hosts tell only what this host does, and the system bounds how many
//! folders are watched. Whether all is seen is known ([`CatalogWatcher::is_complete`]), and the folders are looked through now and
//! then where it is not. A disk that is mounted over a folder is the one thing that is neither told nor known: what is on
//! it is found when somebody asks for it.

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

/// The places that are watched. Who looks through the folders has them followed here; who waits has the [`Signal`].
#[derive(Debug)]
pub struct CatalogWatcher {
    /// Held by one look at a time.
    eyes: Option<Mutex<Watcher>>,
    /// Never held while a file system is asked: who waits for news needs it on the thread that carries tokens.
    folders: Mutex<HashMap<FolderId, WatchedFolder>>,
    gap: Mutex<Option<WatchGap>>,
    changed: AtomicBool,
    /// A place is watched that was not before.
    anew: Notify,
}

impl CatalogWatcher {
    /// One that watches nothing yet, and its news. To be called within a runtime. A system that cannot watch is said in
    /// the log, and is no fault.
    #[must_use]
    pub fn open() -> (Arc<Self>, Signal) {
        let (eyes, events, fault) = match auxot_folder_watch::open() {
            Ok((eyes, events)) => (Some(eyes), Some(events), None),
            Err(fault) => (None, None, Some(WatchGap::Unsupported(fault.kind()))),
        };
        let watcher = Arc::new(Self {
            eyes: eyes.map(Mutex::new),
            folders: Mutex::default(),
            gap: Mutex::default(),
            changed: AtomicBool::new(false),
            anew: Notify::new(),
        });
        watcher.set_gap(fault);
        let signal = Signal::new(Arc::clone(&watcher), events);
        (watcher, signal)
    }

    /// [`Catalog::rescan`], and everything that the new catalog stands on is watched. Blocks.
    #[must_use]
    pub fn rescan(&self, known: &Catalog, config: &Config, files: &[&Path]) -> (Catalog, Changes) {
        self.changed.store(false, Ordering::Relaxed);
        let (catalog, changes) = known.rescan(config, files);
        self.follow(&catalog);
        (catalog, changes)
    }

    /// Watches what a catalog stands on, and nothing else any more. Blocks as long as the file systems do.
    pub fn follow(&self, catalog: &Catalog) {
        let Some(eyes) = &self.eyes else { return };
        let eyes = &mut *eyes.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = self.folders().len();
        let mut watch = Watch { eyes, folders: HashMap::with_capacity(watched), gap: None };
        for watch_targets in catalog.watch_targets() {
            watch.add(watch_targets);
        }
        let Watch { folders, gap, .. } = watch;
        let before = std::mem::replace(&mut *self.folders(), folders.clone());
        for id in before.keys().filter(|id| !folders.contains_key(id)) {
            eyes.unwatch(id.clone());
        }
        self.set_gap(gap);
        if folders.iter().any(|(id, watched_folder)| before.get(id) != Some(watched_folder)) {
            self.changed.store(true, Ordering::Relaxed);
            self.anew.notify_one();
        }
    }

    /// Whether every change is told by the [`Signal`]. Where not, only looking helps.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gap().is_none()
    }

    /// Whether something has changed since the last [`CatalogWatcher::rescan`] began, settled or not.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Takes in what is not seen, and says it once. Who was not given eyes gets none later.
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

/// One round of watching.
struct Watch<'a> {
    eyes: &'a mut Watcher,
    folders: HashMap<FolderId, WatchedFolder>,
    gap: Option<WatchGap>,
}

impl Watch<'_> {
    fn add(&mut self, watch_targets: &WatchTarget) {
        match watch_targets {
            WatchTarget::Folder(folder) => match self.watched_folder(folder) {
                Ok(watched_folder) => {
                    watched_folder.whole = true;
                    if let Some(file_system) = SharedFileSystem::of(folder) {
                        self.gap.get_or_insert(WatchGap::Shared { folder: folder.clone(), file_system });
                    }
                }
                // What is not there any more was seen going. What we may not read, a look tells as damaged; should that
                // change, the folder above tells.
                Err(fault) if is_missing(&fault) || is_secret(&fault) => {}
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
                Err(fault) if is_missing(&fault) || is_secret(&fault) && path.exists() => below = folder,
                // Also where a folder hides whether it has what we wait for.
                Err(fault) => return self.fault(here, &fault),
            }
        }
    }

    fn watched_folder(&mut self, folder: &Path) -> io::Result<&mut WatchedFolder> {
        let id = self.eyes.watch(folder)?;
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

/// Whether a path leads nowhere: the folder above has to tell when that changes.
fn is_missing(fault: &io::Error) -> bool {
    const LOOP: Option<i32> = Some(nix::errno::Errno::ELOOP as i32);
    matches!(fault.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || fault.raw_os_error() == LOOP
}

/// Whether a folder may be passed but not read.
fn is_secret(fault: &io::Error) -> bool {
    fault.kind() == io::ErrorKind::PermissionDenied
}

#[cfg(test)]
mod tests;
