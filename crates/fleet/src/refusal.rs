//! Why a job gets no slot: a type with the numbers in it, and the sentence a caller reads.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Task;
use auxot_engine::ExitReport;

use auxot_placement::PlacementError;
use auxot_scheduler::Reason;

use crate::model::managed::ManagedModel;

/// So many names are listed; more are counted.
const LISTED: usize = 24;

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
    /// The model is not one that chats.
    #[error("cannot chat with {model}: {}", meaning(*.task))]
    NotForChat {
        /// The model.
        model: String,
        /// What it is for.
        task: Task,
    },
    /// None of the models that this host serves is one that chats.
    #[error("no model on this worker can chat; it serves {}", list(.there))]
    NoneChats {
        /// What is there, each with what it is for.
        there: Vec<String>,
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
    #[error("cannot load {model}: {placement_error}")]
    DoesNotFit {
        /// The model.
        model: String,
        /// The numbers.
        placement_error: PlacementError,
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
            | Self::NotForChat { model, .. }
            | Self::DoesNotFit { model, .. }
            | Self::Stopped { model }
            | Self::QueueFull { model, .. }
            | Self::TooLate { model, .. } => Some(model),
            Self::UnknownModel { .. } | Self::NoneChats { .. } | Self::NoModel { .. } | Self::Draining => None,
        }
    }
}

pub(crate) fn list(names: &[String]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        1..=LISTED => names.join(", "),
        count => format!("{} and {} more", names[..LISTED].join(", "), count - LISTED),
    }
}

/// Why a model with this task does not chat.
fn meaning(task: Task) -> &'static str {
    match task {
        Task::Chat => "it is not a model that chats",
        Task::Embedding => "it is an embedding model",
        Task::Rerank => "it is a rerank model",
        Task::None => "it is no model that this worker can serve",
    }
}

/// The reason in the words of a caller.
pub(crate) fn refusal(managed: &ManagedModel, reason: Reason) -> Refusal {
    let model = managed.name().to_owned();
    match reason {
        Reason::DoesNotFit(placement_error) => Refusal::DoesNotFit { model, placement_error },
        Reason::QueueFull { waiting } => Refusal::QueueFull { model, waiting },
        Reason::TooLate { waited } => Refusal::TooLate { model, waited },
        Reason::Frozen => Refusal::Draining,
        Reason::Failed => match managed.cause() {
            Some(cause) => Refusal::Failed { model, cause: Arc::clone(cause) },
            None => Refusal::Stopped { model },
        },
    }
}
