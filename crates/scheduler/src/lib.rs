//! Who may use a model now, which model comes, which goes, who waits and who is sent away: pure, without clock or I/O.
//!
//! An [`Admission`] is told what happens ([`Admission::arrive`], [`Admission::left`], [`Admission::ready`], …), each
//! time with the present moment, and answers with [`Effect`]s, the whole list of what is to be done in the world. It
//! knows the present free memory ([`Admission::measured`]) and keeps the ledger of what it has promised beside.
//!
//! # What it guarantees
//!
//! * A busy model is not ended before its **drain bound**: it gets no more jobs, and so long to finish those it has.
//! * A model is not ended before its **minimum residency** after a load: two models that want the same memory take
//!   turns.
//! * A **pinned** model is not ended at all.
//! * A job waits for its **maximum wait** at most; then it is sent away. Of models that wait for room, the one whose
//!   oldest
//!   job has waited longest is next, so that each of the others has at most one turn before it; a priority puts a model
//!   first, until half of the maximum wait has passed for somebody else.
//! * As many jobs as the **bound** allows wait for one model.
//! * A load that nobody waits for any more is finished; a place that is only reserved is given up, and those who were
//!   asked to
//!   go for it stay.
//! * Nobody is ended for a model that cannot then be placed: the place is planned, and reserved, first. And nobody at
//!   all
//!   is ended for a model whose last load failed, until a load of it has gone well or the **doubt** has passed.
//!
//! # Who crashes
//!
//! A model whose engine has ended unasked is **loading** again from that moment on ([`Admission::lost`]), also between
//! two tries of its keeper, and keeps its place: what it held counts as promised. A life of its own for that time is
//! not worth having. It is short: the keeper gives up after a few tries in a row (`engine.restart_budget`), some
//! seconds apart, and then the place is free. And a place that others could take meanwhile would make of each crash a
//! load of somebody else, after which the one that crashed has to wait for its turn, or have that one ended again: two
//! loads for none. It also would be tried in another place than the one its process was told of, and so by another
//! process.
//!
//! # Who goes
//!
//! Idle models, the lowest priority first, and of those the one with the most idle time for each second that it would
//! take to bring it back. Busy ones only for somebody who has lost patience, and is not of lower priority.

mod memory_ledger;
mod model;
mod profile;
mod queue;
mod settle;
mod terms;
#[cfg(test)]
mod tests;

use std::time::Duration;

use auxot_catalog::MemoryRequirements;

use auxot_placement::{Capacity, LayerRequirements, Placement, PlacementError, Rules, plan};
use model::Model;
pub use model::ModelState;
pub use profile::{Profile, Wanted};
pub use terms::{Decision, Effect, Limits, Reason};

/// Time since some beginning, the same for all calls.
pub type Moment = Duration;
/// Names a job that waits.
pub type Ticket = u64;
/// A model's place in the list of all.
pub type ModelId = usize;
/// Names one life of a model's engine, so that a slot of an earlier one frees nothing in the present one.
pub type Run = u64;

/// The state of all models, and of all who wait for one.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    rules: Rules,
    models: Vec<Model>,
    capacity: Capacity,
    /// Places in the list of models that nobody has.
    vacant: Vec<ModelId>,
    /// Nothing is loaded any more.
    frozen: bool,
    /// Something has happened that may let somebody come.
    changed: bool,
    /// Nothing does so of itself before.
    rest_until: Option<Moment>,
}

impl Admission {
    /// Nothing is loaded, nobody waits, and nothing is known of the devices.
    #[must_use]
    pub fn new(limits: Limits, rules: Rules, models: Vec<Profile>) -> Self {
        let models = models.into_iter().map(Model::new).collect();
        let (capacity, vacant) = (Capacity::default(), Vec::new());
        Self { limits, rules, models, capacity, vacant, frozen: false, changed: true, rest_until: None }
    }

    /// One more model, which nobody wants yet.
    pub fn add(&mut self, profile: Profile) -> ModelId {
        let model = Model::new(profile);
        if let Some(at) = self.vacant.pop() {
            self.models[at] = model;
            return at;
        }
        self.models.push(model);
        self.models.len() - 1
    }

    /// A model that is not loaded is no more; whoever still waited for it is handed back.
    pub fn remove(&mut self, model: ModelId) -> Vec<Ticket> {
        let none = Profile::new("", std::sync::Arc::clone(&self.models[model].profile.requirements));
        let gone = std::mem::replace(&mut self.models[model], Model::new(none));
        self.vacant.push(model);
        self.something_is_free();
        gone.waiting.into_iter().map(|(ticket, _)| ticket).collect()
    }

    /// A model is to be run in another way, or in another size, from its next load on.
    pub fn set(&mut self, model: ModelId, profile: Profile) {
        self.models[model].set(profile);
        self.changed = true;
    }

    /// Other times, numbers and rules, for everything that is decided from now on.
    pub fn configure(&mut self, limits: Limits, rules: Rules) {
        if (self.limits, self.rules) != (limits, rules) {
            (self.limits, self.rules) = (limits, rules);
            self.something_is_free();
        }
    }

