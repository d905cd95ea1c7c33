//! The changes of a watcher, for the task that waits for them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use auxot_folder_watch::{Event, Events};
use tokio::time::{Instant, timeout_at};

use super::CatalogWatcher;
use super::debounce::Debounce;
use super::gap::WatchGap;
use super::watched_folder::Relevance;
use crate::text::path_text;

/// Where something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChangedPath {
    /// At one path.
    At(PathBuf),
    /// At several paths, or it is not known where.
    Unknown,
}

impl ChangedPath {
    /// The one path, for the log.
    fn path(&self) -> Option<String> {
        match self {
            Self::At(path) => Some(path_text(path)),
            Self::Unknown => None,
        }
    }
}

/// Resolves when another scan would find something else.
#[derive(Debug)]
pub struct Signal {
    watcher: Arc<CatalogWatcher>,
    events: Option<Events>,
    debounce: Debounce,
}

impl Signal {
    pub(super) fn new(watcher: Arc<CatalogWatcher>, events: Option<Events>) -> Self {
        Self { watcher, events, debounce: Debounce::default() }
    }

    /// Resolves when something relevant has changed, all changes have settled, and the last report is long enough ago.
    /// Never, if the system cannot watch. Dropping the future may lose a change.
    pub async fn changed(&mut self) {
        loop {
            match self.debounce.due() {
                None => self.next_change().await,
                Some(due) => match timeout_at(due, self.next_change()).await {
                    Ok(changed) => changed,
                    // The scan that follows sees the change that was being examined.
                    Err(_) => return self.debounce.fire(Instant::now()),
                },
            };
            self.debounce.changed(Instant::now());
        }
    }

    /// The next relevant change, not debounced.
    pub(super) async fn next_change(&mut self) -> ChangedPath {
        loop {
            let event = tokio::select! {
                event = next(&mut self.events) => event,
                () = self.watcher.new_folder.notified() => return ChangedPath::Unknown,
            };
            let changed = match event {
                Ok(event) => self.relevance(event).await,
                Err(fault) => {
                    self.events = None;
                    self.watcher.set_gap(Some(WatchGap::Unsupported(fault.kind())));
                    Some(ChangedPath::Unknown)
                }
            };
            if let Some(place) = changed {
                self.watcher.changed.store(true, Ordering::Relaxed);
                tracing::debug!(path = place.path(), "the models folders have changed");
                return place;
            }
        }
    }

    /// Where something has changed, if it is relevant.
    async fn relevance(&self, event: Event) -> Option<ChangedPath> {
        let (path, relevance) = match event {
            Event::Overflow => return Some(ChangedPath::Unknown),
            Event::FolderMoved(id) => {
                return self
                    .watcher
                    .folders()
                    .get(&id)
                    .map(|watched_folder| ChangedPath::At(watched_folder.folder.clone()));
            }
            Event::WatchEnded(id) => {
                self.watcher.folders().remove(&id);
                return None;
            }
            Event::Entry(id, entry) => {
                let folders = self.watcher.folders();
                // The event of a folder that is not followed yet, or no longer. To be followed is a change itself.
                let watched_folder = folders.get(&id)?;
                let walked = |path: &Path| {
                    folders.values().any(|watched_folder| watched_folder.whole && watched_folder.folder == path)
                };
                (watched_folder.folder.join(&entry.name), watched_folder.relevance(&entry, walked))
            }
        };
        let relevance = match relevance {
            Relevance::Yes => true,
            Relevance::No => false,
            Relevance::IfLink => tokio::fs::symlink_metadata(&path).await.is_ok_and(|meta| meta.is_symlink()),
            Relevance::IfComplete => {
                let meta = tokio::fs::symlink_metadata(&path).await;
                meta.is_ok_and(|meta| !meta.is_file() || meta.nlink() > 1)
            }
        };
        relevance.then_some(ChangedPath::At(path))
    }
}

/// The next event; never, if the system cannot watch.
async fn next(events: &mut Option<Events>) -> io::Result<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
