//! One model of the fleet: its file, its process, its slots and who waits for them.

use std::sync::Arc;

use auxot_catalog::Model;
use auxot_instance::{InstanceHandle, Ready, State, Status};

use crate::queue::{Queue, Ticket};

/// What the judge knows of one model.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) model: Arc<Model>,
    pub(crate) handle: InstanceHandle,
    pub(crate) queue: Queue,
    pub(crate) status: Status,
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
    pub(crate) fn new(model: Arc<Model>, handle: InstanceHandle, bound: usize) -> Self {
        let status = handle.status().borrow().clone();
        Self { model, handle, queue: Queue::new(bound), status }
    }

    /// Takes in a new state of the process.
    pub(crate) fn turn(&mut self, status: Status) -> Turn {
        self.status = status;
        match &self.status.state {
            State::Ready(ready) => Turn::Granted(self.queue.open(ready.run.0, ready.props.total_slots)),
            State::Failed { .. } => {
                self.queue.close();
                Turn::Dismissed(self.queue.dismiss())
            }
            // Whoever waits goes on waiting: a load, a restart and a back-off all end in one of the above.
            State::Starting { .. } | State::BackingOff { .. } | State::Stopped | State::Draining | State::Stopping => {
                self.queue.close();
                Turn::Granted(Vec::new())
            }
        }
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
