//! What is asked of the state; nothing changes.

use std::time::Duration;

use super::{Model, ModelId, ModelState, Moment, Scheduler};
use auxot_placement::PlacementError;

impl Scheduler {
    /// The model that a model makes room for, if any.
    #[must_use]
    pub fn makes_room_for(&self, model: ModelId) -> Option<ModelId> {
        let comes_for =
            |other: &Model| matches!(&other.state, ModelState::Reserved { evicted, .. } if evicted.contains(&model));
        self.models.iter().position(comes_for)
    }

    /// When the next tick is due, as of the last decision; it may have passed already.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.rest_until
    }

    /// Whether a job waits for a model, or its owner wants it.
    #[must_use]
    pub fn is_wanted(&self, model: ModelId) -> bool {
        self.models[model].is_wanted()
    }

    /// Whether a model is never unloaded for another one.
    #[must_use]
    pub fn is_pinned(&self, model: ModelId) -> bool {
        self.models[model].profile.pin
    }

    /// Jobs that run on a model.
    #[must_use]
    pub fn busy(&self, model: ModelId) -> u32 {
        self.models[model].state.running().map_or(0, |running| running.slots.busy)
    }

    /// The state of a model.
    #[must_use]
    pub fn state(&self, model: ModelId) -> &ModelState {
        &self.models[model].state
    }

    /// How long the last load of a model took; `None` before the first one.
    #[must_use]
    pub fn load_time(&self, model: ModelId) -> Option<Duration> {
        self.models[model].load_time()
    }

    /// Whether other models have to be unloaded before a model that is not loaded fits; `None` where free memory is
    /// unknown. `true` also where no room can be made.
    #[must_use]
    pub fn needs_eviction(&self, model: ModelId) -> Option<bool> {
        match self.place(model, self.free(model)) {
            Ok(_) => Some(false),
            Err(PlacementError::MemoryUnknown { .. }) => None,
            Err(_) => Some(true),
        }
    }

    /// Jobs that wait for a model.
    #[must_use]
    pub fn waiting(&self, model: ModelId) -> usize {
        self.models[model].waiting()
    }
}
