//! Which job may use a model now, which model is loaded, which is unloaded, which jobs wait and which are refused:
//! pure, without clock or I/O.
//!
//! An [`Scheduler`] takes events ([`Scheduler::job_arrived`], [`Scheduler::job_ended`], [`Scheduler::engine_ready`], …), each with the
//! present moment, and returns [`Action`]s, the complete list of actions. It has the present free memory
//! ([`Scheduler::measured`]) and keeps a ledger of what it has promised.
//!
//! # What it guarantees
//!
//! * A busy model is not unloaded before its **drain bound**: it gets no more jobs, and that long to finish those it
//!   has.
//! * A model is not unloaded before its **minimum loaded time** has passed: two models that need the same memory take
//!   turns.
//! * A **pinned** model is not unloaded at all.
//! * A job waits for its **maximum wait** at most; then it is refused. Of models that wait for room, the one whose
//!   oldest job has waited longest is next, so that each of the others has at most one turn before it; a priority puts
//!   a model first, until a job for another model has waited for half of the maximum wait.
//! * As many jobs as the **bound** allows wait for one model.
//! * A load whose jobs are all gone is finished; a place that is only reserved is given up, and the models that were
//!   draining for it stay.
//! * No model is unloaded for one that cannot then be placed: the place is planned, and reserved, first. And no model
//!   is unloaded for one whose last load failed, until a load of it has succeeded or its **load backoff** has passed.
//!
//! # Crashes
//!
//! A model whose engine has exited unexpectedly is loading again from that moment on, or in **backoff** until its
//! supervisor starts it again ([`Scheduler::engine_lost`]), and keeps its place: what it held counts as promised. The time is
//! short: the supervisor gives up after a few tries in a row (`engine.restart_budget`), some seconds apart, and then the
//! place is free. If other models could take the place meanwhile, each crash would cause the load of another model, after
//! which the crashed one has to wait for its turn or have the other unloaded again: two loads for none. It would also be
//! placed elsewhere than its process was started for, and so need another process.
//!
//! # Eviction
//!
//! Idle models go first, the lowest priority first, and of those the one with the most idle time for each second that
//! its load takes. Busy ones go only for a job that has waited for [`Limits::preempt_after`] and has no lower priority.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use auxot_catalog::MemoryRequirements;
//! use auxot_gpu::Kind;
//! use auxot_placement::{Capacity, DeviceCapacity, Rules};
//! use auxot_scheduler::{Scheduler, Decision, Action, Limits, Profile};
//!
//! let model = Profile::new("qwen2.5-7b-q4_k_m", Arc::new(MemoryRequirements { output: 1 << 30, ..Default::default() }));
//! let mut scheduler = Scheduler::new(Limits::default(), Rules::default(), vec![model]);
//! let card = DeviceCapacity::new("GPU-a", Kind::Nvidia, Some(16 << 30));
//! scheduler.measured(Capacity { devices: vec![card], host: Some(16 << 30), withheld: false });
//! let now = Duration::ZERO;
//! let (decision, actions) = scheduler.job_arrived(1, 0, now);
//! assert_eq!(decision, Decision::Wait);
//! assert!(matches!(actions[..], [Action::Load { model: 0, .. }]));
//! let actions = scheduler.engine_ready(0, 1, 4, now + Duration::from_secs(5));
//! assert_eq!(actions, [Action::Admit { ticket: 1, model: 0 }]);
//! ```

mod memory_ledger;
mod model;
mod profile;
mod queries;
mod queue;
mod settle;
mod state;
mod terms;
#[cfg(test)]
mod tests;

use std::time::Duration;

use auxot_catalog::MemoryRequirements;

use auxot_placement::{Capacity, LayerRequirements, Placement, PlacementError, Rules, plan};
use model::Model;
pub use profile::{Profile, Wanted};
pub use state::{DrainCause, ModelState, Obstacle, Place, Running, SlotGate};
pub use terms::{Action, Decision, Limits, Reason};

/// Time since some beginning, the same for all calls.
pub type Moment = Duration;
/// The number of a waiting job.
pub type Ticket = u64;
/// A model's index in the list of all.
pub type ModelId = usize;
/// The number of one run of a model's engine, so that a slot of an earlier run frees nothing in the present one.
pub type Run = u64;

/// The state of all models, and of all jobs that wait for one.
#[derive(Debug)]
pub struct Scheduler {
    limits: Limits,
    rules: Rules,
    models: Vec<Model>,
    capacity: Capacity,
    /// Unused indices in the list of models.
    vacant: Vec<ModelId>,
    /// Nothing is loaded any more.
    frozen: bool,
    /// Something has changed that may let a model be loaded.
    changed: bool,
    /// Nothing is due before this moment.
    rest_until: Option<Moment>,
}

impl Scheduler {
    /// No model is loaded, no job waits, and the devices are unknown.
    #[must_use]
    pub fn new(limits: Limits, rules: Rules, models: Vec<Profile>) -> Self {
        let models = models.into_iter().map(Model::new).collect();
        let (capacity, vacant) = (Capacity::default(), Vec::new());
        Self { limits, rules, models, capacity, vacant, frozen: false, changed: true, rest_until: None }
    }

