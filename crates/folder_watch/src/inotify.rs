//! Folders watched by inotify.

use std::io;
use std::path::Path;

use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchMask, Watches};

use crate::event::{Change, Entry, Event};
use crate::folder_id::FolderId;

/// What can make a reader find something else. Of writing, only the closing of the file.
const WANTED: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Bytes of events that are read at once: some hundred events.
const BUFFER: usize = 8_192;

/// Takes the folders to be watched. Each call may block for as long as the folder's file system does.
#[derive(Debug, Clone)]
pub struct Watcher(Watches);

/// The events of the watched folders, in their order.
#[derive(Debug)]
pub struct Events(EventStream<Vec<u8>>);

/// A watcher without folders, and its events. Must be called within a runtime.
///
/// # Errors
/// When the system's limit of inotify instances is reached, or it has no inotify.
pub fn open() -> io::Result<(Watcher, Events)> {
    let inotify = Inotify::init()?;
    let watcher = Watcher(inotify.watches());
    Ok((watcher, Events(inotify.into_event_stream(vec![0; BUFFER])?)))
}

impl Watcher {
    /// Watches a folder. One that is watched already keeps its id, by whatever path it is given.
    ///
    /// # Errors
    /// When the path leads to no folder, the folder may not be read, or the system's limit of watches is reached.
    pub fn watch(&mut self, folder: &Path) -> io::Result<FolderId> {
        self.0.add(folder, WANTED).map(FolderId)
    }

    /// Ends the watch of a folder.
    pub fn unwatch(&mut self, id: FolderId) {
        // The system ends the watch of a deleted folder itself; then this fails, and nothing is left to do.
        let _ = self.0.remove(id.0);
    }
}

impl Events {
    /// The next event. Dropping the future loses none.
    ///
    /// # Errors
    /// When the system can give no further event; another call fails as well.
    pub async fn next(&mut self) -> io::Result<Event> {
        loop {
            let event = self.0.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
            if let Some(event) = event_of(event) {
                return Ok(event);
            }
        }
    }
}

fn event_of(event: EventOwned) -> Option<Event> {
    let (id, mask) = (FolderId(event.wd), event.mask);
    if mask.contains(EventMask::Q_OVERFLOW) {
        return Some(Event::Overflow);
    }
    if mask.contains(EventMask::IGNORED) {
        return Some(Event::WatchEnded(id));
    }
    if mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT) {
        return Some(Event::FolderMoved(id));
    }
    let change = match mask {
        mask if mask.contains(EventMask::CREATE) => Change::Created,
        mask if mask.contains(EventMask::MOVED_TO) => Change::MovedIn,
        mask if mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) => Change::Removed,
        _ => Change::Written,
    };
    // An event without a name is about the folder itself; the folder above gives it too, with a name.
    let name = event.name?;
    Some(Event::Entry(id, Entry { name, is_folder: mask.contains(EventMask::ISDIR), change }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Longer than the system takes to give an event on a loaded machine.
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn next(events: &mut Events) -> Event {
        timeout(DEADLINE, events.next()).await.expect("no event").unwrap()
    }

    #[tokio::test]
    async fn changes_of_names_come_in_order_and_so_does_the_end_of_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let (mut watcher, mut events) = open().unwrap();
        let watched = watcher.watch(&folder).unwrap();
        assert_eq!(watcher.watch(&home.path().join("folder/.")).unwrap(), watched, "by whatever path");
        assert!(watcher.watch(&home.path().join("nowhere")).is_err());
        fs::write(folder.join("file.new"), "text").unwrap();
        fs::rename(folder.join("file.new"), folder.join("file")).unwrap();
        fs::create_dir(folder.join("deep")).unwrap();
        fs::remove_dir(folder.join("deep")).unwrap();
        fs::remove_file(folder.join("file")).unwrap();
        let file = |name: &str, change| Entry { name: name.into(), is_folder: false, change };
        let deep = |change| Entry { name: "deep".into(), is_folder: true, change };
        let all = [
            file("file.new", Change::Created),
            file("file.new", Change::Written),
            file("file.new", Change::Removed),
            file("file", Change::MovedIn),
            deep(Change::Created),
            deep(Change::Removed),
            file("file", Change::Removed),
        ];
        for expected in all {
            let event = next(&mut events).await;
            assert!(matches!(&event, Event::Entry(id, entry) if (id, entry) == (&watched, &expected)), "{event:?}");
        }
        fs::remove_dir(&folder).unwrap();
        let event = next(&mut events).await;
        assert!(matches!(&event, Event::FolderMoved(id) if *id == watched), "{event:?}");
        let event = next(&mut events).await;
        assert!(matches!(&event, Event::WatchEnded(id) if *id == watched), "{event:?}");
    }
}
