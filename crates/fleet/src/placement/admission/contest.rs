//! Models that wait for room: whose turn it is, and who would go for it.

use std::cmp::Reverse;

use super::super::{Ground, Known, Misfit, Placement, Tenant, make_room, plan};
use super::{Admission, Life, ModelId, Moment};

/// So many of those who wait are looked at at once; the others have their turn when these have theirs.
const LOOKED_AT: usize = 4;

/// What can be done for one that waits.
pub(super) enum Turn {
    /// A place is free.
    Free(Placement),
    /// A place will be, once these have gone.
    After(Placement, Vec<ModelId>),
    /// Not yet: others are going already, or may not be asked to go yet.
    NotYet,
    /// Nobody can tell: memory cannot be read. It may be readable soon.
    Unknown,
    /// Never: all that may ever go would not be enough.
    Never(Misfit),
}

impl Admission {
    /// Those who wait for room, in the order of their turns. Whoever may make nobody go stands behind all who may,
    /// and so does whoever waits for a reading of memory.
    pub(super) fn contenders(&self, now: Moment) -> Vec<ModelId> {
        let waits = |model: &super::Model| match model.life {
            Life::Absent => !model.waiting.is_empty(),
            Life::BackingOff { until } => now >= until && !model.waiting.is_empty(),
            _ => false,
        };
        let key = |at: ModelId| {
            let model = &self.models[at];
            (model.doubted || model.blind, Reverse(model.urgency(&self.limits, now)), model.oldest(), at)
        };
        let mut all: Vec<_> = (0..self.models.len()).filter(|at| waits(&self.models[*at])).map(key).collect();
        if all.len() > LOOKED_AT {
            all.select_nth_unstable(LOOKED_AT);
            all.truncate(LOOKED_AT);
        }
        all.sort_unstable();
        all.into_iter().map(|(.., at)| at).collect()
    }

    /// What is free now, less all that is promised.
    fn free(&self, but: ModelId) -> Ground {
        let mut ground = self.ground.clone();
        for (_, model) in self.models.iter().enumerate().filter(|(at, _)| *at != but) {
            model.promised().for_each(|(device, bytes)| ground.taken(device, bytes));
        }
        ground
    }

    /// Looks for a place. Whoever is not first in the line may not make anybody go.
    pub(super) fn turn(&self, model: ModelId, first: bool, now: Moment) -> Turn {
        let demand = &self.models[model].demand;
        let remembered = self.models[model].profile.remembered.as_ref();
        let ask = |placement: &Placement| remembered.and_then(|remembered| remembered.of(placement));
        let known: Known<'_> = remembered.is_some().then_some(&ask);
        let misfit = match plan(demand, &self.free(model), &self.rules, known) {
            Ok(placement) => return Turn::Free(placement),
            Err(misfit) => misfit,
        };
        let coming = self.coming(model);
        if plan(demand, &coming, &self.rules, known).is_ok() {
            return Turn::NotYet;
        }
        if first && !self.models[model].doubted {
            let (order, tenants) = self.evictable(model, now);
            if let Ok((placement, Some(stop))) = make_room(demand, &coming, &self.rules, &tenants, known) {
                return Turn::After(placement, stop.at.into_iter().map(|at| order[at]).collect());
            }
        }
        let ever = self.ever(model);
        match plan(demand, &ever, &self.rules, known) {
            Ok(_) => Turn::NotYet,
            Err(Misfit::MemoryUnknown { .. }) => Turn::Unknown,
            Err(_) => Turn::Never(misfit),
        }
    }

    /// What will be free once all have gone who are going, less all that is promised to others.
    fn coming(&self, but: ModelId) -> Ground {
        let mut ground = self.ground.clone();
        let goes = |model: &&super::Model| match &model.life {
            Life::Leaving { .. } => true,
            Life::Ready { draining, .. } => draining.is_some(),
            _ => false,
        };
        for model in self.models.iter().filter(goes) {
            model.tenant().holds.iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
        }
        for (_, model) in self.models.iter().enumerate().filter(|(at, _)| *at != but) {
            model.promised().for_each(|(device, bytes)| ground.taken(device, bytes));
        }
        ground
    }

    /// Who may be asked to go for a model, in that order: the idle ones, then, for the impatient, the busy ones.
    fn evictable(&self, wanting: ModelId, now: Moment) -> (Vec<ModelId>, Vec<Tenant<'_>>) {
        let (limits, wanting) = (&self.limits, &self.models[wanting]);
        let urgency = wanting.urgency(limits, now);
        let impatient = wanting.oldest().is_some_and(|since| now.saturating_sub(since) >= limits.patience);
        let may_go = |at: &ModelId| {
            let model = &self.models[*at];
            let asked = model.is_idle() || (impatient && urgency >= model.profile.priority);
            asked && model.may_go(limits, now)
        };
        let mut order: Vec<ModelId> = (0..self.models.len()).filter(may_go).collect();
        order.sort_by(|a, b| {
            let key = |at: ModelId| {
                let model = &self.models[at];
                (!model.is_idle(), model.profile.priority)
            };
            let expendable = |at: ModelId| self.models[at].expendable(now);
            key(*a).cmp(&key(*b)).then(expendable(*b).total_cmp(&expendable(*a))).then(a.cmp(b))
        });
        let tenants = order.iter().map(|at| self.models[*at].tenant()).collect();
        (order, tenants)
    }

    /// What would be free if everybody had gone who may ever go.
    fn ever(&self, but: ModelId) -> Ground {
        let mut ground = self.ground.clone();
        for (at, model) in self.models.iter().enumerate() {
            let seen = matches!(model.life, Life::Loading { .. } | Life::Ready { .. } | Life::Leaving { .. });
            let goes = at != but && seen && !model.profile.pin;
            if goes && !matches!(model.life, Life::Loading { .. }) {
                model.tenant().holds.iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
            } else if goes {
                model.seen().iter().for_each(|(device, bytes)| ground.freed(device, *bytes));
            } else if model.profile.pin {
                model.promised().for_each(|(device, bytes)| ground.taken(device, bytes));
            }
        }
        ground
    }
}
