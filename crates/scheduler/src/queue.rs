//! Models that wait for room: whose turn it is, and who would go for it.

use std::cmp::Reverse;

use super::{Admission, ModelId, ModelState, Moment};
use auxot_placement::{Capacity, Known, Placement, PlacementError, Tenant, make_room, plan};

/// So many of those who wait are looked at at once; the others have their turn when these have theirs.
const LOOKED_AT: usize = 4;

/// What can be done for one that waits.
pub(super) enum Attempt {
    /// A place is free.
    Free(Placement),
    /// A place will be, once these have gone.
    After(Placement, Vec<ModelId>),
    /// Not yet: others are going already, or may not be asked to go yet.
    NotYet(PlacementError),
    /// Nobody can tell: memory cannot be read. It may be readable soon.
    Unknown,
    /// Never: all that may ever go would not be enough.
    Never(PlacementError),
}

impl Admission {
    /// Those who wait for room, in the order of their turns. Whoever may make nobody go stands behind all who may,
    /// and so does whoever waits for a reading of memory.
    pub(super) fn contenders(&self, now: Moment) -> Vec<ModelId> {
        let waits = |model: &super::Model| match model.state {
            _ if !model.is_wanted() || model.too_large => false,
            _ if model.no_room && model.waiting.is_empty() => false,
            ModelState::Absent => true,
            _ => false,
        };
        let key = |at: ModelId| {
            let model = &self.models[at];
            let rank = match model.is_best_effort() {
                true => 2,
                false => u8::from(model.is_backing_off(&self.limits, now) || model.memory_unknown),
            };
            (rank, Reverse(model.urgency(&self.limits, now)), model.oldest(), at)
        };
        let mut all: Vec<_> = (0..self.models.len()).filter(|at| waits(&self.models[*at])).map(key).collect();
        if all.len() > LOOKED_AT {
            all.select_nth_unstable(LOOKED_AT);
            all.truncate(LOOKED_AT);
        }
        all.sort_unstable();
        all.into_iter().map(|(.., at)| at).collect()
    }

    /// Looks for a place. Whoever is not first in the line may not make anybody go.
    pub(super) fn try_place(&self, at: ModelId, first: bool, now: Moment) -> Attempt {
        let model = &self.models[at];
        let remembered = model.profile.remembered.as_ref();
        let recall = |placement: &Placement| remembered.and_then(|remembered| remembered.of(placement));
        let known: Known<'_> = remembered.is_some().then_some(&recall);
        let place = |capacity: Capacity| {
            let (capacity, rules) = model.allowed(capacity, &self.rules);
            plan(&model.requirements, &capacity, &rules, known)
        };
        let free = self.free(at);
        let coming = self.coming(&free);
        let somebody_goes = free != coming;
        let placement_error = match place(free) {
            Ok(placement) => return Attempt::Free(placement),
            Err(placement_error) => placement_error,
        };
        if somebody_goes && place(coming.clone()).is_ok() {
            return Attempt::NotYet(placement_error);
        }
        if first && !model.is_backing_off(&self.limits, now) && !model.is_best_effort() {
            let (order, tenants) = self.evictable(at, now);
            let (coming, rules) = model.allowed(coming, &self.rules);
            if let Ok((placement, Some(stop))) = make_room(&model.requirements, &coming, &rules, &tenants, known) {
                return Attempt::After(placement, stop.at.into_iter().map(|at| order[at]).collect());
            }
        }
        match place(self.ever(at)) {
            Ok(_) => Attempt::NotYet(placement_error),
            Err(PlacementError::MemoryUnknown { .. }) => Attempt::Unknown,
            Err(_) => Attempt::Never(placement_error),
        }
    }

    /// Those that lie anywhere, if all of them are idle and may go.
    pub(super) fn all_idle(&self, but: ModelId, now: Moment) -> Option<Vec<ModelId>> {
        let lies = |model: &super::Model| !matches!(model.state, ModelState::Absent | ModelState::Failed);
        let lying = self.models.iter().enumerate().filter(|(at, model)| *at != but && lies(model));
        lying.map(|(at, model)| (model.is_idle() && model.may_go(&self.limits, now)).then_some(at)).collect()
    }

    /// Whether no other model lies anywhere, or is about to.
    pub(super) fn is_alone(&self, at: ModelId) -> bool {
        let lies = |model: &super::Model| !matches!(model.state, ModelState::Absent | ModelState::Failed);
        self.models.iter().enumerate().all(|(other, model)| other == at || !lies(model))
    }

    /// Who may be asked to go for a model, in that order: the idle ones, then, for the impatient, the busy ones.
    fn evictable(&self, wanting: ModelId, now: Moment) -> (Vec<ModelId>, Vec<Tenant<'_>>) {
        let (limits, wanting) = (&self.limits, &self.models[wanting]);
        let urgency = wanting.urgency(limits, now);
        let impatient = wanting.oldest().is_some_and(|since| now.saturating_sub(since) >= limits.preempt_after);
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
}
