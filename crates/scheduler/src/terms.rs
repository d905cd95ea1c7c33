//! The words of the admission: what an operator sets, what a job is told, what is to be done.

use std::time::Duration;

use super::{ModelId, Moment, Ticket};
use auxot_placement::{Placement, PlacementError};

/// The times and numbers that an operator sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a job may wait.
    pub max_wait: Duration,
    /// How many jobs may wait for one model.
    pub max_waiting: usize,
    /// How long a loaded model stays at least.
    pub min_loaded_time: Duration,
    /// How long a job waits before a busy model is asked to go for it.
    pub preempt_after: Duration,
    /// How long jobs that run may go on once their model is to go.
    pub drain: Duration,
    /// How long nobody is ended for a model whose load has failed; twice as long with each further one in a row, up to
    /// a bound.
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
    /// It waits: for a load, which its model's [`ModelState`](super::ModelState) tells of, for a slot, or for room.
    Wait,
    /// It is sent away.
    Refuse(Reason),
}

/// Why a job is sent away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The model is larger than what could ever be free for it.
    #[error("cannot place it: {0}")]
    DoesNotFit(PlacementError),
    /// As many jobs wait as may.
    #[error("{waiting} jobs wait for it already")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// No slot came free in time.
    #[error("no slot came free within {:.0} s", .waited.as_secs_f64())]
    TooLate {
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

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Give a job that waited its slot.
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
        /// Where.
        placement: Box<Placement>,
    },
    /// A model takes no more jobs, and those that it runs may go on until then.
    Drain {
        /// The model.
        model: ModelId,
        /// Until when.
        until: Moment,
        /// For whom, if not because its owner says so.
        to_make_room_for: Option<ModelId>,
    },
    /// End a model: it is idle, or has had its time to finish.
    Stop {
        /// The model.
        model: ModelId,
    },
    /// Nobody can place a model in its present size, not even if everybody went who may: another size may be set, or
    /// those who wait be turned away.
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
    /// Send a job that waited away.
    Refuse {
        /// The job.
        ticket: Ticket,
        /// Why.
        reason: Reason,
    },
}
