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

use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use way::way_to;

/// How long nothing more must happen, so that several changes are one.
const SETTLE: Duration = Duration::from_millis(200);
/// The longest that a change waits for others to settle.
const LONGEST: Duration = Duration::from_secs(2);

/// All that can make the way lead to other text.
const WANTED: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Bytes of news that are taken at once.
const BUFFER: usize = 4_096;

/// Watches the way to one file.
#[derive(Debug)]
pub(super) struct Watch {
    eyes: Option<(Watches, EventStream<Vec<u8>>)>,
    posts: Posts,
}

/// The folders that are watched, by the system's number for each, and the paths in them that matter.
type Posts = HashMap<i32, (WatchDescriptor, Vec<PathBuf>)>;

impl Watch {
    /// One that watches nothing yet. A system that cannot watch is told in the log, and is no fault.
    pub(super) fn open() -> Self {
        let open = || {
            let inotify = Inotify::init()?;
            io::Result::Ok((inotify.watches(), inotify.into_event_stream(vec![0; BUFFER])?))
        };
        let eyes = open().map_err(|fault| cannot_watch(&fault)).ok();
        Self { eyes, posts: Posts::new() }
    }

    /// Watches this file from now on, and no other.
    pub(super) async fn follow(&mut self, file: Option<&Path>) {
        let Some((watches, _)) = &self.eyes else { return };
        let (mut watches, file, before) = (watches.clone(), file.map(Path::to_owned), std::mem::take(&mut self.posts));
        // The folders may be far away.
        let posts = tokio::task::spawn_blocking(move || {
            let posts = file.map(|file| post(&mut watches, &file)).unwrap_or_default();
            for (id, (old, _)) in before {
                if !posts.contains_key(&id) {
                    // A folder that is gone is not watched any more, which is what is wanted.
                    let _ = watches.remove(old);
                }
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
            let Some((_, news)) = &mut self.eyes else { return std::future::pending().await };
            match news.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())) {
                Ok(event) => {
                    if self.matters(&event).await {
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

    async fn matters(&self, event: &EventOwned) -> bool {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        let Some((_, paths)) = self.posts.get(&event.wd.get_watch_descriptor_id()) else { return false };
        let Some(name) = &event.name else {
            return event.mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF);
        };
        let Some(path) = paths.iter().find(|path| path.file_name() == Some(name)) else { return false };
        // A plain file that has just been made is being written. It is told of again once it is whole.
        !(event.mask.contains(EventMask::CREATE) && is_being_written(path).await)
    }
}

/// One with a second name has been whole before.
async fn is_being_written(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok_and(|about| about.is_file() && about.nlink() == 1)
}

/// Watches the folders on the way to a file. Blocks.
fn post(watches: &mut Watches, file: &Path) -> Posts {
    let mut posts = Posts::new();
    for path in way_to(file) {
        // Of a folder that is not there, the one above tells when it comes.
        for (path, folder) in path.ancestors().zip(path.ancestors().skip(1)) {
            match watches.add(folder, WANTED) {
                Ok(watch) => {
                    let id = watch.get_watch_descriptor_id();
                    posts.entry(id).or_insert_with(|| (watch, Vec::new())).1.push(path.to_owned());
                }
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
