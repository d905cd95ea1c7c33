//! The description of a model: what it is, from catalog and operator, and whether its owner wants it loaded.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::MemoryRequirements;

use super::Moment;
use auxot_placement::{Remembered, Rules};

/// The operator's settings and the catalog's facts about a model.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it needs.
    pub requirements: Arc<MemoryRequirements>,
    /// What it took before, where that is known.
    pub remembered: Option<Remembered>,
    /// It is never unloaded for another model.
    pub pin: bool,
    /// The higher, the earlier it is loaded and the later it is unloaded.
    pub priority: i32,
    /// It is unloaded when it has been idle for so long; `None` is never.
    pub ttl: Option<Duration>,
    /// Its own rules, if they differ from the general ones.
    pub rules: Option<Rules>,
    /// The devices that it may use, by index or by the beginning of an id; `None` is all, and `host` the host's memory.
    pub devices: Option<Vec<String>>,
    /// Whether a smaller size of it may be tried if this one can never fit.
    pub shrinks: bool,
}

impl Profile {
    /// A model without special settings.
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

/// Whether the owner wants a model loaded without a job for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// No.
    #[default]
    No,
    /// From that moment on, if there is room for it; no model is unloaded for it.
    IfRoom(Moment),
    /// As if a job had arrived for it at that moment, but without preemption.
    Since(Moment),
}
