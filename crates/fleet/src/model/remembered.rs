//! The sizes that were found to fit, kept on disk so that the next start begins with one that loads.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auxot_engine::FileId;
use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};

use crate::model::size_search::Size;

/// The number of sizes on disk; the oldest are dropped first.
const MAX_ENTRIES: usize = 64;
/// The longest file that is read, in bytes; a full one has some 200,000.
const MAX_BYTES: u64 = 4 << 20;
/// How long a size is valid: memory that another program took is free again one day.
const VALID_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Everything that a size depends on. Any difference makes another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The files that the engine depends on: the program, the model with its shards, its projector.
    paths: Vec<PathBuf>,
    files: Vec<FileId>,
    /// The engine's program, its build, and its arguments with the wanted size in them.
    engine: String,
    /// The ids of the devices.
    devices: Vec<String>,
}

impl Key {
    pub(crate) fn new(files: Vec<(PathBuf, FileId)>, engine: String, devices: Vec<String>) -> Self {
        let (paths, files) = files.into_iter().unzip();
        Self { paths, files, engine, devices }
    }

    /// The paths of the files.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The engine's program, its build, and its arguments.
    pub(crate) fn line(&self) -> &str {
        &self.engine
    }

    /// The ids of the files at planning time.
    pub(crate) fn files(&self) -> &Vec<FileId> {
        &self.files
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedSize {
    key: Key,
    size: Size,
    /// Seconds since 1970.
    found: u64,
}

/// The file and its entries.
#[derive(Debug)]
pub(crate) struct Remembered {
    file: StateFile<Vec<RememberedSize>>,
    entries: Mutex<Vec<RememberedSize>>,
    /// Held while the file is written, and never while a decision is made.
    writing: Mutex<()>,
}

impl Remembered {
    /// Reads the file in that folder. An unreadable file counts as empty: it only costs a search.
    pub(crate) fn open(folder: &Path) -> Self {
        let file = StateFile::new(folder.join("sizes.json"), MAX_BYTES).synced();
        let entries = file.read().unwrap_or_default();
        Self { file, entries: Mutex::new(entries), writing: Mutex::new(()) }
    }

    /// The size that was found to fit, unless it has expired.
    pub(crate) fn recall(&self, key: &Key, now: SystemTime) -> Option<Size> {
        let entries = self.lock();
        let entry = entries.iter().find(|entry| entry.key == *key)?;
        let age = seconds(now).checked_sub(entry.found)?;
        (age < VALID_FOR.as_secs()).then_some(entry.size)
    }

    /// Stores a size, or with `None` removes it. Blocks while it writes.
    pub(crate) fn keep(&self, key: Key, size: Option<Size>, now: SystemTime) -> std::io::Result<()> {
        // Writers take turns, so that the file ends up with the newest entries.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.lock();
        // An unchanged size keeps its age, so that it expires.
        if entries.iter().find(|entry| entry.key == key).map(|entry| entry.size) == size {
            return Ok(());
        }
        entries.retain(|entry| entry.key != key);
        entries.extend(size.map(|size| RememberedSize { key, size, found: seconds(now) }));
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        entries.drain(..surplus);
        let known = entries.clone();
        drop(entries);
        self.write(&known)
    }

    /// Replaces the whole file atomically, so that a crash leaves the old one.
    fn write(&self, entries: &[RememberedSize]) -> std::io::Result<()> {
        // A path that is not UTF-8 has no JSON form: the size of such a model is searched again after a restart.
        let is_text = |entry: &&RememberedSize| entry.key.paths.iter().all(|path| path.to_str().is_some());
        self.file.write(&entries.iter().filter(is_text).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RememberedSize>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { slots: 2, ctx: 4096 };

    #[test]
    fn a_size_is_recalled_for_the_same_key_only_and_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.gguf");
        std::fs::write(&file, "a model").unwrap();
        let key = |engine: &str| Key::new(vec![(file.clone(), FileId::of(&file))], engine.into(), vec!["GPU-1".into()]);
        let now = SystemTime::now();
        let stored = key("b1 -np 4");
        Remembered::open(folder.path()).keep(stored.clone(), Some(SIZE), now).unwrap();
        let remembered = Remembered::open(folder.path());
        assert_eq!(remembered.recall(&stored, now), Some(SIZE));
        assert_eq!(remembered.recall(&stored, now + VALID_FOR), None, "it expires after a day");
        assert_eq!(remembered.recall(&key("b2 -np 4"), now), None);
        std::fs::write(&file, "another model").unwrap();
        assert_eq!(remembered.recall(&key("b1 -np 4"), now), None);
        remembered.keep(stored.clone(), None, now).unwrap();
        assert_eq!(Remembered::open(folder.path()).recall(&stored, now), None);
    }

    #[test]
    fn the_file_stays_small_and_a_broken_one_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sizes.json"), "{").unwrap();
        let (remembered, now) = (Remembered::open(folder.path()), SystemTime::now());
        let key = |number: usize| Key::new(vec![], number.to_string(), vec![]);
        for number in 0..=MAX_ENTRIES {
            remembered.keep(key(number), Some(SIZE), now).unwrap();
        }
        assert_eq!((remembered.recall(&key(0), now), remembered.recall(&key(MAX_ENTRIES), now)), (None, Some(SIZE)));
    }
}
