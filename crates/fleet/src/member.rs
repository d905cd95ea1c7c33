//! One model of the fleet: its file, its process, its slots and who waits for them.

use std::sync::Arc;

use auxot_catalog::Model;
use auxot_instance::{InstanceHandle, Ready, Spec, State, Status};

use crate::outlook::Outlook;
use crate::queue::{Queue, Run, Ticket};
use crate::wish::{Wish, gaps};

/// What the judge knows of one model.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) model: Arc<Model>,
    pub(crate) tenure: Tenure,
    /// What the present process was started with.
    pub(crate) spec: Spec,
    pub(crate) handle: InstanceHandle,
    pub(crate) queue: Queue,
    pub(crate) status: Status,
    /// Counts the instances this member has had; news of an earlier one is dropped.
    pub(crate) generation: u64,
    pub(crate) shape: Shape,
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
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// It is as it should be.
    Settled,
    /// The present process is being ended, and one like `next` follows; `before` is the size to go back to.
    Ending { next: Box<Spec>, before: Option<Box<Spec>> },
    /// The new process has been started; its state will tell whether it stays.
    Trying { before: Option<Box<Spec>> },
}

/// The instance that a life belongs to, of those that its member has had.
pub(crate) fn generation_of(run: Run) -> u64 {
    run >> 32
}

/// What a change of a process's state means for those who wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// These get a slot of the engine that takes jobs now.
    Granted(Vec<Ticket>),
    /// These are sent away: there will be no engine.
    Dismissed(Vec<Ticket>),
}

impl Member {
    pub(crate) fn new(model: Arc<Model>, tenure: Tenure, spec: Spec, handle: InstanceHandle, bound: usize) -> Self {
        let status = handle.status().borrow().clone();
        let (queue, shape) = (Queue::new(bound), Shape::Settled);
        Self { model, tenure, spec, handle, queue, status, generation: 1, shape }
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
    pub(crate) fn turn(&mut self, status: Status) -> Turn {
        self.status = status;
        self.judge_try();
        match &self.status.state {
            State::Ready(ready) => {
                let run = self.run(ready);
                Turn::Granted(self.queue.open(run, ready.props.total_slots))
            }
            State::Failed { .. } if self.shape == Shape::Settled => {
                self.queue.close();
                Turn::Dismissed(self.queue.dismiss())
            }
            // Whoever waits goes on waiting: a load, a restart and a back-off all end in one of the above.
            State::Failed { .. }
            | State::Starting { .. }
            | State::BackingOff { .. }
            | State::Stopped
            | State::Draining
            | State::Stopping => {
                self.queue.close();
                Turn::Granted(Vec::new())
            }
        }
    }

    /// A new process that serves stays; one that fails gives way to what was there before it.
    fn judge_try(&mut self) {
        let Shape::Trying { before } = &mut self.shape else { return };
        match &self.status.state {
            State::Ready(_) => self.shape = Shape::Settled,
            State::Failed { .. } => {
                self.shape = match before.take() {
                    Some(next) => Shape::Ending { next, before: None },
                    None => Shape::Settled,
                };
            }
            _ => {}
        }
    }

    /// Notes that this member should have another size; whether somebody must see to it, or already does.
    pub(crate) fn reshape(&mut self, spec: Spec) -> bool {
        let next = Box::new(spec);
        match &mut self.shape {
            Shape::Settled | Shape::Trying { .. } if self.spec == *next => false,
            Shape::Settled => {
                self.shape = Shape::Ending { next, before: Some(Box::new(self.spec.clone())) };
                true
            }
            // One task sees to it, and only the newest wish counts.
            Shape::Ending { next: newest, .. } => {
                *newest = next;
                false
            }
            Shape::Trying { before } => {
                self.shape = Shape::Ending { next, before: before.take() };
                false
            }
        }
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

    /// The engine that takes jobs now.
    pub(crate) fn ready(&self) -> Option<&Arc<Ready>> {
        match &self.status.state {
            State::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    /// What can be expected of it.
    pub(crate) fn outlook(&self) -> Outlook {
        match (&self.status.state, &self.shape) {
            (State::Ready(_), _) => Outlook::Serving,
            (State::Failed { .. }, Shape::Settled) => Outlook::Failed,
            _ => Outlook::Coming,
        }
    }

    /// Whether nothing of its process is left. One that could not be killed has failed, and still holds its memory.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.status.state, State::Stopped | State::Failed { .. }) && self.status.pid.is_none()
    }

    pub(crate) fn name(&self) -> &str {
        &self.model.name
    }
}
