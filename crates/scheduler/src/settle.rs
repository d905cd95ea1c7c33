//! All consequences of an event, until there are no further ones.

use super::queue::Attempt;
use super::state::{DrainCause, ModelState, Obstacle, Place};
use super::{Action, ModelId, Moment, Reason, Scheduler, Wanted};
use auxot_placement::{Placement, PlacementError};

impl Scheduler {
    /// Applies all consequences at this moment.
    pub(super) fn settle(&mut self, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.refuse_late(now, &mut actions);
        self.give_slots(now, &mut actions);
        // Loads and evictions only depend on what has changed since they were last decided; most jobs change nothing.
        if self.frozen {
            self.changed = false;
        } else if self.changed || self.rest_until.is_some_and(|until| now >= until) {
            self.changed = false;
            self.start_loads(now, &mut actions);
            // A model that turns out to wait for a measurement of memory makes way for those behind it.
            while self.place_queued(now, &mut actions) {}
            // Models that need not be unloaded after all have slots again.
            self.give_slots(now, &mut actions);
        }
        self.unload_models(now, &mut actions);
        self.rest_until = self.wake_at(now);
        actions
    }

    /// Refuses jobs that have waited too long, and those for a model that will not be loaded.
    fn refuse_late(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for model in &mut self.models {
            let failed = matches!(model.state, ModelState::Failed);
            while let Some((ticket, since)) = model.oldest_job() {
                let waited = now.saturating_sub(since);
                let reason = match failed {
                    true => Reason::Failed,
                    false if self.frozen && !model.has_engine() => Reason::Frozen,
                    false if waited >= self.limits.max_wait => Reason::WaitTimeout { waited },
                    false => break,
                };
                model.dequeue();
                self.changed = true;
                actions.push(Action::Refuse { ticket, reason });
            }
        }
    }

    /// First come, first served, wherever a slot is free.
    fn give_slots(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for (at, model) in self.models.iter_mut().enumerate() {
            while model.waiting() > 0 && model.take_slot(now) {
                actions.extend(model.dequeue().map(|ticket| Action::Admit { ticket, model: at }));
            }
        }
    }

    /// Models whose place has become free are loaded. Those whose place did not become free are tried again from the
    /// start, and those that are not wanted any more give their place up.
    fn start_loads(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for at in 0..self.models.len() {
            let ModelState::Reserved { evicted, .. } = &self.models[at].state else { continue };
            let waits_for = evicted.iter().any(|other| self.models[*other].state.is_leaving());
            if !self.models[at].is_wanted() {
                self.give_up_place(at);
                continue;
            }
            match self.try_place(at, false, now) {
                Attempt::Free(placement) => self.load(at, placement, now, actions),
                _ if waits_for => {}
                Attempt::After(..) | Attempt::NotYet(_) | Attempt::Unknown | Attempt::Never(_) => {
                    self.models[at].release_reservation();
                }
            }
        }
    }

