//! Models that wait for room: in which order, what each may use, and which models would go for them.

use std::cmp::Reverse;

use super::{Model, ModelId, Moment, Scheduler};
use auxot_placement::{Capacity, Placement, PlacementError, Rules, Shown, Tenant, make_room, plan};

/// So many waiting models are tried at once; the others follow when these have their turn.
const TRIED: usize = 4;

/// What is possible for a waiting model.
pub(super) enum Attempt {
    /// A place is free.
    Free(Placement),
    /// A place will be free, once these models are unloaded.
    After(Placement, Vec<ModelId>),
    /// Not yet: others are being unloaded already, or may not be unloaded yet.
    NotYet(PlacementError),
    /// Unknown: memory cannot be read. It may be readable soon.
    Unknown,
    /// Never: all that may ever be unloaded would not be enough.
    Never(PlacementError),
}

impl Scheduler {
    /// The models that wait for room, in the order of their turns. Those that may not evict others stand behind those
    /// that may, and so do those that wait for a measurement of memory.
    pub(super) fn queued(&self, now: Moment) -> Vec<ModelId> {
        let key = |at: ModelId| {
            let model = &self.models[at];
            let rank = match model.is_best_effort() {
                true => 2,
                false => u8::from(model.is_backing_off(&self.limits, now) || model.awaits_measurement()),
            };
            (rank, Reverse(model.urgency(&self.limits, now)), model.oldest(), at)
        };
        let mut all: Vec<_> = (0..self.models.len()).filter(|at| self.models[*at].is_queued()).map(key).collect();
        if all.len() > TRIED {
            all.select_nth_unstable(TRIED);
            all.truncate(TRIED);
        }
        all.sort_unstable();
        all.into_iter().map(|(.., at)| at).collect()
    }

    /// Looks for a place. Only the first in the queue may evict others.
    pub(super) fn try_place(&self, at: ModelId, first: bool, now: Moment) -> Attempt {
        let model = &self.models[at];
        let place = |capacity: Capacity| self.place(at, capacity);
        let free = self.free(at);
        let after_unloads = self.after_unloads(&free);
        let some_unload = free != after_unloads;
        let placement_error = match place(free) {
            Ok(placement) => return Attempt::Free(placement),
            Err(placement_error) => placement_error,
        };
        if some_unload && place(after_unloads.clone()).is_ok() {
            return Attempt::NotYet(placement_error);
        }
        if first && !model.is_backing_off(&self.limits, now) && !model.is_best_effort() {
            let (order, tenants) = self.evictable(at, now);
            let (after_unloads, rules) = model.allowed(after_unloads, &self.rules);
            let recall = model.recall();
            let known = recall.as_ref().map(|recall| recall as _);
            if let Ok((placement, Some(stop))) = make_room(&model.requirements, &after_unloads, &rules, &tenants, known)
            {
                return Attempt::After(placement, stop.at.into_iter().map(|at| order[at]).collect());
            }
        }
        match place(self.at_most(at)) {
            Ok(_) => Attempt::NotYet(placement_error),
            Err(PlacementError::MemoryUnknown { .. }) => Attempt::Unknown,
            Err(_) => Attempt::Never(placement_error),
        }
    }

    /// A place for a model within a capacity, by its own devices and rules.
    pub(super) fn place(&self, at: ModelId, capacity: Capacity) -> Result<Placement, PlacementError> {
        let model = &self.models[at];
        let (capacity, rules) = model.allowed(capacity, &self.rules);
        let recall = model.recall();
        plan(&model.requirements, &capacity, &rules, recall.as_ref().map(|recall| recall as _))
    }

    /// All models with memory, if each of them is idle and may be unloaded.
    pub(super) fn all_idle(&self, but: ModelId, now: Moment) -> Option<Vec<ModelId>> {
        let with_memory = self.models.iter().enumerate().filter(|(at, model)| *at != but && model.has_place());
        with_memory.map(|(at, model)| (model.is_idle() && model.may_go(&self.limits, now)).then_some(at)).collect()
    }

    /// Whether no other model has memory or a reserved place.
    pub(super) fn is_alone(&self, at: ModelId) -> bool {
        self.models.iter().enumerate().all(|(other, model)| other == at || !model.has_place())
    }

    /// The models that may be unloaded for a model, in order: the idle ones, then, after
    /// [`Limits::preempt_after`](super::Limits), the busy ones.
    fn evictable(&self, wanting: ModelId, now: Moment) -> (Vec<ModelId>, Vec<Tenant<'_>>) {
        let (limits, wanting) = (&self.limits, &self.models[wanting]);
        let urgency = wanting.urgency(limits, now);
        let may_preempt = wanting.oldest().is_some_and(|since| now.saturating_sub(since) >= limits.preempt_after);
        let may_go = |at: &ModelId| {
            let model = &self.models[*at];
            let asked = model.is_idle() || (may_preempt && urgency >= model.profile.priority);
            asked && model.may_go(limits, now)
        };
        let mut order: Vec<ModelId> = (0..self.models.len()).filter(may_go).collect();
        order.sort_by(|a, b| {
            let key = |at: ModelId| {
                let model = &self.models[at];
                (!model.is_idle(), model.profile.priority)
            };
            let eviction_score = |at: ModelId| self.models[at].eviction_score(now);
            key(*a).cmp(&key(*b)).then(eviction_score(*b).total_cmp(&eviction_score(*a))).then(a.cmp(b))
        });
        let tenants = order.iter().map(|at| self.models[*at].tenant()).collect();
        (order, tenants)
    }
}

impl Model {
    /// Looks up what a placement took the last time, where measurements are known.
    fn recall(&self) -> Option<impl Fn(&Placement) -> Option<Vec<u64>>> {
        let remembered = self.profile.remembered.as_ref()?;
        Some(|placement: &Placement| remembered.of(placement))
    }

    /// The part of the capacity that it may use, and the rules for it.
    pub(super) fn allowed(&self, capacity: Capacity, rules: &Rules) -> (Capacity, Rules) {
        let rules = self.profile.rules.unwrap_or(*rules);
        match &self.profile.devices {
            None => (capacity, rules),
            Some(names) => capacity.only(names, rules),
        }
    }

    /// Its place where memory cannot be read: the engine decides, among the devices that it may use.
    pub(super) fn left_to_the_engine(&self, capacity: &Capacity, rules: &Rules) -> Placement {
        let is_bound = self.profile.devices.is_some() || !capacity.devices.is_empty() || capacity.withheld;
        let (capacity, _) = self.allowed(capacity.clone(), rules);
        let shown =
            capacity.devices.into_iter().map(|room| Shown { device: room.id.to_string(), selector: room.selector });
        self.requirements.unmeasured(is_bound.then(|| shown.collect()))
    }
}
