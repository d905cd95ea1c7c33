//! What is free, less what is promised: the sums for every decision about room.

use super::{ModelId, ModelState, Scheduler};
use auxot_placement::Capacity;

impl Scheduler {
    /// What is measured, and of the host's memory no more than the operator gives to all models together.
    fn measured_capacity(&self) -> Capacity {
        let ours = self.models.iter().map(|model| model.state.host_bytes()).sum();
        self.capacity.clone().limited(ours, &self.rules)
    }

    /// What is free now, less all that is promised.
    pub(super) fn free(&self, but: ModelId) -> Capacity {
        let mut capacity = self.measured_capacity();
        for (_, model) in self.models.iter().enumerate().filter(|(at, _)| *at != but) {
            model.state.promised().for_each(|(device, bytes)| capacity.taken(device, bytes));
        }
        capacity
    }

    /// What will be free once all models that are being unloaded are gone, from what is free now.
    pub(super) fn after_unloads(&self, free: &Capacity) -> Capacity {
        let mut capacity = free.clone();
        for model in self.models.iter().filter(|model| model.state.is_leaving()) {
            model.tenant().holds.iter().for_each(|(device, bytes)| capacity.freed(device, *bytes));
        }
        capacity
    }

    /// What would be free for a model if every other that may ever be unloaded were gone; its own place is not part of
    /// it.
    ///
    /// For a model that is being loaded it is unknown how much of its place is measured already, where no driver says
    /// what it holds. It counts as all of it, or as none if the model is pinned: a model that turns out not to fit gets
    /// that answer from the sample after the load, and none is refused, or made smaller, for memory that becomes free.
    pub(super) fn at_most(&self, but: ModelId) -> Capacity {
        let mut capacity = self.capacity.clone();
        let others = || self.models.iter().enumerate().filter(|(at, _)| *at != but).map(|(_, model)| model);
        let goes = |model: &super::Model| {
            !model.profile.pin && model.has_place() && !matches!(model.state, ModelState::Reserved { .. })
        };
        for model in others().filter(|model| goes(model)) {
            model.state.measured().for_each(|(device, bytes)| capacity.freed(device, bytes));
        }
        // The limit counts after that: what is not measured yet is no part of what is freed of it.
        let stay = self.models.iter().enumerate().filter(|(at, model)| *at == but || !goes(model));
        let ours = stay.map(|(_, model)| model.state.host_bytes()).sum();
        let mut capacity = capacity.limited(ours, &self.rules);
        for model in others().filter(|model| model.profile.pin && !model.state.is_unmeasured_load()) {
            model.state.promised().for_each(|(device, bytes)| capacity.taken(device, bytes));
        }
        capacity
    }
}
