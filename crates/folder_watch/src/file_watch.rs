//! Reports when a file may have changed: written, replaced, or reached by another link.
//!
//! Its folder is watched and not the file itself, because most editors replace the file. Every folder that contains a
//! symbolic link to it is watched, too. The end of a write is reported, not its progress.

mod links;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::warn;

use links::linked_paths;

use crate::event::{Change, Event};
use crate::folder_id::FolderId;
use crate::inotify::{self, Events, Watcher};

/// Changes with shorter pauses between them are reported as one.
const SETTLE: Duration = Duration::from_millis(200);
/// The longest that a change waits for further ones.
const MAX_SETTLE: Duration = Duration::from_secs(2);

/// Watches one file and the links to it.
#[derive(Debug)]
pub struct FileWatch {
    /// What the file is, for the log.
    what: &'static str,
    watcher: Option<(Watcher, Events)>,
    folders: WatchedFolders,
}

/// The watched folders, each with the paths in it that matter.
type WatchedFolders = HashMap<FolderId, Vec<PathBuf>>;

impl FileWatch {
    /// Watches nothing yet. A system without file watching is logged, with what the file is, and is not a failure. Must be
    /// called within a runtime.
    #[must_use]
    pub fn open(what: &'static str) -> Self {
        let watcher = inotify::open().map_err(|fault| cannot_watch(what, &fault)).ok();
        Self { what, watcher, folders: WatchedFolders::new() }
    }

    /// Watches this file from now on, and no other.
    pub async fn follow(&mut self, file: Option<&Path>) {
        let Some((watcher, _)) = &self.watcher else { return };
        let (mut watcher, file, before) =
            (watcher.clone(), file.map(Path::to_owned), std::mem::take(&mut self.folders));
        let what = self.what;
        // The folders may be on a slow file system.
        let folders = tokio::task::spawn_blocking(move || {
            let folders = file.map(|file| watch_folders(what, &mut watcher, &file)).unwrap_or_default();
            for id in before.into_keys().filter(|id| !folders.contains_key(id)) {
                watcher.unwatch(id);
            }
            folders
        });
        // A panic has been logged; then no folder is watched.
        self.folders = folders.await.unwrap_or_default();
    }

    /// Resolves when something has changed and settled. A drop before that may lose unsettled changes.
    pub async fn changed(&mut self) {
        self.next_change().await;
        let latest = Instant::now() + MAX_SETTLE;
        while timeout_at((Instant::now() + SETTLE).min(latest), self.next_change()).await.is_ok() {}
    }

    /// Resolves at the next change, which may not be the last one; never where the system cannot watch. A drop may
    /// lose a change of the moments before.
    pub async fn next_change(&mut self) {
        loop {
            let Some((_, events)) = &mut self.watcher else { return std::future::pending().await };
            match events.next().await {
                Ok(event) => {
                    if self.matters(&event).await {
                        return;
                    }
                }
                Err(fault) => {
                    cannot_watch(self.what, &fault);
                    self.watcher = None;
                }
            }
        }
    }

    async fn matters(&self, event: &Event) -> bool {
        let (id, entry) = match event {
            Event::Overflow => return true,
            Event::FolderMoved(id) => return self.folders.contains_key(id),
            Event::WatchEnded(_) => return false,
            Event::Entry(id, entry) => (id, entry),
        };
        let mut paths = self.folders.get(id).into_iter().flatten();
        let Some(path) = paths.find(|path| path.file_name() == Some(&entry.name)) else { return false };
        // A plain file that was just created is being written; another event follows at the end of the write.
        !(entry.change == Change::Created && is_being_written(path).await)
    }
}

/// A file with a second hard link was complete before.
async fn is_being_written(path: &Path) -> bool {
    tokio::fs::symlink_metadata(path).await.is_ok_and(|about| about.is_file() && about.nlink() == 1)
}

/// Watches the folders of a file and of the links to it. Blocks.
fn watch_folders(what: &str, watcher: &mut Watcher, file: &Path) -> WatchedFolders {
    let mut folders = WatchedFolders::new();
    for path in linked_paths(file) {
        // If a folder is missing, the one above reports its creation.
        for (path, folder) in path.ancestors().zip(path.ancestors().skip(1)) {
            match watcher.watch(folder) {
                Ok(id) => folders.entry(id).or_default().push(path.to_owned()),
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
                Err(fault) => cannot_watch(what, &fault),
            }
            break;
        }
    }
    folders
}

fn cannot_watch(what: &str, fault: &io::Error) {
    warn!(%fault, "cannot watch {what}");
}
