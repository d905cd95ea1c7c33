//! What is free, less what is promised: the sums that every decision about room begins with.

use super::{Admission, ModelId, ModelState};
use auxot_placement::Capacity;

impl Admission {
    /// What is measured, and of the host's memory no more than the operator gives to all models together.
    fn measured_ground(&self) -> Capacity {
        let ours = self.models.iter().map(super::Model::host_bytes).sum();
        self.capacity.clone().limited(ours, &self.rules)
    }

    /// What is free now, less all that is promised.
    pub(super) fn free(&self, but: ModelId) -> Capacity {
        let mut capacity = self.measured_ground();
        for (_, model) in self.models.iter().enumerate().filter(|(at, _)| *at != but) {
            model.promised().for_each(|(device, bytes)| capacity.taken(device, bytes));
        }
        capacity
    }

    /// What will be free once all have gone who are going: of what is free now.
    pub(super) fn coming(&self, free: &Capacity) -> Capacity {
        let mut capacity = free.clone();
        let goes = |model: &&super::Model| match &model.state {
            ModelState::Leaving { .. } => true,
            ModelState::Ready { draining, .. } => draining.is_some(),
            _ => false,
        };
        for model in self.models.iter().filter(goes) {
            model.tenant().holds.iter().for_each(|(device, bytes)| capacity.freed(device, *bytes));
        }
        capacity
    }

    /// What would be free for a model if everybody else had gone who may ever go; what it was given itself is none of
    /// it.
    ///
    /// Of one that is on its way into memory nobody can tell how much of its place is measured already, where no driver
    /// says what it holds. It counts as all of it, or as none where it stays: whoever turns out not to fit is told so
    /// by the reading after the load, and nobody is sent away, or made smaller, for memory that comes free.
    pub(super) fn ever(&self, but: ModelId) -> Capacity {
        let mut capacity = self.measured_ground();
        let others = || self.models.iter().enumerate().filter(|(at, _)| *at != but).map(|(_, model)| model);
        let lies = |state: &ModelState| {
            matches!(state, ModelState::Loading { .. } | ModelState::Ready { .. } | ModelState::Leaving { .. })
        };
        for model in others().filter(|model| !model.profile.pin && lies(&model.state)) {
            model.tenant().holds.iter().for_each(|(device, bytes)| capacity.freed(device, *bytes));
        }
        for model in others().filter(|model| model.profile.pin && !model.is_obscure()) {
            model.promised().for_each(|(device, bytes)| capacity.taken(device, bytes));
        }
        capacity
    }
}
