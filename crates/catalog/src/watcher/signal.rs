//! The news of a lookout, for the one who waits for them.

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
    /// At many, or nobody knows.
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

/// Tells that another look would find something else.
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

    /// Resolves when something has changed that matters, all of it has settled, and the last time is not too short ago.
    /// Where nothing is seen, never. Dropping the future may lose a change.
    pub async fn changed(&mut self) {
        loop {
            match self.debounce.due() {
                None => self.next_change().await,
                Some(due) => match timeout_at(due, self.next_change()).await {
                    Ok(changed) => changed,
                    // What was being judged lies before the look that follows.
                    Err(_) => return self.debounce.tell(Instant::now()),
                },
            };
            self.debounce.next_change(Instant::now());
        }
    }

    /// The next change that matters, settled or not.
    pub(super) async fn next_change(&mut self) -> ChangedPath {
        loop {
            let news = tokio::select! {
                news = next(&mut self.events) => news,
                () = self.watcher.anew.notified() => return ChangedPath::Unknown,
            };
            let changed = match news {
                Ok(news) => self.relevance(news).await,
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

    /// Where something has changed, if it matters.
    async fn relevance(&self, news: Event) -> Option<ChangedPath> {
        let (path, relevance) = match news {
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
                // Of a folder that is not followed yet, or not any more. Being followed is news itself.
                let watched_folder = folders.get(&id)?;
                let walked = |path: &Path| {
                    folders.values().any(|watched_folder| watched_folder.whole && watched_folder.folder == path)
                };
                (watched_folder.folder.join(&entry.name), watched_folder.judge(&entry, walked))
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

/// The next piece of news; never, where there are none.
async fn next(events: &mut Option<Events>) -> io::Result<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