    /// The rules for models that have none of their own.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Something may be free that was not: whoever had no room is looked at again.
    fn something_is_free(&mut self) {
        self.changed = true;
        self.models.iter_mut().for_each(|model| model.no_room = false);
    }

    /// Whether a model could ever lie here if it needed so much.
    #[must_use]
    pub fn could_hold(&self, model: ModelId, requirements: MemoryRequirements) -> bool {
        let of = &self.models[model];
        let (capacity, rules) = of.allowed(self.ever(model), &self.rules);
        // What is remembered is of its present size.
        let remembered = of.profile.remembered.as_ref().filter(|_| requirements == *of.profile.requirements);
        let recall = |placement: &Placement| remembered.and_then(|remembered| remembered.of(placement));
        let known: auxot_placement::Known<'_> = remembered.is_some().then_some(&recall);
        plan(&LayerRequirements::of(&std::sync::Arc::new(requirements)), &capacity, &rules, known).is_ok()
    }

    /// Takes in a reading of the devices: free memory as it is measured, loaded models and all others counted.
    pub fn measured(&mut self, capacity: Capacity) {
        if self.capacity != capacity {
            self.capacity = capacity;
            self.changed = true;
            self.models.iter_mut().for_each(|model| model.memory_unknown = false);
            self.something_is_free();
        }
    }

    /// A job comes for a model. The effects are those of the decision, and never concern the job itself, unless it is
    /// admitted or refused later.
    pub fn arrive(&mut self, ticket: Ticket, model: ModelId, now: Moment) -> (Decision, Vec<Effect>) {
        let of = &mut self.models[model];
        if matches!(of.state, ModelState::Failed) {
            return (Decision::Refuse(Reason::Failed), Vec::new());
        }
        if of.admits_at_once() {
            of.take_slot(now);
            return (Decision::Admit, Vec::new());
        }
        if self.frozen && !matches!(of.state, ModelState::Loading { .. } | ModelState::Ready { .. }) {
            return (Decision::Refuse(Reason::Frozen), Vec::new());
        }
        if of.waiting.len() >= self.limits.max_waiting {
            return (Decision::Refuse(Reason::QueueFull { waiting: of.waiting.len() }), Vec::new());
        }
        // A second one for the same model changes nothing: it is not the oldest.
        self.changed |= of.waiting.is_empty();
        of.waiting.push_back((ticket, now));
        let mut effects = self.settle(now);
        let own = |effect: &Effect| matches!(effect, Effect::Refuse { ticket: of, .. } if *of == ticket);
        if let Some(at) = effects.iter().position(own)
            && let Effect::Refuse { reason, .. } = effects.swap_remove(at)
        {
            return (Decision::Refuse(reason), effects);
        }
        (Decision::Wait, effects)
    }

    /// A job has left its slot of that life.
    pub fn left(&mut self, model: ModelId, run: Run, now: Moment) -> Vec<Effect> {
        if !self.models[model].leave_slot(run, now) {
            return Vec::new();
        }
        self.changed |= self.models[model].is_idle();
        self.settle(now)
    }

    /// A job that waited does not wait any more.
    pub fn cancelled(&mut self, ticket: Ticket, now: Moment) -> Vec<Effect> {
        for model in &mut self.models {
            // Who was not the oldest changes nothing.
            self.changed |= model.waiting.front().is_some_and(|(waiting, _)| *waiting == ticket);
            model.waiting.retain(|(waiting, _)| *waiting != ticket);
        }
        self.settle(now)
    }

    /// A load has ended well: this life of the model has so many slots. Its place stays promised until a reading
    /// [shows](Admission::shown) what it holds.
    pub fn ready(&mut self, model: ModelId, run: Run, slots: u32, now: Moment) -> Vec<Effect> {
        self.models[model].ready(run, slots, now);
        self.changed = true;
        self.settle(now)
    }

    /// The engine of a loaded model has ended unasked and is started again by its keeper, in the same place.
    pub fn lost(&mut self, model: ModelId, now: Moment) -> Vec<Effect> {
        let of = &mut self.models[model];
        let mut effects = Vec::new();
        match &of.state {
            // It was to go anyway.
            ModelState::Ready { placement, draining: Some(_), .. } => {
                of.state = ModelState::Leaving { placement: placement.clone() };
                effects.push(Effect::Stop { model });
            }
            ModelState::Ready { draining: None, .. } | ModelState::Loading { .. } => of.lost(now),
            _ => return effects,
        }
        self.something_is_free();
        effects.extend(self.settle(now));
        effects
    }

    /// The owner wants a model here, or does not any more.
    pub fn want(&mut self, model: ModelId, want: Wanted, now: Moment) -> Vec<Effect> {
        let of = &mut self.models[model];
        if std::mem::take(&mut of.asked_to_unload)
            && let ModelState::Ready { draining, .. } = &mut of.state
        {
            *draining = None;
        }
        // One that is loaded and stays is what is wanted.
        if !matches!(of.state, ModelState::Ready { draining: None, .. } | ModelState::Failed) {
            (of.want, of.no_room_reported, of.no_room) = (want, false, false);
        }
        self.changed = true;
        self.settle(now)
    }

