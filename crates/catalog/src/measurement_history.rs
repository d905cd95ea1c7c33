//! The memory that models really took, remembered over restarts.
//!
//! A computed requirement leaves out what only the driver knows. What a process of the same file, the same sizes, the
//! same engine and the same devices took is better than any formula, so it is kept in one small file that a person can
//! read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// Measurements that are remembered; the one that was not used for the longest time is dropped first.
const MOST: usize = 512;
/// The longest file that is read; a full one has some 200,000 bytes.
const LONGEST: u64 = 4 << 20;
/// The longest text of a key. A measurement with a longer one is not recorded.
const MAX_TEXT: usize = 1_024;

/// What must be the same for a measurement to apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasurementKey {
    /// The file, or the first of its shards.
    pub file: PathBuf,
    /// The state of that file.
    pub identity: Identity,
    /// All arguments of the engine that affect memory, such as `ctx 8192 x 4, f16`.
    pub asked: String,
    /// The engine's build.
    pub build: String,
    /// The ids of the devices, in the order in which the engine sees them.
    pub devices: Vec<String>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Measurement {
    #[serde(flatten)]
    key: MeasurementKey,
    /// Bytes on each device, in the order of the devices.
    took: Vec<u64>,
    /// Seconds since 1970 when it was last measured or used.
    used: u64,
}

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub struct MeasurementHistory {
    measurements: Vec<Measurement>,
}

impl MeasurementHistory {
    /// Reads what [`MeasurementHistory::save`] wrote. Blocks. A missing or damaged file is an empty history, which
    /// costs accuracy and nothing else.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let mut measurements = Self::file(path).read().unwrap_or_default();
        measurements.retain(|measurement| measurement.is_whole());
        measurements.truncate(MOST);
        Self { measurements }
    }

    /// Writes all measurements, whole or not at all. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; then the old one is still there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        // A path that is no UTF-8 has no JSON: such a model is measured anew after a restart.
        let has_text = |measurement: &&Measurement| measurement.key.file.to_str().is_some();
        Self::file(path).write(&self.measurements.iter().filter(has_text).cloned().collect())
    }

    fn file(path: &Path) -> StateFile<Vec<Measurement>> {
        StateFile::new(path, LONGEST)
    }

    /// Bytes on each device at the last measurement, in the order of the devices.
    #[must_use]
    pub fn recall(&self, key: &MeasurementKey) -> Option<&[u64]> {
        self.measurements.iter().find(|measurement| measurement.key == *key).map(|measurement| &*measurement.took)
    }

    /// The same for any build of the engine: the measurement that was made or used last, and its build.
    #[must_use]
    pub fn recall_of_any_build(&self, key: &MeasurementKey) -> Option<(&[u64], &str)> {
        let same = |measurement: &&Measurement| {
            let (known, wanted) = (&measurement.key, key);
            (&known.file, &known.identity, &known.asked, &known.devices)
                == (&wanted.file, &wanted.identity, &wanted.asked, &wanted.devices)
        };
        let newest = self.measurements.iter().filter(same).max_by_key(|measurement| measurement.used)?;
        Some((&newest.took, &newest.key.build))
    }

    /// Records what a process took. Returns whether to save: the measurement is new or differs by more than a
    /// hundredth.
    pub fn learn(&mut self, key: MeasurementKey, took: Vec<u64>, now: SystemTime) -> bool {
        let used = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let measurement = Measurement { key, took, used };
        if !measurement.is_whole() {
            return false;
        }
        // Another state of the same file never comes back.
        let (file, identity) = (&measurement.key.file, measurement.key.identity);
        self.measurements.retain(|known| known.key.file != *file || known.key.identity == identity);
        if let Some(known) = self.measurements.iter_mut().find(|known| known.key == measurement.key) {
            let news = known.took.iter().zip(&measurement.took).any(|(old, new)| old.abs_diff(*new) > old / 100);
            *known = measurement;
            return news;
        }
        if self.measurements.len() >= MOST
            && let Some(oldest) = (0..self.measurements.len()).min_by_key(|at| self.measurements[*at].used)
        {
            self.measurements.swap_remove(oldest);
        }
        self.measurements.push(measurement);
        true
    }
}

impl Measurement {
    fn is_whole(&self) -> bool {
        let MeasurementKey { asked, build, devices, .. } = &self.key;
        let short = [asked, build].into_iter().chain(devices).all(|text| text.len() <= MAX_TEXT);
        short && !devices.is_empty() && self.took.len() == devices.len()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key(file: &str, inode: u64) -> MeasurementKey {
        MeasurementKey {
            file: PathBuf::from(file),
            identity: Identity { bytes: 7, modified: (1, 2), inode },
            asked: "ctx 8192 x 4, f16".into(),
            build: "b10434".into(),
            devices: vec!["GPU-a".into(), "GPU-b".into()],
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_learnt_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/experience.json");
        let mut history = MeasurementHistory::open(&path);
        assert!(history.learn(key("/m/a.gguf", 1), vec![100_000, 200_000], at(1)));
        assert!(!history.learn(key("/m/a.gguf", 1), vec![100_500, 200_000], at(2)), "as good as the same");
        history.save(&path).unwrap();
        let again = MeasurementHistory::open(&path);
        assert_eq!(again.recall(&key("/m/a.gguf", 1)), Some([100_500, 200_000].as_slice()));
        let other = MeasurementKey { build: "b11434".into(), ..key("/m/a.gguf", 1) };
        assert_eq!(again.recall(&other), None);
        assert_eq!(again.recall_of_any_build(&other), Some(([100_500, 200_000].as_slice(), "b10434")));
        history.learn(other.clone(), vec![3, 4], at(3));
        assert_eq!(history.recall_of_any_build(&key("/m/a.gguf", 1)), Some(([3, 4].as_slice(), "b11434")));
        assert_eq!(again.recall_of_any_build(&MeasurementKey { asked: "ctx 4096".into(), ..other }), None);
        for damage in ["", "[", "[{}]", "{\"a\":1}"] {
            fs::write(&path, damage).unwrap();
            assert!(MeasurementHistory::open(&path).measurements.is_empty());
        }
    }

    #[test]
    fn a_changed_file_is_forgotten() {
        let mut history = MeasurementHistory::default();
        history.learn(key("/m/a.gguf", 1), vec![1, 2], at(1));
        history.learn(key("/m/a.gguf", 2), vec![3, 4], at(1));
        assert_eq!(history.recall(&key("/m/a.gguf", 1)), None);
        assert_eq!(history.measurements.len(), 1);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let mut history = MeasurementHistory::default();
        for number in 0..MOST as u64 + 10 {
            history.learn(key(&format!("/m/{number}.gguf"), 1), vec![1, 2], at(number));
        }
        assert_eq!(history.measurements.len(), MOST);
        assert_eq!(history.recall(&key("/m/9.gguf", 1)), None);
        assert!(history.recall(&key("/m/10.gguf", 1)).is_some());
        let wide = MeasurementKey { asked: "x".repeat(2_000), ..key("/m/wide.gguf", 1) };
        assert!(!history.learn(wide, vec![1, 2], at(1)));
        assert!(!history.learn(key("/m/a.gguf", 1), vec![1], at(1)), "a number for each device");
        let text = serde_json::to_vec_pretty(&history.measurements).unwrap();
        assert!((text.len() as u64) < LONGEST);
    }
}
