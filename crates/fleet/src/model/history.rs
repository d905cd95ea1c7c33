//! What earlier loads have shown, kept between runs: the memory of models, and the sizes that fit.
//!
//! On a device, a measurement is the most that the process ever held there. In host memory, where nothing is on a device, it
//! is what the process holds when it becomes ready, less repacked weights, plus what its jobs are computed to add. Later
//! readings of host memory include the engine's prompt cache, which grows with the traffic up to `engine.cache_ram`. As a
//! requirement, either would later refuse a model that fits.
//!
//! A size is kept so that the next start begins with one that loads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auxot_catalog::MeasurementHistory;
use auxot_engine::FileId;
use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::model::size_search::Size;
use auxot_placement::{Placement, Remembered, Subject};

/// The number of sizes on disk; the oldest are dropped first.
const MAX_ENTRIES: usize = 64;
/// The longest file that is read, in bytes; a full one has some 200,000.
const MAX_BYTES: u64 = 4 << 20;
/// How long a size is valid: memory that another program took is free again one day.
const VALID_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The measurement history of this host, and the file that stores it.
#[derive(Debug)]
pub(crate) struct Measurements {
    path: PathBuf,
    measurements: Mutex<MeasurementHistory>,
    /// Held while the file is written, and never while a decision is made.
    writing: Mutex<()>,
}

/// The file with the measurements, in the state folder.
#[must_use]
pub fn measurements_file(folder: &Path) -> PathBuf {
    folder.join("experience.json")
}

impl Measurements {
    pub(crate) fn open(folder: &Path) -> Self {
        let path = measurements_file(folder);
        Self { measurements: Mutex::new(MeasurementHistory::open(&path)), path, writing: Mutex::new(()) }
    }

    /// A lookup of what a placement of this subject held the last time.
    pub(crate) fn about(self: &Arc<Self>, subject: Subject) -> Remembered {
        let measurements = Arc::clone(self);
        Remembered::new(move |placement| measurements.lock().recall(&subject.at(placement)).map(<[u64]>::to_vec))
    }

    /// Writes the history to disk. Blocks.
    pub(crate) fn save(&self) {
        // Writers take turns, so that the file ends up with the newest history; decisions do not wait for the disk.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lock().clone();
        if let Err(fault) = known.save(&self.path) {
            warn!(path = %self.path.display(), %fault, "cannot save the measured memory of models");
        }
    }

    /// Records what a placement of this subject holds. Returns whether the history has changed.
    pub(crate) fn learn(&self, subject: &Subject, placement: &Placement, measured: Vec<u64>) -> bool {
        self.lock().learn(subject.at(placement), measured, SystemTime::now())
    }

    /// Whether a placement of this subject has a measurement.
    pub(crate) fn knows(&self, subject: &Subject, placement: &Placement) -> bool {
        self.lock().recall(&subject.at(placement)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, MeasurementHistory> {
        self.measurements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
struct FoundSize {
    key: Key,
    size: Size,
    /// Seconds since 1970.
    found: u64,
}

/// The sizes that were found to fit, and the file that stores them.
#[derive(Debug)]
pub(crate) struct FoundSizes {
    file: StateFile<Vec<FoundSize>>,
    entries: Mutex<Vec<FoundSize>>,
    /// Held while the file is written, and never while a decision is made.
    writing: Mutex<()>,
}

impl FoundSizes {
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
        entries.extend(size.map(|size| FoundSize { key, size, found: seconds(now) }));
        let surplus = entries.len().saturating_sub(MAX_ENTRIES);
        entries.drain(..surplus);
        let known = entries.clone();
        drop(entries);
        self.write(&known)
    }

    /// Replaces the whole file atomically, so that a crash leaves the old one.
    fn write(&self, entries: &[FoundSize]) -> std::io::Result<()> {
        // A path that is not UTF-8 has no JSON form: the size of such a model is searched again after a restart.
        let is_text = |entry: &&FoundSize| entry.key.paths.iter().all(|path| path.to_str().is_some());
        self.file.write(&entries.iter().filter(is_text).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FoundSize>> {
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
        FoundSizes::open(folder.path()).keep(stored.clone(), Some(SIZE), now).unwrap();
        let sizes = FoundSizes::open(folder.path());
        assert_eq!(sizes.recall(&stored, now), Some(SIZE));
        assert_eq!(sizes.recall(&stored, now + VALID_FOR), None, "it expires after a day");
        assert_eq!(sizes.recall(&key("b2 -np 4"), now), None);
        std::fs::write(&file, "another model").unwrap();
        assert_eq!(sizes.recall(&key("b1 -np 4"), now), None);
        sizes.keep(stored.clone(), None, now).unwrap();
        assert_eq!(FoundSizes::open(folder.path()).recall(&stored, now), None);
    }

    #[test]
    fn the_file_stays_small_and_a_broken_one_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sizes.json"), "{").unwrap();
        let (sizes, now) = (FoundSizes::open(folder.path()), SystemTime::now());
        let key = |number: usize| Key::new(vec![], number.to_string(), vec![]);
        for number in 0..=MAX_ENTRIES {
            sizes.keep(key(number), Some(SIZE), now).unwrap();
        }
        assert_eq!((sizes.recall(&key(0), now), sizes.recall(&key(MAX_ENTRIES), now)), (None, Some(SIZE)));
    }
}
