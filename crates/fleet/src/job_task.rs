//! What a job wants its model to do.

use auxot_catalog::Task;
use auxot_llama::PathTask;

/// What a job wants its model to do: a model serves only the requests of its own task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobTask {
    /// Text.
    Chat,
    /// Vectors of texts.
    Embedding,
    /// Scores of texts against a query.
    Rerank,
    /// What an engine answers whatever its model is for, such as tokens of a text.
    Any,
}

impl From<PathTask> for JobTask {
    fn from(task: PathTask) -> Self {
        match task {
            PathTask::Chat => Self::Chat,
            PathTask::Embedding => Self::Embedding,
            PathTask::Rerank => Self::Rerank,
            PathTask::Any => Self::Any,
        }
    }
}

impl JobTask {
    /// Whether a model for `task` serves the job.
    #[must_use]
    pub fn accepts(self, task: Task) -> bool {
        match self {
            Self::Chat => task == Task::Chat,
            Self::Embedding => task == Task::Embedding,
            Self::Rerank => task == Task::Rerank,
            Self::Any => task.is_served(),
        }
    }

    /// The verb of a refusal: "cannot … with this model", "no model can …".
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "make embeddings",
            Self::Rerank => "rerank",
            Self::Any => "serve requests",
        }
    }
}
