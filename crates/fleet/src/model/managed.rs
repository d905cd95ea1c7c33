//! One model of the fleet: its file, its sizes, its engine, and what a status of the engine means for it.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Model;
use auxot_engine::{ExitClass, ExitReport, FileId, Ready, Spec, State, Status};

use crate::model::desired::{DesiredModel, gaps};
use crate::model::plan::{Plan, deviation, size_of};
use crate::model::process::{AfterExit, Engine};
use crate::model::size_search::{Next, Size};
use crate::model::unknown_devices::UnknownDevices;
use auxot_placement::PlacementError;
use auxot_scheduler::{ModelId, Run};

/// After a load longer than this, the search for a larger size stops: the waiters have waited long enough.
const WORTH_ANOTHER_LOAD: Duration = Duration::from_secs(60);

/// Identifies one model for the lifetime of the fleet; later models have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ManagedId(u64);

impl ManagedId {
    /// The id of the next model.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The fleet's record of one model.
#[derive(Debug)]
pub(crate) struct ManagedModel {
    pub(crate) model: Arc<Model>,
    pub(crate) keep: KeepReason,
    /// Its id in the scheduler.
    pub(crate) scheduler_id: ModelId,
    pub(crate) plan: Plan,
    pub(crate) attempt: Attempt,
    /// The engine, from the load until its exit has been handled.
    pub(crate) engine: Option<Engine>,
    /// The newest status of the present engine, or of the one before.
    pub(crate) last: Option<Status>,
    /// The number of engines this model has had; a status of an earlier generation is dropped.
    pub(crate) generation: u64,
    /// Whether it may be evicted, where a command of the operator has said so.
    pub(crate) pinned: Option<bool>,
    /// Its files, compared with those of the plan.
    pub(crate) files: Files,
    /// Consecutive starts that found other files than the planned ones.
    pub(crate) changed_starts: u32,
    /// The spec whose dry run sent the load back to planning, so that its next load needs no dry run.
    pub(crate) dry_run_plan: Option<Spec>,
    /// Why it is not loaded although it is wanted.
    pub(crate) placement_error: Option<PlacementError>,
    /// The devices that the operator names for it and that do not exist.
    pub(crate) unknown_devices: UnknownDevices,
}

/// The files of a model on disk, compared with those of its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Files {
    /// The same, as far as is known.
    Planned,
    /// Other ones than the engine has loaded: the model is reloaded once it is idle.
    Outdated,
    /// Other ones, so that the engine did not start: the next scan of the folders decides.
    AwaitScan,
    /// Other ones than those with which the model has failed: these ids.
    Changed(Vec<FileId>),
}

/// Why a model is kept, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepReason {
    /// The operator lists it: it stays.
    Operator,
    /// A policy named it: it stays until the model of a later policy is ready.
    Router,
    /// A job named it: it stays as long as its file.
    Demand,
    /// It is removed once its running jobs have ended.
    Leaving,
}

/// Whether the present size is known to load.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// The size is known to load, or no size was tried yet.
    Settled,
    /// The next load shows it; `before` is the plan to restore if it fails.
    Trying { before: Option<Box<Plan>> },
}

/// The generation of the engine that a run belongs to.
pub(crate) fn generation_of(run: Run) -> u64 {
    run >> 32
}

/// What a new engine status means for the model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StatusChange {
    /// It changes nothing.
    None,
    /// The engine takes jobs in this many slots, and its size is final.
    Ready { run: Run, slots: u32, size: Size },
    /// The engine takes no jobs now. If it was ready before, its supervisor restarts it.
    Down,
    /// The trial is over: this size fits, or it is too large. The engine is replaced by one of another size.
    Replace,
    /// The engine has failed and cannot be killed.
    Unkillable,
    /// The engine is gone.
    Ended(AfterExit),
}

