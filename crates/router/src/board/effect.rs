//! What follows from a change of the board.

use super::{JobId, ProviderId, WorkerId};

/// An action that follows from a change; the hub performs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BoardEffect {
    /// `reported_model` is the name for the client; `model` is the name for the worker, where it lists models.
    Dispatch {
        worker: WorkerId,
        job: JobId,
        model: Option<String>,
        reported_model: String,
        attempt: u32,
    },
    Cancel {
        worker: WorkerId,
        job: JobId,
    },
    GiveUp {
        job: JobId,
        attempts: u32,
    },
    Provide {
        provider: ProviderId,
        job: JobId,
        attempt: u32,
    },
    /// Every provider has refused the job.
    Refuse {
        job: JobId,
    },
}
