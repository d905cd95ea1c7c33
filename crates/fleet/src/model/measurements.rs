//! Measured memory of loaded models, kept for the next time they are placed.
//!
//! On a device, the measurement is the most that the process ever held there. In host memory, where nothing is on a device, it
//! is what the process holds when it becomes ready, less repacked weights, plus what its jobs are computed to add. Later
//! readings of host memory include the engine's prompt cache, which grows with the traffic up to `engine.cache_ram`. As a
//! requirement, either would later refuse a model that fits.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use auxot_catalog::MeasurementHistory;
use auxot_engine::State;
use auxot_gpu::ProcessUse;
use tracing::warn;

use crate::model::process::Engine;
use auxot_placement::{Remembered, Subject};

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

    #[cfg(test)]
    pub(crate) fn learn(&self, subject: &Subject, placement: &auxot_placement::Placement, measured: Vec<u64>) {
        let key = subject.at(placement);
        assert!(self.lock().learn(key, measured, SystemTime::now()));
    }

    fn lock(&self) -> MutexGuard<'_, MeasurementHistory> {
        self.measurements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Records what the engine is seen to hold on its devices while it is ready. Returns whether the history has changed.
    pub(crate) fn record_devices(&mut self, holds: &[(String, u64)], measurements: &Measurements) -> bool {
        if !matches!(self.status.state, State::Ready(_)) || self.placement.shares.is_empty() {
            return false;
        }
        let of = |device: &str| holds.iter().find(|(held, _)| held == device).map(|(_, bytes)| *bytes);
        let Some(now) = self.placement.shares.iter().map(|share| of(&share.device)).collect::<Option<Vec<u64>>>()
        else {
            return false;
        };
        let most =
            self.measured.iter().copied().chain(std::iter::repeat(0)).zip(&now).map(|(before, now)| before.max(*now));
        let most: Vec<u64> = most.collect();
        if most == self.measured {
            return false;
        }
        self.measured = most;
        self.learn(measurements)
    }

    /// Records what the engine holds of host memory when it has become ready, before its first job.
    pub(crate) fn record_host_memory(&mut self, held: &ProcessUse, measurements: &Measurements) -> bool {
        if !self.placement.shares.is_empty() || self.status.pid != Some(held.pid) {
            return false;
        }
        self.repacked = self.placement.repacked_bytes(held);
        let Some(needs) = self.needs(held) else { return false };
        self.measured = vec![needs.saturating_add(self.placement.at_work)];
        self.learn(measurements)
    }

    fn learn(&self, measurements: &Measurements) -> bool {
        self.record(self.measured.clone(), measurements)
    }

    /// Records what this placement holds. Returns whether the history has changed.
    pub(crate) fn record(&self, measured: Vec<u64>, measurements: &Measurements) -> bool {
        let Some(subject) = &self.subject else { return false };
        measurements.lock().learn(subject.at(&self.placement), measured, SystemTime::now())
    }

    /// Whether this placement has a measurement; without a subject none is possible, which counts as measured.
    pub(crate) fn is_measured(&self, measurements: &Measurements) -> bool {
        let known = |subject: &Subject| measurements.lock().recall(&subject.at(&self.placement)).is_some();
        self.subject.as_ref().is_none_or(known)
    }
}
