//! Tells when a file may have become another one: written, replaced, or reached by another link.
//!
//! Its folder is watched and not the file itself, because most editors put a new file in its place; and with it every
//! folder in which a link on the way to it lies. Writing is no news, only its end.

#[cfg(test)]
mod tests;
mod way;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use auxot_folder_watch::{Change, Event, Events, FolderId, Watcher};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use way::way_to;

/// How long nothing more must happen, so that several changes are one.
const SETTLE: Duration = Duration::from_millis(200);
/// The longest that a change waits for others to settle.
const LONGEST: Duration = Duration::from_secs(2);

/// Watches the way to one file.
#[derive(Debug)]
pub(super) struct Watch {
    eyes: Option<(Watcher, Events)>,
    posts: Posts,
}

/// The folders that are watched, and the paths in each that matter.
type Posts = HashMap<FolderId, Vec<PathBuf>>;

impl Watch {
    /// One that watches nothing yet. A system that cannot watch is told in the log, and is no fault.
    pub(super) fn open() -> Self {
        let eyes = auxot_folder_watch::open().map_err(|fault| cannot_watch(&fault)).ok();
        Self { eyes, posts: Posts::new() }
    }

    /// Watches this file from now on, and no other.
    pub(super) async fn follow(&mut self, file: Option<&Path>) {
        let Some((eyes, _)) = &self.eyes else { return };
        let (mut eyes, file, before) = (eyes.clone(), file.map(Path::to_owned), std::mem::take(&mut self.posts));
        // The folders may be far away.
        let posts = tokio::task::spawn_blocking(move || {
            let posts = file.map(|file| post(&mut eyes, &file)).unwrap_or_default();
            for id in before.into_keys().filter(|id| !posts.contains_key(id)) {
                eyes.unwatch(id);
            }
            posts
        });
        // A panic has been logged; then nothing is watched.
        self.posts = posts.await.unwrap_or_default();
    }

    /// Resolves when something has changed and settled. Dropped before, it may forget what has not settled.
    pub(super) async fn changed(&mut self) {
        self.stir().await;
        let latest = Instant::now() + LONGEST;
        while timeout_at((Instant::now() + SETTLE).min(latest), self.stir()).await.is_ok() {}
    }

    /// Resolves at the next piece of news that matters.
    async fn stir(&mut self) {
        loop {
            let Some((_, events)) = &mut self.eyes else { return std::future::pending().await };
            match events.next().await {
                Ok(news) => {
                    if self.matters(&news).await {
                        return;
                    }
                }
                Err(fault) => {
                    cannot_watch(&fault);
                    self.eyes = None;
                }
            }
        }
    }

    async fn matters(&self, news: &Event) -> bool {
        let (id, entry) = match news {
            Event::Overflow => return true,
            Event::FolderMoved(id) => return self.posts.contains_key(id),
            Event::WatchEnded(_) => return false,
            Event::Entry(id, entry) => (id, entry),
        };
        let mut paths = self.posts.get(id).into_iter().flatten();
        let Some(path) = paths.find(|path| path.file_name() == Some(&entry.name)) else { return false };
        // A plain file that has just been made is being written. It is told of again once it is whole.
        !(entry.change == Change::Created && is_being_written(path).await)
    }
}

/// One with a second name has been whole before.
async fn is_being_written(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok_and(|about| about.is_file() && about.nlink() == 1)
}

/// Watches the folders on the way to a file. Blocks.
fn post(eyes: &mut Watcher, file: &Path) -> Posts {
    let mut posts = Posts::new();
    for path in way_to(file) {
        // Of a folder that is not there, the one above tells when it comes.
        for (path, folder) in path.ancestors().zip(path.ancestors().skip(1)) {
            match eyes.watch(folder) {
                Ok(id) => posts.entry(id).or_default().push(path.to_owned()),
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                Err(fault) => cannot_watch(&fault),
            }
            break;
        }
    }
    posts
}

fn cannot_watch(fault: &io::Error) {
    warn!(%fault, "cannot watch the file of the settings: send SIGHUP to have it read again");
}