    /// Adds a model, which is not wanted yet.
    pub fn add(&mut self, profile: Profile) -> ModelId {
        let model = Model::new(profile);
        if let Some(at) = self.vacant.pop() {
            self.models[at] = model;
            return at;
        }
        self.models.push(model);
        self.models.len() - 1
    }

    /// Removes a model that is not loaded; returns the jobs that still wait for it.
    pub fn remove(&mut self, model: ModelId) -> Vec<Ticket> {
        let none = Profile::new("", std::sync::Arc::clone(&self.models[model].profile.requirements));
        let mut gone = std::mem::replace(&mut self.models[model], Model::new(none));
        self.vacant.push(model);
        self.something_is_free();
        gone.take_waiting()
    }

    /// Sets how a model is run, or its size, from its next load on.
    pub fn set(&mut self, model: ModelId, profile: Profile) {
        self.models[model].set(profile);
        self.changed = true;
    }

    /// Sets limits and rules for all further decisions.
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

    /// Memory may have become free: models without room are tried again.
    fn something_is_free(&mut self) {
        self.changed = true;
        self.models.iter_mut().for_each(Model::retry_no_room);
    }

    /// Whether a model could ever be placed here with these requirements.
    #[must_use]
    pub fn could_hold(&self, model: ModelId, requirements: MemoryRequirements) -> bool {
        let of = &self.models[model];
        let (capacity, rules) = of.allowed(self.at_most(model), &self.rules);
        // What is remembered is for its present size.
        let remembered = of.profile.remembered.as_ref().filter(|_| requirements == *of.profile.requirements);
        let recall = |placement: &Placement| remembered.and_then(|remembered| remembered.of(placement));
        let known: auxot_placement::Known<'_> = remembered.is_some().then_some(&recall);
        plan(&LayerRequirements::of(&std::sync::Arc::new(requirements)), &capacity, &rules, known).is_ok()
    }

    /// Takes a sample of the devices: measured free memory, with all models and other processes counted.
    pub fn measured(&mut self, capacity: Capacity) {
        if self.capacity != capacity {
            self.capacity = capacity;
            self.changed = true;
            self.models.iter_mut().for_each(Model::retry_unknown);
            self.something_is_free();
        }
    }

    /// A job arrives for a model. The actions follow from the decision, and never concern the job itself, unless it is
    /// admitted or refused later.
    pub fn job_arrived(&mut self, ticket: Ticket, model: ModelId, now: Moment) -> (Decision, Vec<Action>) {
        let of = &mut self.models[model];
        if matches!(of.state, ModelState::Failed) {
            return (Decision::Refuse(Reason::Failed), Vec::new());
        }
        if of.take_free_slot(now) {
            return (Decision::Admit, Vec::new());
        }
        if self.frozen && !of.has_engine() {
            return (Decision::Refuse(Reason::Frozen), Vec::new());
        }
        if of.waiting() >= self.limits.max_waiting {
            return (Decision::Refuse(Reason::QueueFull { waiting: of.waiting() }), Vec::new());
        }
        // A second one for the same model changes nothing: it is not the oldest.
        self.changed |= of.waiting() == 0;
        of.enqueue(ticket, now);
        let mut actions = self.settle(now);
        let own = |action: &Action| matches!(action, Action::Refuse { ticket: of, .. } if *of == ticket);
        if let Some(at) = actions.iter().position(own)
            && let Action::Refuse { reason, .. } = actions.swap_remove(at)
        {
            return (Decision::Refuse(reason), actions);
        }
        (Decision::Wait, actions)
    }

    /// A job has left its slot of that run.
    pub fn job_ended(&mut self, model: ModelId, run: Run, now: Moment) -> Vec<Action> {
        if !self.models[model].release_slot(run, now) {
            return Vec::new();
        }
        self.changed |= self.models[model].is_idle();
        self.settle(now)
    }

    /// A waiting job is cancelled.
    pub fn job_cancelled(&mut self, ticket: Ticket, now: Moment) -> Vec<Action> {
        for model in &mut self.models {
            // A job that is not the oldest changes nothing.
            self.changed |= model.cancel(ticket);
        }
        self.settle(now)
    }

    /// A load has succeeded: this run of the model has so many slots. Its place stays promised until a sample
    /// [shows](Scheduler::memory_shown) what it holds.
    pub fn engine_ready(&mut self, model: ModelId, run: Run, slots: u32, now: Moment) -> Vec<Action> {
        self.models[model].ready(run, slots, now);
        self.changed = true;
        self.settle(now)
    }

    /// The engine of a loading or loaded model has exited unexpectedly; its supervisor restarts it in the same place, at
    /// once or after a pause (`backs_off`).
    pub fn engine_lost(&mut self, model: ModelId, backs_off: bool, now: Moment) -> Vec<Action> {
        let of = &mut self.models[model];
        let mut actions = Vec::new();
        match &of.state {
            // It was to be unloaded anyway.
            ModelState::Draining { .. } => {
                of.stop();
                actions.push(Action::Stop { model });
            }
            ModelState::Ready(_) | ModelState::Loading { .. } | ModelState::Backoff { .. } => of.lost(backs_off, now),
            _ => return actions,
        }
        self.something_is_free();
        actions.extend(self.settle(now));
        actions
    }

