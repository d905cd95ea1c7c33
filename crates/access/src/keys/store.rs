//! The current keys: read once, and again when the file changes.
//!
//! A file that is unreadable for a moment revokes nothing: good keys stay good, and other keys are neither good nor bad
//! until the file can be read again. An editor may truncate a file before it writes it, so that a key counts as revoked
//! only after the file has been unchanged for a moment.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Keys;
use super::file::{FileError, list};

/// A file that changed more recently may be half written.
const SETTLED: Duration = Duration::from_millis(200);

/// One stored hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hash {
    /// The hash; it also identifies the key while the program runs.
    pub(crate) phc: Arc<str>,
    /// See [`super::hint`]; it rejects a wrong key without a slow check.
    pub(crate) hint: Option<String>,
}

/// All hashes at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    pub(crate) worker: Vec<Hash>,
    pub(crate) api: Vec<Hash>,
}

impl KeySet {
    /// How many worker keys there are.
    #[must_use]
    pub fn worker_keys(&self) -> usize {
        self.worker.len()
    }

    /// How many API keys there are.
    #[must_use]
    pub fn api_keys(&self) -> usize {
        self.api.len()
    }

    /// Whether the hash is in the set.
    #[must_use]
    pub fn has(&self, phc: &str) -> bool {
        self.worker.iter().chain(&self.api).any(|hash| *hash.phc == *phc)
    }
}

/// The keys as they are known now.
#[derive(Debug, Clone)]
pub(crate) struct KeySnapshot {
    pub(crate) set: Arc<KeySet>,
    /// Whether a key that is not in the set is a bad key.
    pub(crate) certain: bool,
    /// Changes whenever a key may have been added or removed.
    pub(crate) version: u64,
}

/// The keys, and the file as it was last read.
#[derive(Debug)]
pub struct KeyStore {
    keys: Keys,
    state: Mutex<StoreState>,
}

#[derive(Debug)]
struct StoreState {
    snapshot: KeySnapshot,
    /// The file as it was when it was read.
    stamp: Option<Stamp>,
}

/// Metadata that change with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    place: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self { place: (meta.dev(), meta.ino()), length: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

impl KeyStore {
    /// Reads the keys.
    ///
    /// # Errors
    /// The file cannot be read or is not a key file.
    pub fn open(keys: Keys) -> Result<Self, FileError> {
        let stamp = keys.file.as_deref().and_then(|path| path.metadata().ok()).map(|meta| Stamp::of(&meta));
        let set = read(&keys)?;
        let snapshot = KeySnapshot { set: Arc::new(set), certain: true, version: 0 };
        Ok(Self { keys, state: Mutex::new(StoreState { snapshot, stamp }) })
    }

    /// The keys as they were read last.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.last_read().set
    }

    /// The keys of the last read, without a look at the file.
    pub(crate) fn last_read(&self) -> KeySnapshot {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).snapshot.clone()
    }

    /// The current keys. Blocks on file metadata, and reads the file if it has changed.
    pub(crate) fn snapshot(&self) -> KeySnapshot {
        let Some(path) = &self.keys.file else { return self.last_read() };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A writer truncates a file before it writes it; on a busy machine there may be a long pause between the two.
        let found = path.metadata().ok().filter(|meta| meta.len() > 0);
        let found = found.map(|meta| (Stamp::of(&meta), is_settled(&meta)));
        if let Some((stamp, _)) = found
            && state.stamp == Some(stamp)
        {
            state.snapshot.certain = true;
            return state.snapshot.clone();
        }
        match (read(&self.keys), found) {
            (Ok(set), Some((stamp, true))) => {
                if *state.snapshot.set != set {
                    tracing::info!(worker_keys = set.worker.len(), api_keys = set.api.len(), "key file read again");
                    state.snapshot.set = Arc::new(set);
                    state.snapshot.version += 1;
                } else if !state.snapshot.certain {
                    state.snapshot.version += 1;
                }
                state.snapshot.certain = true;
                state.stamp = Some(stamp);
                state.snapshot.clone()
            }
            (Ok(set), _) => {
                // The file may be half written: new hashes count, missing ones are not revoked yet.
                let mut all = (*state.snapshot.set).clone();
                for (known, new) in [(&mut all.worker, set.worker), (&mut all.api, set.api)] {
                    known.extend(new.into_iter().filter(|hash| !state.snapshot.set.has(&hash.phc)));
                }
                state.snapshot.certain = false;
                KeySnapshot { set: Arc::new(all), certain: false, version: state.snapshot.version }
            }
            (Err(error), _) => {
                if std::mem::replace(&mut state.snapshot.certain, false) {
                    tracing::error!(%error, "keys stay as they are until the key file can be read");
                }
                state.snapshot.clone()
            }
        }
    }
}

/// A time in the future comes from another clock; waiting for it makes no sense.
fn is_settled(meta: &Metadata) -> bool {
    let age = meta.modified().ok().map(|modified| SystemTime::now().duration_since(modified));
    !matches!(age, Some(Ok(age)) if age < SETTLED)
}

fn read(keys: &Keys) -> Result<KeySet, FileError> {
    let mut set = KeySet::default();
    if let Some(path) = &keys.file {
        for pair in list(path)? {
            set.worker.extend(pair.worker.map(|phc| Hash { phc: phc.into(), hint: pair.worker_hint }));
            set.api.push(Hash { phc: pair.api.into(), hint: pair.api_hint });
        }
    }
    let bare = |phc: &String| Hash { phc: phc.as_str().into(), hint: None };
    set.worker.extend(keys.worker.iter().map(bare));
    set.api.extend(keys.api.iter().map(bare));
    Ok(set)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::keys::cheap_hash;

    fn write(path: &Path, pairs: usize, age: Duration) {
        let pair = |number| {
            let hash = cheap_hash(&format!("k{number}")).unwrap();
            format!(
                "[[pair]]\nname = \"{number}\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"{hash}\"\napi = \"{hash}\"\n"
            )
        };
        fs::write(path, (0..pairs).map(pair).collect::<String>()).unwrap();
        fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn keys_missing_for_a_moment_stay_and_removed_keys_are_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let long = Duration::from_secs(9);
        write(&path, 2, long);
        let store = KeyStore::open(Keys::file(path.clone())).unwrap();
        assert!(store.snapshot().certain);

        fs::remove_file(&path).unwrap();
        let gone = store.snapshot();
        assert!(!gone.certain && gone.set.worker.len() == 2, "other keys are unknown");
        for age in [Duration::ZERO, long] {
            write(&path, 0, age);
            let half = store.snapshot();
            assert!(!half.certain && half.set.worker.len() == 2, "it is truncated and not written yet");
        }
        write(&path, 1, Duration::ZERO);
        let half = store.snapshot();
        assert!(!half.certain && half.set.worker.len() == 3, "it may be half written");
        write(&path, 3, Duration::ZERO);
        assert_eq!(store.snapshot().set.worker.len(), 5, "new keys count at once");
        fs::write(&path, "[[pair").unwrap();
        assert!(!store.snapshot().certain && !store.last_read().certain);

        write(&path, 1, long);
        let (before, now) = (half.version, store.snapshot());
        assert!(now.certain && now.set.worker.len() == 1 && now.version > before);
        assert_eq!(store.snapshot().version, now.version);
    }
}
