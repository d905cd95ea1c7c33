//! What the system tells about folders, as it happens.

use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use super::post::{Entry, What};

/// All that can make a walk find something else; writing itself is not among it, only its end.
const WANTED: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Bytes of news that are taken at once: some hundred pieces.
const BUFFER: usize = 8_192;

/// A watched folder.
#[derive(Debug, Clone)]
pub(super) struct Id(WatchDescriptor);

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.get_watch_descriptor_id() == other.0.get_watch_descriptor_id()
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get_watch_descriptor_id().hash(state);
    }
}

/// One piece of news.
#[derive(Debug)]
pub(super) enum News {
    /// More has happened than could be told.
    TooMuch,
    /// A folder itself is gone, has moved, or its disk was taken away.
    Moved(Id),
    /// A folder is no longer watched.
    Ended(Id),
    /// Something in a folder.
    Entry(Id, Entry),
}

/// Where folders to be watched are named. Naming one may block for as long as its file system does.
#[derive(Debug, Clone)]
pub(super) struct Eyes(Watches);

/// What happens in the folders that were named, one piece after the other.
#[derive(Debug)]
pub(super) struct Ticker(EventStream<Vec<u8>>);

/// Both ends. To be called within a runtime.
pub(super) fn open() -> io::Result<(Eyes, Ticker)> {
    let inotify = Inotify::init()?;
    let eyes = Eyes(inotify.watches());
    Ok((eyes, Ticker(inotify.into_event_stream(vec![0; BUFFER])?)))
}

impl Eyes {
    /// Watches a folder; one that is watched already keeps its id, by whatever path it is named.
    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<Id> {
        self.0.add(folder, WANTED).map(Id)
    }

    pub(super) fn forget(&mut self, id: Id) {
        // A folder that is gone is not watched any more, which is what is wanted.
        let _ = self.0.remove(id.0);
    }
}

impl Ticker {
    /// The next piece. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<News> {
        loop {
            let event = self.0.next().await.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
            if let Some(news) = news(event) {
                return Ok(news);
            }
        }
    }
}

fn news(event: EventOwned) -> Option<News> {
    let (id, mask) = (Id(event.wd), event.mask);
    if mask.contains(EventMask::Q_OVERFLOW) {
        return Some(News::TooMuch);
    }
    if mask.contains(EventMask::IGNORED) {
        return Some(News::Ended(id));
    }
    if mask.intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT) {
        return Some(News::Moved(id));
    }
    let what = match mask {
        mask if mask.contains(EventMask::CREATE) => What::Made,
        mask if mask.contains(EventMask::MOVED_TO) => What::Came,
        mask if mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM) => What::Gone,
        _ => What::Written,
    };
    // News of the folder itself, such as who may read it, comes from the folder above too, with its name.
    let name = event.name?;
    Some(News::Entry(id, Entry { name, is_folder: mask.contains(EventMask::ISDIR), what }))
}
