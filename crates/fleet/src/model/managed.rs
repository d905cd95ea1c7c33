//! One model of the fleet: its file, its sizes, its process, and what a process's news means for it.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Model;
use auxot_engine::{ExitClass, ExitReport, FileId, Ready, Spec, State, Status};

use crate::model::desired::{DesiredModel, deviation, gaps};
use crate::model::plan::{Plan, size_of};
use crate::model::process::{AfterExit, Engine};
use crate::model::size_search::{Next, Size};
use crate::model::unknown_devices::UnknownDevices;
use auxot_placement::PlacementError;
use auxot_scheduler::{ModelId, Run};

/// An engine that took longer than this to load is kept, even if a somewhat larger one might fit: whoever waits for it
/// has waited long enough.
const WORTH_ANOTHER_LOAD: Duration = Duration::from_secs(60);

/// Names one model for as long as the fleet lives; later models have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct ManagedId(u64);

impl ManagedId {
    /// The number of the next model.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What the fleet state knows of one model.
#[derive(Debug)]
pub(crate) struct ManagedModel {
    pub(crate) model: Arc<Model>,
    pub(crate) keep: KeepReason,
    /// Its number among those who are admitted.
    pub(crate) scheduler_id: ModelId,
    pub(crate) plan: Plan,
    pub(crate) attempt: Attempt,
    /// From a load to its end.
    pub(crate) engine: Option<Engine>,
    /// What was heard last of its present process, or of the one before.
    pub(crate) last: Option<Status>,
    /// Counts the processes this model has had; news of an earlier one is dropped.
    pub(crate) generation: u64,
    /// Its files, where they are others by now than those that failed.
    pub(crate) changed: Option<Vec<FileId>>,
    /// Its process could not start, because a file is another one: the next scan of the folders decides.
    pub(crate) awaits_scan: bool,
    /// Starts in a row that found another file than the one they were planned with.
    pub(crate) changed_starts: u32,
    /// Its files are others by now than those that it runs, and it is loaded anew once it is idle.
    pub(crate) is_outdated: bool,
    /// What a dry run has sent back, so that its next load needs none.
    pub(crate) dry_run_plan: Option<Spec>,
    /// Why it is not loaded though its owner wants it.
    pub(crate) placement_error: Option<PlacementError>,
    /// What the operator calls its devices.
    pub(crate) unknown_devices: UnknownDevices,
}

/// Why a model is here, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepReason {
    /// The operator lists it: it stays.
    Operator,
    /// A policy of the router named it: it stays until the model of a later one serves.
    Router,
    /// A job named it: it stays as long as its file.
    Demand,
    /// Its last jobs end, and then it goes.
    Leaving,
}

/// Whether its present size is known to load.
#[derive(Debug, Clone)]
pub(crate) enum Attempt {
    /// It is, or nothing was tried yet.
    Settled,
    /// The next load will tell; `before` is the plan to go back to.
    Trying { before: Option<Box<Plan>> },
}

/// The process that a life belongs to, of those that its model has had.
pub(crate) fn generation_of(run: Run) -> u64 {
    run >> 32
}