    /// The supervisor has started the engine again.
    pub fn engine_restarted(&mut self, model: ModelId, now: Moment) {
        self.models[model].restarted(now);
    }

    /// The owner wants a model loaded, or no longer does.
    pub fn want(&mut self, model: ModelId, want: Wanted, now: Moment) -> Vec<Action> {
        let of = &mut self.models[model];
        if matches!(of.state, ModelState::Draining { cause: DrainCause::Owner, .. }) {
            of.stay();
        }
        // A loaded model that stays is not to be loaded.
        if !matches!(of.state, ModelState::Ready(_) | ModelState::Failed) {
            of.set_want(want);
        }
        self.changed = true;
        self.settle(now)
    }

    /// The owner wants a model unloaded: its jobs may go on until then. Jobs that wait for it go on waiting, and so it
    /// is loaded again, unless they are [dismissed](Scheduler::take_waiting).
    pub fn unload(&mut self, model: ModelId, until: Moment, now: Moment) -> Vec<Action> {
        let of = &mut self.models[model];
        let mut actions = Vec::new();
        of.forget_want();
        match &mut of.state {
            ModelState::Ready(_) => {
                let is_busy = of.drain(until, DrainCause::Owner);
                actions.extend(is_busy.then_some(Action::Drain { model, until, to_make_room_for: None }));
            }
            ModelState::Draining { until: before, cause, .. } => {
                (*before, *cause) = (until.min(*before), DrainCause::Owner);
            }
            ModelState::Loading { .. } | ModelState::Backoff { .. } => {
                of.stop();
                actions.push(Action::Stop { model });
            }
            ModelState::OnDisk
            | ModelState::WaitingForRoom(_)
            | ModelState::Reserved { .. }
            | ModelState::Unloading { .. }
            | ModelState::Failed => {}
        }
        self.changed = true;
        actions.extend(self.settle(now));
        actions
    }

    /// Returns all jobs that wait for a model; they wait no longer.
    pub fn take_waiting(&mut self, model: ModelId) -> Vec<Ticket> {
        self.changed = true;
        self.models[model].take_waiting()
    }

    /// A model does not fit in any size: its waiting jobs are refused. If its owner wants it, it is tried again when
    /// memory has become free.
    pub fn refuse_waiting(&mut self, model: ModelId, placement_error: &PlacementError) -> Vec<Action> {
        let of = &mut self.models[model];
        of.set_obstacle(Obstacle::NoRoom);
        let waiting = of.take_waiting().into_iter();
        waiting.map(|ticket| Action::Refuse { ticket, reason: Reason::DoesNotFit(placement_error.clone()) }).collect()
    }

    /// No further model is loaded. Jobs that wait for a model that is not loaded or loading are refused.
    pub fn freeze(&mut self, now: Moment) -> Vec<Action> {
        self.frozen = true;
        self.settle(now)
    }

    /// What a loading or loaded model is measured to hold, by device: so much of its promise is part of the measured
    /// memory.
    pub fn set_measured(&mut self, model: ModelId, holds: Vec<(String, u64)>) {
        if let Some(place) = self.models[model].state.place_mut() {
            place.set_measured(holds);
        }
        self.something_is_free();
    }

    /// Further samples show all that a loaded model holds: they begin after the load.
    pub fn memory_shown(&mut self, model: ModelId) {
        let running = self.models[model].state.running_mut();
        if running.is_some_and(|running| running.place.set_is_measured()) {
            self.something_is_free();
        }
    }

    /// A model's supervisor has given up: it is not loaded again before it is [revived](Scheduler::reset).
    pub fn engine_failed(&mut self, model: ModelId, now: Moment) -> Vec<Action> {
        self.models[model].failed(now);
        self.something_is_free();
        self.settle(now)
    }

    /// A load has failed, and another one, perhaps of another size, may be tried at once.
    pub fn load_failed(&mut self, model: ModelId, now: Moment) -> Vec<Action> {
        let of = &mut self.models[model];
        of.load_failed(now);
        of.unplace();
        self.something_is_free();
        self.settle(now)
    }

    /// A failed model may be loaded again, after a reset by an operator or a changed file.
    pub fn reset(&mut self, model: ModelId, now: Moment) -> Vec<Action> {
        self.models[model].reset();
        self.changed = true;
        self.settle(now)
    }

    /// A model is unloaded, and its memory is measured as free: [`Scheduler::measured`] comes first.
    pub fn memory_freed(&mut self, model: ModelId, now: Moment) -> Vec<Action> {
        self.models[model].unplace();
        self.something_is_free();
        self.settle(now)
    }

    /// Time has passed: to be called at [`Scheduler::wake_at`], and harmless at any time.
    pub fn tick(&mut self, now: Moment) -> Vec<Action> {
        self.settle(now)
    }
}
