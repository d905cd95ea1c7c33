//! What is free, less what is promised: the sums that every decision about room begins with.

use super::super::Ground;
use super::{Admission, Life, ModelId};

impl Admission {
    /// What is measured, and of the host's memory no more than the operator gives to all models together.
    fn measured_ground(&self) -> Ground {
        let mut ground = self.ground.clone();
        if let Some(limit) = self.rules.host_limit {
            let ours = self.models.iter().map(super::Model::host_bytes).sum();
            // The reserve is kept of what the host has, and is no part of what the models may take.
            let left = limit.saturating_sub(ours).saturating_add(self.rules.host_reserve);
            ground.host = ground.host.map(|free| free.min(left));
        }
        ground
    }

    /// What is free now, less all that is promised.
    pub(super) fn free(&self, but: ModelId) -> Ground {
        let mut ground = self.measured_ground();
        for (_, model) in self.models.iter().enumerate().filter(|(at, _)| *at != but) {
            model.promised().for_each(|(device, bytes)| ground.taken(device, bytes));
        }
        ground
    }

    /// What will be free once all have gone who are going: of what is free now.
    pub(super) fn coming(&self, free: &Ground) -> Ground {
        let mut ground = free.clone();
        let goes = |model: &&super::Model| match &model.life {
            Life::Leaving { .. } => true,
            Life::Ready { draining, .. } => draining.is_some(),
            _ => false,
        };
        for model in self.models.iter().filter(goes) {
            model.tenant().holds.iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
        }
        ground
    }

    /// What would be free if everybody had gone who may ever go.
    pub(super) fn ever(&self, but: ModelId) -> Ground {
        let mut ground = self.measured_ground();
        for (at, model) in self.models.iter().enumerate() {
            let seen = matches!(model.life, Life::Loading { .. } | Life::Ready { .. } | Life::Leaving { .. });
            let own = at == but;
            let goes = seen && (own || !model.profile.pin);
            if goes && !matches!(model.life, Life::Loading { .. }) && !model.unread {
                model.tenant().holds.iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
            } else if goes {
                model.seen().iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
            } else if model.profile.pin && !own {
                model.promised().for_each(|(device, bytes)| ground.taken(device, bytes));
            }
        }
        ground
    }
}
