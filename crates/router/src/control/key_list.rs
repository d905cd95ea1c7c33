//! The stored keys, read again when the file has changed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use auxot_access::keys::{Key, KeyFile};

/// Keys that are listed: the newest.
const MOST: usize = 200;

/// The newest keys of a file.
#[derive(Debug)]
pub(super) struct KeyList {
    file: Option<PathBuf>,
    read: Mutex<Option<ReadKeys>>,
}

#[derive(Debug, Clone)]
struct ReadKeys {
    stamp: Stamp,
    keys: Arc<[Key]>,
    others: usize,
}

/// What changes with the content of a file.
type Stamp = (u64, Option<SystemTime>);

impl KeyList {
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, read: Mutex::default() }
    }

    /// The newest keys in the order in which they were made, and the number of the others. A file that cannot be read has
    /// none: the log says so already.
    pub(super) async fn newest(self: &Arc<Self>) -> (Arc<[Key]>, usize) {
        let list = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || list.read()).await.unwrap_or_default();
        read.map_or_else(Default::default, |read| (read.keys, read.others))
    }

    fn read(&self) -> Option<ReadKeys> {
        let path = self.file.as_deref()?;
        let stamp = stamp(path)?;
        // A panic under this lock leaves a whole list.
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.stamp != stamp) {
            let mut keys = KeyFile::of_router(path).list().ok()?;
            let others = keys.len().saturating_sub(MOST);
            keys.drain(..others);
            *known = Some(ReadKeys { stamp, keys: keys.into(), others });
        }
        known.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = path.metadata().ok()?;
    Some((meta.len(), meta.modified().ok()))
}

#[cfg(test)]
mod tests {
    use auxot_access::keys::NewKeys;

    use super::*;

    #[tokio::test]
    async fn the_newest_keys_are_listed_and_a_change_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        let list = Arc::new(KeyList::new(Some(file.path().to_owned())));
        assert_eq!(list.newest().await.0.len(), 0, "there is no file yet");
        file.create("first", &NewKeys::Worker, None).unwrap();
        assert_eq!(list.newest().await.0.len(), 1);
        (0..MOST).for_each(|number| _ = file.create(&format!("k{number}"), &NewKeys::Worker, None).unwrap());
        let (keys, others) = list.newest().await;
        assert_eq!((keys.len(), others, &*keys[MOST - 1].name), (MOST, 1, "k199"));
        file.revoke("k199").unwrap();
        assert_eq!(&*list.newest().await.0[MOST - 1].name, "k198");
        assert_eq!(Arc::new(KeyList::new(None)).newest().await.1, 0);
    }
}
