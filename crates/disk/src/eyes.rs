//! What the system tells about folders, as it happens (Linux: inotify).

use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;

use futures_util::StreamExt;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::{Entry, News, What};

/// All that can make somebody read something else; writing itself is not among it, only its end.
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
pub struct Id(WatchDescriptor);

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

/// Where folders to be watched are named. Naming one may block for as long as its file system does.
#[derive(Debug, Clone)]
pub struct Eyes(Watches);

/// What happens in the folders that were named, one piece after the other.
#[derive(Debug)]
pub struct Ticker(EventStream<Vec<u8>>);

/// Both ends. To be called within a runtime.
///
/// # Errors
/// When the system gives us no more of them, or none at all.
pub fn open() -> io::Result<(Eyes, Ticker)> {
    let inotify = Inotify::init()?;
    let eyes = Eyes(inotify.watches());
    Ok((eyes, Ticker(inotify.into_event_stream(vec![0; BUFFER])?)))
}

impl Eyes {
    /// Watches a folder; one that is watched already keeps its id, by whatever path it is named.
    ///
    /// # Errors
    /// When it is not there or no folder, may not be read, or as many are watched as the system lets us.
    pub fn watch(&mut self, folder: &Path) -> io::Result<Id> {
        self.0.add(folder, WANTED).map(Id)
    }

    /// Watches a folder no more.
    pub fn forget(&mut self, id: Id) {
        // A folder that is gone is not watched any more, which is what is wanted.
        let _ = self.0.remove(id.0);
    }
}

impl Ticker {
    /// The next piece. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the system tells nothing any more; asking again is no use.
    pub async fn next(&mut self) -> io::Result<News> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Longer than the system takes to tell anything on a loaded machine.
    const DEADLINE: Duration = Duration::from_secs(20);

    async fn told(ticker: &mut Ticker) -> News {
        timeout(DEADLINE, ticker.next()).await.expect("no news").unwrap()
    }

    #[tokio::test]
    async fn what_becomes_of_names_is_told_in_order_and_the_end_of_a_folder_too() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let (mut eyes, mut ticker) = open().unwrap();
        let watched = eyes.watch(&folder).unwrap();
        assert_eq!(eyes.watch(&home.path().join("folder/.")).unwrap(), watched, "by whatever path");
        assert!(eyes.watch(&home.path().join("nowhere")).is_err());
        crate::replace(&folder.join("file"), |_| Ok(())).unwrap();
        fs::create_dir(folder.join("deep")).unwrap();
        fs::remove_dir(folder.join("deep")).unwrap();
        fs::remove_file(folder.join("file")).unwrap();
        let beside = format!("file.{}", std::process::id());
        let file = |name: &str, what| Entry { name: name.into(), is_folder: false, what };
        let deep = |what| Entry { name: "deep".into(), is_folder: true, what };
        let all = [
            file(&beside, What::Made),
            file(&beside, What::Written),
            file(&beside, What::Gone),
            file("file", What::Came),
            deep(What::Made),
            deep(What::Gone),
            file("file", What::Gone),
        ];
        for expected in all {
            let news = told(&mut ticker).await;
            assert!(matches!(&news, News::Entry(id, entry) if (id, entry) == (&watched, &expected)), "{news:?}");
        }
        fs::remove_dir(&folder).unwrap();
        let news = told(&mut ticker).await;
        assert!(matches!(&news, News::Moved(id) if *id == watched), "{news:?}");
        let news = told(&mut ticker).await;
        assert!(matches!(&news, News::Ended(id) if *id == watched), "{news:?}");
    }
}
