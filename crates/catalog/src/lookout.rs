//! Tells when another look through the models folders would find something else, without looking.
//!
//! Each look says on what it stands (`ground`): the folders that it read, and single paths (a models folder itself,
//! whether it is there or not; the file that a link leads to). [`Lookout::follow`] has the system watch just these; of a
//! path that is not there, the nearest folder above that is. A place that was not watched before may have changed before
//! it was, so it counts as a change itself; once a look finds nothing new to watch, nothing can be missed.
//!
//! ```text
//!   Signal ── changed ──▶ who decides ── look ──▶ Catalog::rescan ── ground ──▶ Lookout::follow
//!     ▲                                                                              │ the system's watches
//!     └────────────────── what happens in the folders, settled (`calm`) ◀────────────┘
//! ```
//!
//! Not everything is told: file systems of other hosts tell only what this host does, and the system bounds how many
//! folders are watched. Whether all is seen is known ([`Lookout::sees_all`]), and the folders are looked through now and
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
use crate::scan::ground::Ground;

mod blind;
mod calm;
mod post;
mod signal;

use blind::{Blind, Neighbours};
use post::Post;
pub use signal::Signal;

/// The places that are watched. Who looks through the folders has them followed here; who waits has the [`Signal`].
#[derive(Debug)]
pub struct Lookout {
    /// Held by one look at a time.
    eyes: Option<Mutex<Watcher>>,
    /// Never held while a file system is asked: who waits for news needs it on the thread that carries tokens.
    posts: Mutex<HashMap<FolderId, Post>>,
    blind: Mutex<Option<Blind>>,
    stirred: AtomicBool,
    /// A place is watched that was not before.
    anew: Notify,
}

impl Lookout {
    /// One that watches nothing yet, and its news. To be called within a runtime. A system that cannot watch is said in
    /// the log, and is no fault.
    #[must_use]
    pub fn open() -> (Arc<Self>, Signal) {
        let (eyes, events, fault) = match auxot_folder_watch::open() {
            Ok((eyes, events)) => (Some(eyes), Some(events), None),
            Err(fault) => (None, None, Some(Blind::Unable(fault.kind()))),
        };
        let lookout = Arc::new(Self {
            eyes: eyes.map(Mutex::new),
            posts: Mutex::default(),
            blind: Mutex::default(),
            stirred: AtomicBool::new(false),
            anew: Notify::new(),
        });
        lookout.become_blind(fault);
        let signal = Signal::new(Arc::clone(&lookout), events);
        (lookout, signal)
    }

    /// [`Catalog::rescan`], and everything that the new catalog stands on is watched. Blocks.
    #[must_use]
    pub fn rescan(&self, known: &Catalog, config: &Config, files: &[&Path]) -> (Catalog, Changes) {
        self.stirred.store(false, Ordering::Relaxed);
        let (catalog, changes) = known.rescan(config, files);
        self.follow(&catalog);
        (catalog, changes)
    }

    /// Watches what a catalog stands on, and nothing else any more. Blocks as long as the file systems do.
    pub fn follow(&self, catalog: &Catalog) {
        let Some(eyes) = &self.eyes else { return };
        let eyes = &mut *eyes.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = self.posts().len();
        let mut watch = Watch { eyes, posts: HashMap::with_capacity(watched), blind: None };
        for ground in catalog.ground() {
            watch.add(ground);
        }
        let Watch { posts, blind, .. } = watch;
        let before = std::mem::replace(&mut *self.posts(), posts.clone());
        for id in before.keys().filter(|id| !posts.contains_key(id)) {
            eyes.unwatch(id.clone());
        }
        self.become_blind(blind);
        if posts.iter().any(|(id, post)| before.get(id) != Some(post)) {
            self.stirred.store(true, Ordering::Relaxed);
            self.anew.notify_one();
        }
    }

    /// Whether every change is told by the [`Signal`]. Where not, only looking helps.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        self.blind().is_none()
    }

    /// Whether something has changed since the last [`Lookout::rescan`] began, settled or not.
    #[must_use]
    pub fn has_stirred(&self) -> bool {
        self.stirred.load(Ordering::Relaxed)
    }

    /// Takes in what is not seen, and says it once. Who was not given eyes gets none later.
    fn become_blind(&self, now: Option<Blind>) {
        let mut blind = self.blind();
        if *blind == now || matches!(*blind, Some(Blind::Unable(_))) {
            return;
        }
        blind.clone_from(&now);
        drop(blind);
        match now {
            Some(blind) => blind.log(),
            None => tracing::info!("all changes of the models folders are noticed as they happen"),
        }
    }

    fn posts(&self) -> MutexGuard<'_, HashMap<FolderId, Post>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blind(&self) -> MutexGuard<'_, Option<Blind>> {
        self.blind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One round of watching.
struct Watch<'a> {
    eyes: &'a mut Watcher,
    posts: HashMap<FolderId, Post>,
    blind: Option<Blind>,
}

impl Watch<'_> {
    fn add(&mut self, ground: &Ground) {
        match ground {
            Ground::Folder(folder) => match self.post(folder) {
                Ok(post) => {
                    post.whole = true;
                    if let Some(neighbours) = Neighbours::of(folder) {
                        self.blind.get_or_insert(Blind::Shared { folder: folder.clone(), neighbours });
                    }
                }
                // What is not there any more was seen going. What we may not read, a look tells as damaged; should that
                // change, the folder above tells.
                Err(fault) if is_missing(&fault) || is_secret(&fault) => {}
                Err(fault) => self.fault(folder, &fault),
            },
            Ground::Name(path) => self.name(path),
        }
    }

    /// Watches for a path in the nearest folder above it that can be watched.
    fn name(&mut self, path: &Path) {
        let mut below = path;
        while let (Some(folder), Some(name)) = (below.parent(), below.file_name()) {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            match self.post(here) {
                Ok(post) => {
                    post.names.insert(name.to_owned());
                    return;
                }
                Err(fault) if is_missing(&fault) || is_secret(&fault) && path.exists() => below = folder,
                // Also where a folder hides whether it has what we wait for.
                Err(fault) => return self.fault(here, &fault),
            }
        }
    }

    fn post(&mut self, folder: &Path) -> io::Result<&mut Post> {
        let id = self.eyes.watch(folder)?;
        let post = || Post { folder: folder.to_owned(), whole: false, names: BTreeSet::new() };
        Ok(self.posts.entry(id).or_insert_with(post))
    }

    fn fault(&mut self, folder: &Path, fault: &io::Error) {
        self.blind = Some(match fault.kind() {
            io::ErrorKind::StorageFull => Blind::TooMany { watched: self.posts.len() },
            kind => Blind::Unwatched { folder: folder.to_owned(), kind },
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