impl ManagedModel {
    pub(crate) fn new(model: Arc<Model>, keep: KeepReason, plan: Plan, scheduler_id: ModelId) -> Self {
        Self {
            model,
            keep,
            scheduler_id,
            plan,
            attempt: Attempt::Settled,
            engine: None,
            last: None,
            generation: 0,
            pinned: None,
            files: Files::Planned,
            changed_starts: 0,
            dry_run_plan: None,
            placement_error: None,
            unknown_devices: UnknownDevices::default(),
        }
    }

    /// Records a new engine.
    pub(crate) fn load(&mut self, engine: Engine) {
        self.generation += 1;
        self.last = Some(engine.status.clone());
        self.placement_error = None;
        self.engine = Some(engine);
    }

    /// Identifies a run over all engines of this model: each engine counts its runs from one.
    pub(crate) fn run(&self, ready: &Ready) -> Run {
        (self.generation << 32) | (ready.run.0 & 0xffff_ffff)
    }

    /// Handles a new status of the engine; `leaving` says that the scheduler has already unloaded the model.
    pub(crate) fn on_engine_status(&mut self, status: Status, leaving: bool) -> StatusChange {
        let is_trial = self.is_trial();
        let Some(engine) = &mut self.engine else { return StatusChange::None };
        self.last = Some(status.clone());
        engine.status = status;
        let decided = leaving || engine.after.is_some();
        if engine.has_ended() {
            let decided = engine.after.take().or_else(|| leaving.then_some(AfterExit::Unload));
            return StatusChange::Ended(decided.unwrap_or_else(|| self.ended()));
        }
        match &engine.status.state {
            State::Ready(_) if decided => StatusChange::None,
            State::Ready(ready) => {
                let ready = Arc::clone(ready);
                self.loaded(&ready)
            }
            State::Failed { .. } => StatusChange::Unkillable,
            // The exit class does not matter here: a smaller size is known to load.
            State::BackingOff { .. } if !decided && is_trial => {
                self.end_trial();
                StatusChange::Replace
            }
            _ => StatusChange::Down,
        }
    }

    fn loaded(&mut self, ready: &Ready) -> StatusChange {
        let Some(size) = self.engine.as_ref().map(|engine| size_of(&engine.spec)) else { return StatusChange::None };
        self.plan.sizes.loaded(size);
        let search_on = matches!(self.plan.sizes.next(), Next::Try(_)) && ready.load_time <= WORTH_ANOTHER_LOAD;
        if search_on && matches!(self.attempt, Attempt::Trying { .. }) {
            if let Some(engine) = &mut self.engine {
                engine.after = Some(AfterExit::Retry);
            }
            return StatusChange::Replace;
        }
        self.attempt = Attempt::Settled;
        self.changed_starts = 0;
        StatusChange::Ready { run: self.run(ready), slots: ready.props.total_slots, size }
    }

    /// A trial engine has failed with an exit that its supervisor would retry.
    fn end_trial(&mut self) {
        let after = self.failed(true);
        if let Some(engine) = &mut self.engine {
            engine.after = Some(after);
        }
    }

    /// What follows an unexpected exit.
    fn ended(&mut self) -> AfterExit {
        let state = self.engine.as_ref().map(|engine| &engine.status.state);
        match state {
            Some(State::Failed { cause }) if cause.class == ExitClass::FileChanged => AfterExit::Rescan,
            Some(State::Failed { cause }) => {
                let for_want_of_memory = cause.class.is_memory();
                self.failed(for_want_of_memory || self.is_trial())
            }
            _ => AfterExit::Unload,
        }
    }

    fn failed(&mut self, for_want_of_memory: bool) -> AfterExit {
        let before = match std::mem::replace(&mut self.attempt, Attempt::Settled) {
            Attempt::Settled => None,
            Attempt::Trying { before } => before,
        };
        if for_want_of_memory && let Some(engine) = &self.engine {
            self.plan.sizes.failed(size_of(&engine.spec));
            if self.plan.sizes.next() != Next::NothingFits {
                self.attempt = Attempt::Trying { before };
                return AfterExit::Retry;
            }
        }
        match before {
            Some(before) => {
                self.plan = *before;
                AfterExit::Retry
            }
            None => AfterExit::Fail,
        }
    }

