//! Why a job gets no slot: an enum with the values, and the sentence for the caller.

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::Task;
use auxot_engine::ExitReport;

use auxot_placement::PlacementError;
use auxot_scheduler::Reason;

use crate::job_task::JobTask;
use crate::model::managed::ManagedModel;

/// The number of names in a list; the rest is counted.
const LISTED: usize = 24;

/// Why a job gets no slot.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// This host has no such model.
    #[error("no model `{name}` on this worker; it serves {}", list(.serves))]
    UnknownModel {
        /// The requested name.
        name: String,
        /// The names of the models here.
        serves: Vec<String>,
    },
    /// The name means several models of this host.
    #[error("cannot choose a model for `{name}`: it may be {}", list(.candidates))]
    AmbiguousModel {
        /// The requested name.
        name: String,
        /// The names of the models that fit.
        candidates: Vec<String>,
    },
    /// The model is for another task.
    #[error("cannot {} with {model}: {}", .wanted.verb(), meaning(*.task))]
    WrongTask {
        /// The model.
        model: String,
        /// Its task.
        task: Task,
        /// What the job wants.
        wanted: JobTask,
    },
    /// None of the models here is for the task.
    #[error("no model on this worker can {}; it serves {}", .wanted.verb(), list(.there))]
    NoModelForTask {
        /// What the job wants.
        wanted: JobTask,
        /// The models here, each with its task.
        there: Vec<String>,
    },
    /// This host serves no model at all.
    #[error("this worker has no model to serve: {reason}")]
    NoModel {
        /// Why not.
        reason: String,
    },
    /// The model has failed; see `owner::retry` for what ends that.
    #[error("{model} has failed: {}", .cause.class.meaning())]
    Failed {
        /// The model.
        model: String,
        /// Its last exit.
        cause: Arc<ExitReport>,
    },
    /// The model is larger than the memory that could ever be free for it.
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
    /// The queue of the model is full.
    #[error("{model} is busy: {waiting} jobs wait for it already")]
    QueueFull {
        /// The model.
        model: String,
        /// The number of waiting jobs.
        waiting: usize,
    },
    /// No slot came free in time.
    #[error("no slot of {model} came free within {:.0} s", .waited.as_secs_f64())]
    WaitTimeout {
        /// The model.
        model: String,
        /// How long the job waited.
        waited: Duration,
    },
    /// The worker is shutting down.
    #[error("the worker is shutting down")]
    Draining,
}

impl Refusal {
    /// The model that is refused, where it is one of this host's.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Failed { model, .. }
            | Self::WrongTask { model, .. }
            | Self::DoesNotFit { model, .. }
            | Self::Stopped { model }
            | Self::QueueFull { model, .. }
            | Self::WaitTimeout { model, .. } => Some(model),
            Self::UnknownModel { .. }
            | Self::AmbiguousModel { .. }
            | Self::NoModelForTask { .. }
            | Self::NoModel { .. }
            | Self::Draining => None,
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

/// What a model with this task is for.
fn meaning(task: Task) -> &'static str {
    match task {
        Task::Chat => "it is a chat model",
        Task::Embedding => "it is an embedding model",
        Task::Rerank => "it is a rerank model",
        Task::None => "this worker cannot serve such a model",
    }
}

/// The scheduler's reason as a refusal of this model.
pub(crate) fn refusal(managed: &ManagedModel, reason: Reason) -> Refusal {
    let model = managed.name().to_owned();
    match reason {
        Reason::DoesNotFit(placement_error) => Refusal::DoesNotFit { model, placement_error },
        Reason::QueueFull { waiting } => Refusal::QueueFull { model, waiting },
        Reason::WaitTimeout { waited } => Refusal::WaitTimeout { model, waited },
        Reason::Frozen => Refusal::Draining,
        Reason::Failed => match managed.cause() {
            Some(cause) => Refusal::Failed { model, cause: Arc::clone(cause) },
            None => Refusal::Stopped { model },
        },
    }
}
