//! Decides whether a request is accepted, and why a job timed out.

use std::time::Duration;

use auxot_access::keys::Key;

use super::{Inner, RequestedJob};
use crate::board::{Availability, JobState};
use auxot_llama::PathTask;

use crate::failure::Failure;
use crate::resolver::{Resolution, could_match};

impl Inner {
    /// Checks whether a worker can answer the request now or later. Without any worker the request waits; with workers
    /// that all lack the model it fails.
    pub(super) fn check(&self, request: &RequestedJob, model_memory: Duration) -> Result<(), Failure> {
        let requested = request.model.as_deref();
        match (self.refusal(&request.key, requested, request.task), requested) {
            (Some(Failure::UnknownModel { .. } | Failure::NoModelForTask { .. }), _)
            | (Some(Failure::ModelFailed(_)), None)
                if self.may_arrive(requested, model_memory) =>
            {
                return Ok(());
            }
            (Some(failure), _) => return Err(failure),
            (None, _) => {}
        }
        let model = requested.and_then(|requested| match self.board.resolve(requested) {
            Resolution::Model(model) => Some(model),
            Resolution::Ambiguous(_) | Resolution::Unknown => None,
        });
        match self.board.lacks(request.extension(), model.as_deref(), request.task) {
            true => Err(request.without_extension()),
            false => Ok(()),
        }
    }

    /// Why no connected worker can serve the task with this model, or with any.
    fn refusal(&self, key: &Key, requested: Option<&str>, task: PathTask) -> Option<Failure> {
        let Some(requested) = requested else {
            return match self.board.availability(task) {
                Availability::MayServe => None,
                Availability::Failed(model) => Some(Failure::ModelFailed(model)),
                Availability::OtherTasks(models) => Some(Failure::NoModelForTask { task, models }),
            };
        };
        let requested = requested.to_owned();
        match self.board.resolve(&requested) {
            Resolution::Unknown => Some(Failure::UnknownModel { requested, known: self.models_for(key) }),
            Resolution::Ambiguous(mut candidates) => {
                candidates.retain(|model| self.may_use(key, model));
                Some(Failure::Ambiguous { requested, candidates })
            }
            Resolution::Model(model) => match self.board.other_task(&model, task) {
                Some(tasks) => Some(Failure::OtherTask { model, task, tasks }),
                None => self.board.failed_everywhere(&model).then_some(Failure::ModelFailed(model)),
            },
        }
    }

    /// Whether a worker that has the model may still connect; `None` for any model for chats.
    fn may_arrive(&self, requested: Option<&str>, model_memory: Duration) -> bool {
        let desired = self.desired.full_name();
        let left =
            self.recent.iter().filter(|(_, left)| left.elapsed() < model_memory).map(|(model, _)| model.as_str());
        let mut expected = desired.as_deref().into_iter().chain(left);
        self.board.has_none()
            || match requested {
                Some(requested) => could_match(requested, expected),
                None => expected.any(|model| self.board.resolve(model) == Resolution::Unknown),
            }
    }

    pub(super) fn timeout_failure(&self, job: &str) -> Failure {
        let Some(entry) = self.entries.get(job) else { return Failure::ClientLeft };
        let waited = entry.age().as_secs();
        if let Some(JobState::Running(_) | JobState::Provided(_)) = self.board.state(job) {
            return Failure::TimedOut(waited);
        }
        if self.board.has_none() || self.board.summary().workers == 0 {
            return Failure::NoWorker(waited);
        }
        self.refusal(&entry.request.key, entry.request.model.as_deref(), entry.request.task)
            .unwrap_or(Failure::Busy(waited))
    }
}