    /// Replaces the plan. Returns whether the running engine differs from it and must be replaced.
    pub(crate) fn change_plan(&mut self, plan: Plan) -> bool {
        let old = std::mem::replace(&mut self.plan, plan);
        let Some(engine) = &mut self.engine else { return false };
        if engine.is_of(&self.plan) {
            // The new plan is the one that runs.
            self.attempt = Attempt::Settled;
            return false;
        }
        if let Attempt::Settled = self.attempt {
            // A failed size is not restored.
            let worked = matches!(engine.status.state, State::Ready(_)) && engine.after.is_none();
            self.attempt = Attempt::Trying { before: worked.then(|| Box::new(old)) };
        }
        true
    }

    /// Switches to a new version of the model file: the engine is replaced, and the old plan is not restored.
    pub(crate) fn replace(&mut self, model: Arc<Model>, plan: Plan) {
        (self.model, self.plan, self.attempt, self.files) = (model, plan, Attempt::Settled, Files::Planned);
        if let Some(engine) = &mut self.engine {
            engine.after = Some(AfterExit::Reload);
        }
    }

    /// Records a bad file as the cause of the last failure.
    pub(crate) fn mark_file_bad(&mut self) {
        if let Some(status) = &mut self.last
            && let State::Failed { cause } = &status.state
        {
            status.state = State::Failed { cause: Arc::new(cause.because(ExitClass::BadFile)) };
        }
    }

    /// Gives the model a reason to stay, also if it was leaving.
    pub(crate) fn stay(&mut self, keep: KeepReason) {
        if self.keep == KeepReason::Leaving || (self.keep != KeepReason::Operator && keep != KeepReason::Demand) {
            self.keep = keep;
        }
    }

    /// The parts of the router's policy that this model does not meet.
    pub(crate) fn gaps(&self, desired: &DesiredModel) -> Vec<String> {
        match &self.engine {
            // An engine that is about to be replaced counts as its successor.
            Some(engine) if engine.after.is_none() => gaps(desired, &engine.spec, self.ready().map(|ready| &**ready)),
            Some(_) | None => gaps(desired, &self.plan.spec(), None),
        }
    }

    /// What the memory does not allow of the wanted size. It is unknown while a trial is under way.
    pub(crate) fn shortfall(&self) -> Option<String> {
        let answers = matches!(self.attempt, Attempt::Settled) && self.ready().is_some();
        self.engine.as_ref().filter(|_| answers).and_then(|engine| self.plan.shortfall(&engine.spec))
    }

    /// The difference between the planned numbers and those the engine runs with, as a sentence.
    pub(crate) fn deviation(&self) -> Option<String> {
        let engine = self.engine.as_ref().filter(|engine| engine.after.is_none())?;
        deviation(&engine.spec, self.ready()?)
    }

    /// The engine that is ready.
    pub(crate) fn ready(&self) -> Option<&Arc<Ready>> {
        match self.engine.as_ref().map(|engine| &engine.status.state) {
            Some(State::Ready(ready)) => Some(ready),
            _ => None,
        }
    }

    /// The cause, if the last engine has failed.
    pub(crate) fn cause(&self) -> Option<&Arc<ExitReport>> {
        match self.last.as_ref().map(|status| &status.state) {
            Some(State::Failed { cause }) => Some(cause),
            _ => None,
        }
    }

    /// Whether the present engine is a trial of more than what is known to fit.
    fn is_trial(&self) -> bool {
        let fits = self.plan.sizes.fits();
        let size = self.engine.as_ref().map(|engine| size_of(&engine.spec));
        matches!(self.attempt, Attempt::Trying { .. }) && fits.is_some() && fits != size
    }

    pub(crate) fn name(&self) -> &str {
        &self.model.name
    }
}
