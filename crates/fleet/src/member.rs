//! One model of the fleet: its file, its process, its slots and who waits for them.

use std::sync::Arc;

use auxot_catalog::Model;
use auxot_instance::{InstanceHandle, Ready, Spec, State, Status};

use crate::queue::{Queue, Run, Ticket};
use crate::wish::{Wish, gaps};

/// What the judge knows of one model.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) model: Arc<Model>,
    pub(crate) spec: Spec,
    pub(crate) handle: InstanceHandle,
    pub(crate) queue: Queue,
    pub(crate) status: Status,
    /// Counts the instances this member has had; news of an earlier one is dropped.
    pub(crate) generation: u64,
    pub(crate) shape: Shape,
}

/// Whether the member's process is to be replaced by one of another size.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// It is as it should be.
    Settled,
    /// It is being replaced; meanwhile a newer wish may have come.
    Changing { newest: Option<Box<Spec>> },
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
    pub(crate) fn new(model: Arc<Model>, spec: Spec, handle: InstanceHandle, bound: usize) -> Self {
        let status = handle.status().borrow().clone();
        Self { model, spec, handle, queue: Queue::new(bound), status, generation: 1, shape: Shape::Settled }
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

    pub(crate) fn name(&self) -> &str {
        &self.model.name
    }
}
