//! The present process of a model: what it was started as, where it lies, how it fares, what follows its end.

use auxot_instance::{InstanceHandle, Spec, State, Status};

use crate::placement::Placement;

/// The process of one load, from its start to its end.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) handle: InstanceHandle,
    pub(crate) status: Status,
    /// What it was started as, but for what its place adds.
    pub(crate) spec: Spec,
    pub(crate) placement: Placement,
    /// What follows its end, if that is decided already.
    pub(crate) after: Option<After>,
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing: the model is on disk until somebody wants it.
    Rest,
    /// The next load, perhaps in another size, for which nobody is ended.
    Again,
    /// The next load, wanted like the first one.
    Anew,
    /// Nothing, until somebody mends what is wrong.
    Failed,
}

impl Engine {
    /// A process that is about to start.
    pub(crate) fn new(handle: InstanceHandle, spec: Spec, placement: Placement) -> Self {
        let status = handle.status().borrow().clone();
        Self { handle, status, spec, placement, after: None }
    }

    /// Whether nothing is left of it, and nothing comes by itself. One that could not be killed still holds its memory.
    pub(crate) fn has_ended(&self) -> bool {
        let over = match self.status.state {
            State::Failed { .. } => true,
            // It is at rest before its first life too.
            State::Stopped => self.status.run.0 > 0,
            _ => false,
        };
        over && self.status.pid.is_none()
    }
}