    /// The owner wants a model gone: its jobs may go on until then. Whoever waits for it goes on waiting, and so it
    /// comes back, unless they are [dismissed](Admission::dismiss).
    pub fn unload(&mut self, model: ModelId, until: Moment, now: Moment) -> Vec<Effect> {
        let of = &mut self.models[model];
        let mut effects = Vec::new();
        of.want = Wanted::No;
        match &mut of.state {
            ModelState::Ready { draining, busy, .. } => {
                let until = draining.map_or(until, |before| before.min(until));
                let running = *busy > 0 && draining.is_none();
                (*draining, of.asked_to_unload) = (Some(until), true);
                effects.extend(running.then_some(Effect::Drain { model, until, to_make_room_for: None }));
            }
            ModelState::Loading { placement, .. } => {
                of.state = ModelState::Leaving { placement: placement.clone() };
                effects.push(Effect::Stop { model });
            }
            ModelState::Absent | ModelState::Coming { .. } | ModelState::Leaving { .. } | ModelState::Failed => {}
        }
        self.changed = true;
        effects.extend(self.settle(now));
        effects
    }

    /// Everybody who waits for a model is handed back.
    pub fn dismiss(&mut self, model: ModelId) -> Vec<Ticket> {
        self.changed = true;
        self.models[model].waiting.drain(..).map(|(ticket, _)| ticket).collect()
    }

    /// The answer to a model that does not fit in any size: whoever waits is sent away. If its owner wants it, it is
    /// looked at again when something has come free.
    pub fn turn_away(&mut self, model: ModelId, placement_error: &PlacementError) -> Vec<Effect> {
        let of = &mut self.models[model];
        (of.too_large, of.no_room) = (false, true);
        let waiting = of.waiting.drain(..);
        waiting
            .map(|(ticket, _)| Effect::Refuse { ticket, reason: Reason::DoesNotFit(placement_error.clone()) })
            .collect()
    }

    /// Nothing is loaded any more. Whoever waits for what does not run is sent away.
    pub fn freeze(&mut self, now: Moment) -> Vec<Effect> {
        self.frozen = true;
        self.settle(now)
    }

    /// What a loading or loaded model is seen to hold, by device: so much of its promise is visible in what is
    /// measured.
    pub fn holds(&mut self, model: ModelId, holds: Vec<(String, u64)>) {
        self.models[model].is_seen_to_hold(holds);
        self.something_is_free();
    }

    /// What is measured from now on shows all that a loaded model holds: it was read after the load.
    pub fn shown(&mut self, model: ModelId) {
        if std::mem::take(&mut self.models[model].unread) {
            self.something_is_free();
        }
    }

    /// A model's keeper has given it up: nobody tries it again before it is [revived](Admission::revive).
    pub fn failed(&mut self, model: ModelId, now: Moment) -> Vec<Effect> {
        self.models[model].failed(now);
        self.something_is_free();
        self.settle(now)
    }

    /// A load has failed, and another one, perhaps of another size, may be tried at once.
    pub fn again(&mut self, model: ModelId, now: Moment) -> Vec<Effect> {
        let of = &mut self.models[model];
        of.load_failed(now);
        of.unplace(ModelState::Absent);
        self.something_is_free();
        self.settle(now)
    }

    /// An operator, or a changed file, gives a failed model another chance.
    pub fn revive(&mut self, model: ModelId, now: Moment) -> Vec<Effect> {
        self.models[model].revive();
        self.changed = true;
        self.settle(now)
    }

    /// A model that was to end has ended, and its memory is seen to be free: [`Admission::measured`] comes first.
    pub fn gone(&mut self, model: ModelId, now: Moment) -> Vec<Effect> {
        self.models[model].gone();
        self.something_is_free();
        self.settle(now)
    }

    /// For whom a model is to go, if it goes to make room.
    #[must_use]
    pub fn makes_room_for(&self, model: ModelId) -> Option<ModelId> {
        let comes_for =
            |other: &Model| matches!(&other.state, ModelState::Coming { evicted, .. } if evicted.contains(&model));
        self.models.iter().position(comes_for)
    }

    /// When something happens of itself, as of the last decision: it may have gone by, and then a tick is due.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        self.rest_until
    }

    /// Time has passed: to be called at [`Admission::wake_at`], and harmless at any time.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        self.settle(now)
    }

    /// Whether a job waits for a model, or its owner wants it.
    #[must_use]
    pub fn is_wanted(&self, model: ModelId) -> bool {
        self.models[model].is_wanted()
    }

    /// Jobs that run on a model.
    #[must_use]
    pub fn busy(&self, model: ModelId) -> u32 {
        match self.models[model].state {
            ModelState::Ready { busy, .. } => busy,
            _ => 0,
        }
    }

    /// Where a model is in its life.
    #[must_use]
    pub fn state(&self, model: ModelId) -> &ModelState {
        &self.models[model].state
    }

    /// Jobs that wait for a model.
    #[must_use]
    pub fn waiting(&self, model: ModelId) -> usize {
        self.models[model].waiting.len()
    }
}
