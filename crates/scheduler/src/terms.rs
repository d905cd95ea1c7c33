//! The operator's limits, the answers to jobs, and the actions.

use std::time::Duration;

use super::{ModelId, Moment, Ticket};
use auxot_placement::{Placement, PlacementError};

/// The operator's times and numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a job may wait.
    pub max_wait: Duration,
    /// How many jobs may wait for one model.
    pub max_waiting: usize,
    /// How long a loaded model stays at least.
    pub min_loaded_time: Duration,
    /// How long a job waits before a busy model is unloaded for it.
    pub preempt_after: Duration,
    /// How long running jobs may go on once their model is draining.
    pub drain: Duration,
    /// How long no model is unloaded for one whose load has failed; twice as long with each further failure in a row,
    /// up to a bound.
    pub load_backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            max_wait: seconds(600),
            max_waiting: 256,
            min_loaded_time: seconds(20),
            preempt_after: seconds(15),
            drain: seconds(30),
            load_backoff: seconds(300),
        }
    }
}

/// The answer to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// It has a slot.
    Admit,
    /// It waits: for a load (see its model's [`ModelState`](super::ModelState)), for a slot, or for room.
    Wait,
    /// It is refused.
    Refuse(Reason),
}

/// Why a job is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The model is larger than what could ever be free for it.
    #[error("cannot place it: {0}")]
    DoesNotFit(PlacementError),
    /// The queue for the model is full.
    #[error("{waiting} jobs wait for it already")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// No slot became free in time.
    #[error("no slot came free within {:.0} s", .waited.as_secs_f64())]
    WaitTimeout {
        /// How long the job waited.
        waited: Duration,
    },
    /// The model has failed for good.
    #[error("it has failed")]
    Failed,
    /// Nothing is loaded any more.
    #[error("nothing is loaded any more")]
    Frozen,
}

/// An action.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Give a waiting job its slot.
    Admit {
        /// The job.
        ticket: Ticket,
        /// The model.
        model: ModelId,
    },
    /// Load a model; the room for it is free.
    Load {
        /// The model.
        model: ModelId,
        /// Its place.
        placement: Box<Placement>,
    },
    /// A model takes no more jobs, and its running ones may go on until then.
    Drain {
        /// The model.
        model: ModelId,
        /// Until when.
        until: Moment,
        /// The model that needs the room, unless the owner has asked.
        to_make_room_for: Option<ModelId>,
    },
    /// Stop a model's engine: it is idle, or its drain time has passed.
    Stop {
        /// The model.
        model: ModelId,
    },
    /// A model cannot be placed in its present size, not even with all others unloaded that may be: another size may be
    /// set, or its jobs be turned away.
    TooLarge {
        /// The model.
        model: ModelId,
        /// By how much.
        placement_error: PlacementError,
    },
    /// A model that its owner wants is not loaded yet, because there is no room.
    NoRoom {
        /// The model.
        model: ModelId,
        /// What is missing.
        placement_error: PlacementError,
    },
    /// Refuse a waiting job.
    Refuse {
        /// The job.
        ticket: Ticket,
        /// Why.
        reason: Reason,
    },
}
