//! What loaded models are seen to hold of the devices, learnt for the next time they are placed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use auxot_catalog::{Ask, Circumstances, Experience, Identity, Model};
use auxot_instance::State;
use tracing::warn;

use crate::engine::Engine;
use crate::placement::{Placement, Remembered};

/// The experience of this host, and the file that it is kept in.
#[derive(Debug)]
pub(crate) struct Lessons {
    path: PathBuf,
    experience: Mutex<Experience>,
    /// Held while the file is written: never by who decides.
    writing: Mutex<()>,
}

/// What a measurement depends on besides the placement.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    file: PathBuf,
    identity: Identity,
    ask: Ask,
    build: String,
}

impl Subject {
    pub(crate) fn new(model: &Model, identity: Identity, ask: Ask, build: String) -> Self {
        Self { file: model.file.clone(), identity, ask, build }
    }

    fn circumstances(&self, placement: &Placement) -> Option<Circumstances> {
        placement.circumstances(&self.file, self.identity, &self.ask, &self.build)
    }
}

impl Lessons {
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("experience.json");
        Self { experience: Mutex::new(Experience::open(&path)), path, writing: Mutex::new(()) }
    }

    /// The question what a placement of this took the last time.
    pub(crate) fn about(self: &Arc<Self>, subject: Subject) -> Remembered {
        let lessons = Arc::clone(self);
        Remembered::new(move |placement| {
            let circumstances = subject.circumstances(placement)?;
            lessons.lock().recall(&circumstances).map(<[u64]>::to_vec)
        })
    }

    /// Writes everything down. Blocks.
    pub(crate) fn save(&self) {
        // One after the other, so that the file ends up with what is known here; decisions do not wait for the disk.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lock().clone();
        if let Err(fault) = known.save(&self.path) {
            warn!(path = %self.path.display(), %fault, "cannot remember what models took of the devices");
        }
    }

    #[cfg(test)]
    pub(crate) fn learn(&self, subject: &Subject, placement: &Placement, took: Vec<u64>) {
        let circumstances = subject.circumstances(placement).unwrap();
        assert!(self.lock().learn(circumstances, took, SystemTime::now()));
    }

    fn lock(&self) -> MutexGuard<'_, Experience> {
        self.experience.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Learns from what it is seen to hold while it is loaded: the most that it ever held. Whether that is worth saving.
    pub(crate) fn is_learnt_from(&mut self, holds: &[(String, u64)], lessons: &Lessons) -> bool {
        if !matches!(self.status.state, State::Ready(_)) {
            return false;
        }
        let of = |device: &str| holds.iter().find(|(held, _)| held == device).map(|(_, bytes)| *bytes);
        let Some(now) = self.placement.shares.iter().map(|share| of(&share.device)).collect::<Option<Vec<u64>>>()
        else {
            return false;
        };
        let most =
            self.took.iter().copied().chain(std::iter::repeat(0)).zip(&now).map(|(before, now)| before.max(*now));
        let most: Vec<u64> = most.collect();
        if most == self.took {
            return false;
        }
        self.took.clone_from(&most);
        let circumstances = self.subject.as_ref().and_then(|subject| subject.circumstances(&self.placement));
        circumstances.is_some_and(|circumstances| lessons.lock().learn(circumstances, most, SystemTime::now()))
    }
}
