//! One model of the fleet: its file, its process, its slots and who waits for them.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Model;
use auxot_gpu::Sample;
use auxot_instance::{InstanceHandle, Ready, Spec, State, Status};

use crate::dial::{Next, Size};
use crate::estimate::should_fit;
use crate::identity::FileId;
use crate::outlook::Outlook;
use crate::plan::{Plan, size_of};
use crate::queue::{Queue, Run, Ticket};
use crate::wish::{Wish, gaps};

/// An engine that took longer than this to load is kept, even if a somewhat larger one might fit: whoever waits for it
/// has waited long enough.
const WORTH_ANOTHER_LOAD: Duration = Duration::from_secs(60);

/// What the judge knows of one model.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) model: Arc<Model>,
    pub(crate) tenure: Tenure,
    pub(crate) plan: Plan,
    /// What the present process was started with.
    pub(crate) spec: Spec,
    pub(crate) handle: InstanceHandle,
    pub(crate) queue: Queue,
    pub(crate) status: Status,
    /// Counts the instances this member has had; news of an earlier one is dropped.
    pub(crate) generation: u64,
    pub(crate) shape: Shape,
    /// Its files, where they are others by now than those that failed.
    pub(crate) changed: Option<Vec<FileId>>,
}

/// Why a model is here, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// The operator lists it: it stays.
    Operator,
    /// A policy of the router named it: it stays until the model of a later one serves.
    Router,
    /// Its last jobs end, and then it goes.
    Leaving,
}

/// Whether the member's process is to be replaced by another one.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// It is as it should be.
    Settled,
    /// The present process is being ended, and one like the plan says follows; `before` is the plan to go back to.
    Ending { before: Option<Box<Plan>> },
    /// The new process has been started; its state will tell whether it stays.
    Trying { before: Option<Box<Plan>> },
}

/// The instance that a life belongs to, of those that its member has had.
pub(crate) fn generation_of(run: Run) -> u64 {
    run >> 32
}

/// What a change of a process's state means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// These get a slot of the engine that takes jobs now.
    pub(crate) granted: Vec<Ticket>,
    /// These are sent away: there will be no engine.
    pub(crate) dismissed: Vec<Ticket>,
    /// Somebody must begin to see to the member's change.
    pub(crate) changing: bool,
    /// The engine of this size stays.
    pub(crate) found: Option<Size>,
}

impl Member {
    pub(crate) fn new(model: Arc<Model>, tenure: Tenure, plan: Plan, handle: InstanceHandle, bound: usize) -> Self {
        let status = handle.status().borrow().clone();
        let (spec, queue, shape) = (plan.spec(), Queue::new(bound), Shape::Settled);
        Self { model, tenure, plan, spec, handle, queue, status, generation: 1, shape, changed: None }
    }

    /// Takes another instance in place of the one that has ended.
    pub(crate) fn replace(&mut self, spec: Spec, handle: InstanceHandle) {
        self.generation += 1;
        self.status = handle.status().borrow().clone();
        self.spec = spec;
        self.handle = handle;
    }

    /// Names a life of an engine over all instances of this member: each instance counts its lives from one.
    pub(crate) fn run(&self, ready: &Ready) -> Run {
        (self.generation << 32) | (ready.run.0 & 0xffff_ffff)
    }

    /// Takes in a new state of the process.
    pub(crate) fn turn(&mut self, status: Status, devices: &Sample) -> Turn {
        self.status = status;
        let settled = self.is_settled();
        let found = self.judge_size(devices);
        let mut turn = Turn { changing: settled && !self.is_settled(), found, ..Turn::default() };
        match &self.status.state {
            // One that only showed that its size fits, and gives way to a larger one, serves nobody.
            State::Ready(_) if self.is_ending() && !self.queue.is_open() => {}
            State::Ready(ready) => turn.granted = self.queue.open(self.run(ready), ready.props.total_slots),
            State::Failed { .. } if self.is_settled() => {
                self.queue.close();
                turn.dismissed = self.queue.dismiss();
            }
            // Whoever waits goes on waiting: a load, a restart and a back-off all end in one of the above.
            State::Failed { .. }
            | State::Starting { .. }
            | State::BackingOff { .. }
            | State::Stopped
            | State::Draining
            | State::Stopping => self.queue.close(),
        }
        turn
    }

    /// Learns from a load that ended, well or not, and decides what is to run next. Gives the size that stays.
    fn judge_size(&mut self, devices: &Sample) -> Option<Size> {
        match &self.status.state {
            // How one fares that is to go anyway decides nothing.
            _ if self.is_ending() => None,
            State::Ready(ready) => {
                let load_time = ready.load_time;
                self.loaded(load_time)
            }
            // Whatever the words of its end: a smaller one of the same is known to load.
            State::BackingOff { .. } | State::Failed { .. } if self.tries_for_more() => {
                self.failed(true, devices);
                None
            }
            State::Failed { cause } => {
                let memory = cause.class.is_memory();
                self.failed(memory, devices);
                None
            }
            _ => None,
        }
    }