    /// A model is not wanted any more: those that were only draining for it may stay.
    fn give_up_place(&mut self, at: ModelId) {
        let evicted = self.models[at].release_reservation();
        let wanted: Vec<ModelId> = self
            .models
            .iter()
            .filter_map(|model| match &model.state {
                ModelState::Reserved { evicted, .. } => Some(evicted.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        for other in evicted.into_iter().filter(|other| !wanted.contains(other)) {
            if matches!(self.models[other].state, ModelState::Draining { cause: DrainCause::Eviction, .. }) {
                self.models[other].stay();
            }
        }
    }

    fn load(&mut self, at: ModelId, placement: Placement, now: Moment, actions: &mut Vec<Action>) {
        let place = Place::new(placement);
        actions.push(Action::Load { model: at, placement: place.placement.clone() });
        self.models[at].state = ModelState::Loading { place, since: now };
    }

    /// Tries the models that wait for room, one after the other. Once the first of them has waited for
    /// [`Limits::preempt_after`](super::Limits) none may overtake it, or small ones could keep a large one out for
    /// ever. Returns whether a model has stepped back, so that others are to be tried.
    fn place_queued(&mut self, now: Moment, actions: &mut Vec<Action>) -> bool {
        let (mut first, mut stepped_back) = (true, false);
        for at in self.queued(now) {
            match self.try_place(at, first, now) {
                Attempt::Free(placement) => self.load(at, placement, now, actions),
                Attempt::After(placement, evicted) => {
                    let until = now + self.limits.drain;
                    for model in evicted.iter().copied() {
                        let is_busy = self.models[model].drain(until, DrainCause::Eviction);
                        actions.extend(is_busy.then_some(Action::Drain { model, until, to_make_room_for: Some(at) }));
                    }
                    self.models[at].state = ModelState::Reserved { place: Place::new(placement), evicted };
                }
                Attempt::NotYet(placement_error) if self.models[at].is_best_effort() => {
                    self.no_room(at, placement_error, actions);
                    stepped_back = true;
                }
                Attempt::NotYet(_) => {
                    self.models[at].set_obstacle(Obstacle::Queue);
                    let waited = self.models[at].oldest().map_or(Moment::ZERO, |since| now.saturating_sub(since));
                    if waited >= self.limits.preempt_after {
                        return stepped_back;
                    }
                    first = false;
                }
                // It does not delay models that can be placed where memory is known.
                Attempt::Unknown => {
                    let (since, tried) = match self.models[at].obstacle() {
                        Some(Obstacle::MemoryUnknown { since, tried }) => (since, tried),
                        _ => (now, false),
                    };
                    if self.rules.unmeasured && now.saturating_sub(since) >= self.limits.preempt_after {
                        if self.is_alone(at) {
                            let placement = self.models[at].left_to_the_engine(&self.capacity, &self.rules);
                            self.load(at, placement, now, actions);
                            continue;
                        }
                        self.unload_idle(at, now);
                    }
                    stepped_back |= !tried;
                    self.models[at].set_obstacle(Obstacle::MemoryUnknown { since, tried: true });
                }
                // It is tried again when that is over.
                Attempt::Never(placement_error) if self.models[at].is_newly_wanted(&self.limits, now) => {
                    self.report_no_room(at, placement_error, actions);
                }
                Attempt::Never(placement_error) => {
                    self.never(at, placement_error, actions);
                    stepped_back = true;
                }
            }
        }
        stepped_back
    }

    /// It is unknown whether two models fit, so idle ones are unloaded for one with waiting jobs.
    fn unload_idle(&mut self, at: ModelId, now: Moment) {
        if self.models[at].is_best_effort() || self.models[at].is_backing_off(&self.limits, now) {
            return;
        }
        for other in self.all_idle(at, now).unwrap_or_default() {
            self.models[other].drain(now, DrainCause::Eviction);
        }
    }

    /// A model can never be placed as it is.
    fn never(&mut self, at: ModelId, placement_error: PlacementError, actions: &mut Vec<Action>) {
        if self.models[at].profile.shrinks {
            self.models[at].set_obstacle(Obstacle::TooLarge);
            actions.push(Action::TooLarge { model: at, placement_error });
            return;
        }
        let wanted = self.models[at].want() != Wanted::No;
        actions.extend(self.refuse_waiting(at, &placement_error));
        if wanted {
            self.no_room(at, placement_error, actions);
        }
    }

    /// Reports once to the owner that a model is not loaded; it is loaded as soon as there is room.
    fn no_room(&mut self, at: ModelId, placement_error: PlacementError, actions: &mut Vec<Action>) {
        self.models[at].set_obstacle(Obstacle::NoRoom);
        self.report_no_room(at, placement_error, actions);
    }

    fn report_no_room(&mut self, at: ModelId, placement_error: PlacementError, actions: &mut Vec<Action>) {
        if !std::mem::replace(&mut self.models[at].no_room_reported, true) {
            actions.push(Action::NoRoom { model: at, placement_error });
        }
    }

    /// Unloads models that are draining and have finished or had their time, and those that were idle for too long.
    fn unload_models(&mut self, now: Moment, actions: &mut Vec<Action>) {
        for (at, model) in self.models.iter_mut().enumerate() {
            let is_due = match &model.state {
                ModelState::Draining { running, until, .. } => running.slots.busy == 0 || now >= *until,
                ModelState::Ready(_) => {
                    let is_unused = model.profile.ttl.is_some_and(|ttl| now.saturating_sub(model.last_used) >= ttl);
                    is_unused && model.is_idle() && model.may_go(&self.limits, now)
                }
                _ => false,
            };
            if is_due {
                model.stop();
                actions.push(Action::Stop { model: at });
            }
        }
    }

    /// The next moment at which [`Scheduler::tick`] would do anything.
    #[must_use]
    pub fn wake_at(&self, now: Moment) -> Option<Moment> {
        let limits = &self.limits;
        let mut next: Option<Moment> = None;
        let mut at = |time: Moment| {
            if time > now && next.is_none_or(|next| time < next) {
                next = Some(time);
            }
        };
        for model in &self.models {
            let oldest = model.oldest();
            if let Some(since) = oldest {
                at(since + limits.max_wait);
            }
            if let Wanted::IfRoom(since) | Wanted::Since(since) = model.want() {
                at(since + limits.preempt_after);
            }
            if let Some(until) = model.backoff_until(limits).filter(|_| model.is_wanted()) {
                at(until);
            }
            match (&model.state, oldest) {
                (ModelState::Draining { until, .. }, _) => at(*until),
                (ModelState::Ready(running), _) => {
                    // One without any model that waits for room is a tick too many, which is harmless.
                    at(running.since + limits.min_loaded_time);
                    if let Some(ttl) = model.profile.ttl.filter(|_| model.is_idle()) {
                        at(model.last_used + ttl);
                    }
                }
                (ModelState::WaitingForRoom(obstacle), Some(since)) => {
                    if let Obstacle::MemoryUnknown { since, .. } = obstacle {
                        at(*since + limits.preempt_after);
                    }
                    at(since + limits.preempt_after);
                    at(since + limits.max_wait / 2);
                }
                _ => {}
            }
        }
        next
    }
}