/// What the news of a process means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StatusChange {
    /// Nothing.
    None,
    /// It takes jobs, in so many slots, and its size stays.
    Ready { run: Run, slots: u32, size: Size },
    /// It does not take jobs now, and will again by itself if it ever did.
    Down,
    /// It shows that its size fits, or that a larger one does not; it is to give way to another.
    Replace,
    /// It has failed and cannot be killed.
    Unkillable,
    /// Nothing is left of it.
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
            changed: None,
            awaits_scan: false,
            changed_starts: 0,
            is_outdated: false,
            dry_run_plan: None,
            placement_error: None,
            unknown_devices: UnknownDevices::default(),
        }
    }

    /// Has a new process.
    pub(crate) fn load(&mut self, engine: Engine) {
        self.generation += 1;
        self.last = Some(engine.status.clone());
        self.placement_error = None;
        self.engine = Some(engine);
    }

    /// Names a life of an engine over all processes of this model: each counts its lives from one.
    pub(crate) fn run(&self, ready: &Ready) -> Run {
        (self.generation << 32) | (ready.run.0 & 0xffff_ffff)
    }

    /// Takes in a new state of the process, which is being ended already or not.
    pub(crate) fn on_engine_status(&mut self, status: Status, leaving: bool) -> StatusChange {
        let tries_for_more = self.tries_for_more();
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
            // Whatever the words of its end: a smaller one of the same is known to load.
            State::BackingOff { .. } if !decided && tries_for_more => {
                self.give_way();
                StatusChange::Replace
            }
            _ => StatusChange::Down,
        }
    }

    fn loaded(&mut self, ready: &Ready) -> StatusChange {
        let Some(size) = self.engine.as_ref().map(|engine| size_of(&engine.spec)) else { return StatusChange::None };
        self.plan.sizes.loaded(size);
        let more = matches!(self.plan.sizes.next(), Next::Try(_)) && ready.load_time <= WORTH_ANOTHER_LOAD;
        if more && matches!(self.attempt, Attempt::Trying { .. }) {
            if let Some(engine) = &mut self.engine {
                engine.after = Some(AfterExit::Retry);
            }
            return StatusChange::Replace;
        }
        self.attempt = Attempt::Settled;
        self.changed_starts = 0;
        StatusChange::Ready { run: self.run(ready), slots: ready.props.total_slots, size }
    }

    /// One that was only tried has failed in a way that its keeper would try again.
    fn give_way(&mut self) {
        let after = self.failed(true);
        if let Some(engine) = &mut self.engine {
            engine.after = Some(after);
        }
    }

    /// What follows the end that nobody asked for.
    fn ended(&mut self) -> AfterExit {
        let state = self.engine.as_ref().map(|engine| &engine.status.state);
        match state {
            Some(State::Failed { cause }) if cause.class == ExitClass::FileChanged => AfterExit::Rescan,
            Some(State::Failed { cause }) => {
                let for_want_of_memory = cause.class.is_memory();
                self.failed(for_want_of_memory || self.tries_for_more())
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

    /// Takes in another plan; whether its present process must give way to one of it.
    pub(crate) fn change_plan(&mut self, plan: Plan) -> bool {
        let old = std::mem::replace(&mut self.plan, plan);
        let Some(engine) = &mut self.engine else { return false };
        if engine.is_of(&self.plan) {
            // Back to what runs.
            self.attempt = Attempt::Settled;
            return false;
        }
        if let Attempt::Settled = self.attempt {
            // What has failed is nothing to go back to.
            let worked = matches!(engine.status.state, State::Ready(_)) && engine.after.is_none();
            self.attempt = Attempt::Trying { before: worked.then(|| Box::new(old)) };
        }
        true
    }

    /// Becomes another version of its model: what runs gives way, and is nothing to go back to.
    pub(crate) fn replace(&mut self, model: Arc<Model>, plan: Plan) {
        (self.model, self.plan, self.attempt, self.is_outdated) = (model, plan, Attempt::Settled, false);
        if let Some(engine) = &mut self.engine {
            engine.after = Some(AfterExit::Reload);
        }
    }

    /// Its file cannot be used: that is why its last process has failed.
    pub(crate) fn mark_file_bad(&mut self) {
        if let Some(status) = &mut self.last
            && let State::Failed { cause } = &status.state
        {
            status.state = State::Failed { cause: Arc::new(cause.because(ExitClass::BadFile)) };
        }
    }

    /// Has a reason to stay, also if it was about to go.
    pub(crate) fn stay(&mut self, keep: KeepReason) {
        if self.keep == KeepReason::Leaving || (self.keep != KeepReason::Operator && keep != KeepReason::Demand) {
            self.keep = keep;
        }
    }

    /// What of the router's wish this model does not give.
    pub(crate) fn gaps(&self, desired: &DesiredModel) -> Vec<String> {
        match &self.engine {
            // One that gives way to another size of itself is judged by that.
            Some(engine) if engine.after.is_none() => gaps(desired, &engine.spec, self.ready().map(|ready| &**ready)),
            Some(_) | None => gaps(desired, &self.plan.spec(), None),
        }
    }

    /// What is less than wanted because the memory holds no more. While a change is under way nobody knows.
    pub(crate) fn shortfall(&self) -> Option<String> {
        let answers = matches!(self.attempt, Attempt::Settled) && self.ready().is_some();
        self.engine.as_ref().filter(|_| answers).and_then(|engine| self.plan.shortfall(&engine.spec))
    }

    /// What its engine made of the numbers that it was started with, where that is something else, as a sentence.
    pub(crate) fn deviation(&self) -> Option<String> {
        let engine = self.engine.as_ref().filter(|engine| engine.after.is_none())?;
        deviation(&engine.spec, self.ready()?)
    }

    /// The engine that answers now.
    pub(crate) fn ready(&self) -> Option<&Arc<Ready>> {
        match self.engine.as_ref().map(|engine| &engine.status.state) {
            Some(State::Ready(ready)) => Some(ready),
            _ => None,
        }
    }

    /// Why it has failed, if its last process has.
    pub(crate) fn cause(&self) -> Option<&Arc<ExitReport>> {
        match self.last.as_ref().map(|status| &status.state) {
            Some(State::Failed { cause }) => Some(cause),
            _ => None,
        }
    }

    /// Whether this process only shows whether more fits than what is known to.
    fn tries_for_more(&self) -> bool {
        let fits = self.plan.sizes.fits();
        let size = self.engine.as_ref().map(|engine| size_of(&engine.spec));
        matches!(self.attempt, Attempt::Trying { .. }) && fits.is_some() && fits != size
    }

    pub(crate) fn name(&self) -> &str {
        &self.model.name
    }
}