    fn loaded(&mut self, load_time: Duration) -> Option<Size> {
        let size = size_of(&self.spec);
        self.plan.dial.loaded(size);
        match std::mem::replace(&mut self.shape, Shape::Settled) {
            Shape::Trying { before }
                if matches!(self.plan.dial.next(), Next::Try(_)) && load_time <= WORTH_ANOTHER_LOAD =>
            {
                self.shape = Shape::Ending { before };
                None
            }
            _ => Some(size),
        }
    }

    fn failed(&mut self, for_want_of_memory: bool, devices: &Sample) {
        let before = match std::mem::replace(&mut self.shape, Shape::Settled) {
            Shape::Settled => None,
            Shape::Ending { before } | Shape::Trying { before } => before,
        };
        if for_want_of_memory {
            self.plan.dial.failed(size_of(&self.spec));
            if let Some(fits) = should_fit(&self.model, devices) {
                self.plan.dial.estimate(fits);
            }
            if self.plan.dial.next() != Next::Hopeless {
                self.shape = Shape::Ending { before };
                return;
            }
        }
        if let Some(before) = before {
            self.plan = *before;
            self.shape = Shape::Ending { before: None };
        }
    }

    /// Takes in another plan; whether somebody must begin to see to it, or already does, or it is no other.
    pub(crate) fn reshape(&mut self, plan: Plan) -> bool {
        if self.plan.is_for(&plan) {
            return false;
        }
        let old = std::mem::replace(&mut self.plan, plan);
        match &mut self.shape {
            Shape::Settled if self.spec == self.plan.spec() => false,
            Shape::Settled => {
                // What has failed is nothing to go back to.
                let worked = !matches!(self.status.state, State::Failed { .. });
                self.shape = Shape::Ending { before: worked.then(|| Box::new(old)) };
                true
            }
            // One task sees to it, and only the newest plan counts.
            Shape::Ending { .. } => false,
            Shape::Trying { before } => {
                self.shape = Shape::Ending { before: before.take() };
                false
            }
        }
    }

    /// Begins anew after a failure, with nothing to go back to.
    pub(crate) fn begin_anew(&mut self, plan: Plan) {
        self.plan = plan;
        self.changed = None;
        self.shape = Shape::Ending { before: None };
    }

    /// Has a reason to stay, also if it was about to go.
    pub(crate) fn stay(&mut self, tenure: Tenure) {
        if self.tenure == Tenure::Leaving {
            self.handle.start();
        }
        if self.tenure != Tenure::Operator {
            self.tenure = tenure;
        }
    }

    /// What of the router's wish this member does not give.
    pub(crate) fn gaps(&self, wish: &Wish) -> Vec<String> {
        gaps(wish, &self.spec, self.ready().map(|ready| &**ready))
    }

    /// What is less than wanted because the memory holds no more. While a change is under way nobody knows.
    pub(crate) fn shortfall(&self) -> Option<String> {
        (self.is_settled() && self.ready().is_some()).then(|| self.plan.shortfall(&self.spec)).flatten()
    }

    /// The engine that takes jobs now.
    pub(crate) fn ready(&self) -> Option<&Arc<Ready>> {
        match &self.status.state {
            State::Ready(ready) if self.queue.is_open() => Some(ready),
            _ => None,
        }
    }

    /// What can be expected of it.
    pub(crate) fn outlook(&self) -> Outlook {
        match (self.ready(), self.has_failed()) {
            (Some(_), _) => Outlook::Serving,
            (None, true) => Outlook::Failed,
            (None, false) => Outlook::Coming,
        }
    }

    /// Whether nothing of its process is left. One that could not be killed has failed, and still holds its memory.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.status.state, State::Stopped | State::Failed { .. }) && self.status.pid.is_none()
    }

    /// Whether it has failed, and nothing is being done about it.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.status.state, State::Failed { .. }) && self.is_settled()
    }

    /// Whether its process is to stay.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.shape, Shape::Settled)
    }

    /// Whether this process only shows whether more fits than what is known to.
    fn tries_for_more(&self) -> bool {
        let fits = self.plan.dial.fits();
        matches!(self.shape, Shape::Trying { .. }) && fits.is_some_and(|fits| fits != size_of(&self.spec))
    }

    fn is_ending(&self) -> bool {
        matches!(self.shape, Shape::Ending { .. })
    }

    pub(crate) fn name(&self) -> &str {
        &self.model.name
    }
}
