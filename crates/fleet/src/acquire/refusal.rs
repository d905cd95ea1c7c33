//! Why a job gets no slot: a type with the numbers in it, and the sentence a caller reads.

use std::sync::Arc;
use std::time::Duration;

use auxot_instance::ExitReport;

use crate::placement::Misfit;

/// Why a job gets no slot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// This host serves no such model.
    #[error("no model `{name}` on this worker; it serves {}", list(.serves))]
    UnknownModel {
        /// What was asked for.
        name: String,
        /// What is there.
        serves: Vec<String>,
    },
    /// This host serves no model at all.
    #[error("this worker has no model to serve: {reason}")]
    NoModel {
        /// Why not.
        reason: String,
    },
    /// The model's process failed for good; an operator or a changed file brings it back.
    #[error("{model} has failed: {}", .cause.class.meaning())]
    Failed {
        /// The model.
        model: String,
        /// Its last exit.
        cause: Arc<ExitReport>,
    },
    /// The model is larger than what could ever be free for it.
    #[error("cannot load {model}: {misfit}")]
    DoesNotFit {
        /// The model.
        model: String,
        /// The numbers.
        misfit: Misfit,
    },
    /// The model is being stopped.
    #[error("{model} is stopped")]
    Stopped {
        /// The model.
        model: String,
    },
    /// As many jobs wait as may.
    #[error("{model} is busy: {waiting} jobs wait for it already")]
    QueueFull {
        /// The model.
        model: String,
        /// How many wait.
        waiting: usize,
    },
    /// No slot came free in time.
    #[error("no slot of {model} came free within {:.0} s", .waited.as_secs_f64())]
    TooLate {
        /// The model.
        model: String,
        /// How long the job waited.
        waited: Duration,
    },
    /// The worker ends.
    #[error("the worker is shutting down")]
    Draining,
}

impl Refusal {
    /// The model that refuses, where it is one of this host's.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Failed { model, .. }
            | Self::DoesNotFit { model, .. }
            | Self::Stopped { model }
            | Self::QueueFull { model, .. }
            | Self::TooLate { model, .. } => Some(model),
            Self::UnknownModel { .. } | Self::NoModel { .. } | Self::Draining => None,
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
