//! The news of a lookout, for the one who waits for them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use auxot_folder_watch::{Event, Events};
use tokio::time::{Instant, timeout_at};

use super::Lookout;
use super::blind::Blind;
use super::calm::Calm;
use super::post::Matters;
use crate::text::path_text;

/// Where something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// At one path.
    Here(PathBuf),
    /// At many, or nobody knows.
    Somewhere,
}

impl Place {
    /// The one path, for the log.
    fn path(&self) -> Option<String> {
        match self {
            Self::Here(path) => Some(path_text(path)),
            Self::Somewhere => None,
        }
    }
}

/// Tells that another look would find something else.
#[derive(Debug)]
pub struct Signal {
    lookout: Arc<Lookout>,
    events: Option<Events>,
    calm: Calm,
}

impl Signal {
    pub(super) fn new(lookout: Arc<Lookout>, events: Option<Events>) -> Self {
        Self { lookout, events, calm: Calm::default() }
    }

    /// Resolves when something has changed that matters, all of it has settled, and the last time is not too short ago.
    /// Where nothing is seen, never. Dropping the future may lose a change.
    pub async fn changed(&mut self) {
        loop {
            match self.calm.due() {
                None => self.stir().await,
                Some(due) => match timeout_at(due, self.stir()).await {
                    Ok(stirred) => stirred,
                    // What was being judged lies before the look that follows.
                    Err(_) => return self.calm.tell(Instant::now()),
                },
            };
            self.calm.stir(Instant::now());
        }
    }

    /// The next change that matters, settled or not.
    pub(super) async fn stir(&mut self) -> Place {
        loop {
            let news = tokio::select! {
                news = next(&mut self.events) => news,
                () = self.lookout.anew.notified() => return Place::Somewhere,
            };
            let stirred = match news {
                Ok(news) => self.matters(news).await,
                Err(fault) => {
                    self.events = None;
                    self.lookout.become_blind(Some(Blind::Unable(fault.kind())));
                    Some(Place::Somewhere)
                }
            };
            if let Some(place) = stirred {
                self.lookout.stirred.store(true, Ordering::Relaxed);
                tracing::debug!(path = place.path(), "the models folders have changed");
                return place;
            }
        }
    }

    /// Where something has changed, if it matters.
    async fn matters(&self, news: Event) -> Option<Place> {
        let (path, matters) = match news {
            Event::Overflow => return Some(Place::Somewhere),
            Event::FolderMoved(id) => {
                return self.lookout.posts().get(&id).map(|post| Place::Here(post.folder.clone()));
            }
            Event::WatchEnded(id) => {
                self.lookout.posts().remove(&id);
                return None;
            }
            Event::Entry(id, entry) => {
                let posts = self.lookout.posts();
                // Of a folder that is not followed yet, or not any more. Being followed is news itself.
                let post = posts.get(&id)?;
                let walked = |path: &Path| posts.values().any(|post| post.whole && post.folder == path);
                (post.folder.join(&entry.name), post.judge(&entry, walked))
            }
        };
        let matters = match matters {
            Matters::Yes => true,
            Matters::No => false,
            Matters::IfLink => tokio::fs::symlink_metadata(&path).await.is_ok_and(|meta| meta.is_symlink()),
            Matters::IfWhole => {
                let meta = tokio::fs::symlink_metadata(&path).await;
                meta.is_ok_and(|meta| !meta.is_file() || meta.nlink() > 1)
            }
        };
        matters.then_some(Place::Here(path))
    }
}

/// The next piece of news; never, where there are none.
async fn next(events: &mut Option<Events>) -> io::Result<Event> {
    match events {
        Some(events) => events.next().await,
        None => std::future::pending().await,
    }
}
