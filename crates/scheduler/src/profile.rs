//! What is said of a model: by the catalog and the operator what it is, by its owner whether it is wanted.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::MemoryRequirements;

use super::Moment;
use auxot_placement::{Remembered, Rules};

/// What the operator and the catalog say of a model.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it needs.
    pub requirements: Arc<MemoryRequirements>,
    /// What it took before, where that is known.
    pub remembered: Option<Remembered>,
    /// It is never ended for another.
    pub pin: bool,
    /// The higher, the sooner it comes and the later it goes.
    pub priority: i32,
    /// Idle for so long, and it is ended; `None` is never.
    pub ttl: Option<Duration>,
    /// Its own rules where they are not those of all.
    pub rules: Option<Rules>,
    /// The devices that it may lie on, by index or by the beginning of an id; `None` is all, and `host` the host's
    /// memory.
    pub devices: Option<Vec<String>>,
    /// Whether a smaller size of it may be tried where this one can never fit.
    pub shrinks: bool,
}

impl Profile {
    /// A model that nothing special is said of.
    #[must_use]
    pub fn new(name: impl Into<String>, requirements: Arc<MemoryRequirements>) -> Self {
        Self {
            name: name.into(),
            requirements,
            remembered: None,
            pin: false,
            priority: 0,
            ttl: None,
            rules: None,
            devices: None,
            shrinks: false,
        }
    }
}

/// Whether a model is wanted here though no job waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// It is not.
    #[default]
    No,
    /// From that moment on, if there is room for it; nobody goes for it.
    IfRoom(Moment),
    /// As if a job had come for it at that moment, one that does not lose its patience.
    Since(Moment),
}
