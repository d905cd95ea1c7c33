//! Whether a request is taken, and why a job that waited too long did.

use std::time::Duration;

use super::{Inner, Request};
use crate::board::{Any, Place};
use crate::failure::Failure;
use crate::resolver::{Meaning, may_mean};

impl Inner {
    /// Whether a worker can or may come to answer the request. Nobody connected is a reason to wait; workers without
    /// the model are not.
    pub(super) fn check(&self, request: &Request, memory: Duration) -> Result<(), Failure> {
        let asked = request.wanted();
        match (self.refusal(asked), asked) {
            (Some(Failure::UnknownModel { .. } | Failure::NoChat(_)), _) | (Some(Failure::ModelFailed(_)), None)
                if self.may_come(asked, memory) =>
            {
                return Ok(());
            }
            (Some(failure), _) => return Err(failure),
            (None, _) => {}
        }
        let model = asked.and_then(|asked| match self.board.meaning(asked) {
            Meaning::Model(model) => Some(model),
            Meaning::Several(_) | Meaning::Nothing => None,
        });
        match &request.contract {
            Some(name) if self.board.lacks_parameters(model.as_deref()) => Err(Failure::Unsupported(name.clone())),
            _ => Ok(()),
        }
    }

    /// Why none of the workers that are here will answer a chat with this model, or with any.
    fn refusal(&self, asked: Option<&str>) -> Option<Failure> {
        let Some(asked) = asked else {
            return match self.board.any() {
                Any::MayServe => None,
                Any::Failed(model) => Some(Failure::ModelFailed(model)),
                Any::NoneChats(models) => Some(Failure::NoChat(models)),
            };
        };
        let asked = asked.to_owned();
        match self.board.meaning(&asked) {
            Meaning::Nothing => Some(Failure::UnknownModel { asked, known: self.board.models() }),
            Meaning::Several(candidates) => Some(Failure::Ambiguous { asked, candidates }),
            Meaning::Model(model) => match self.board.other_task(&model) {
                Some(tasks) => Some(Failure::OtherTask { model, tasks }),
                None => self.board.is_hopeless(&model).then_some(Failure::ModelFailed(model)),
            },
        }
    }

    /// Whether a worker may bring a model that none has: this one, or any for chats.
    fn may_come(&self, asked: Option<&str>, memory: Duration) -> bool {
        let wished = self.wish.full_name();
        let left = self.recent.iter().filter(|(_, left)| left.elapsed() < memory).map(|(model, _)| model.as_str());
        let mut expected = wished.as_deref().into_iter().chain(left);
        self.board.has_none()
            || match asked {
                Some(asked) => may_mean(asked, expected),
                None => expected.any(|model| self.board.meaning(model) == Meaning::Nothing),
            }
    }

    pub(super) fn why_late(&self, job: &str) -> Failure {
        let Some(entry) = self.entries.get(job) else { return Failure::ClientLeft };
        let waited = entry.age().as_secs();
        if let Some(Place::Running(_)) = self.board.place(job) {
            return Failure::TimedOut(waited);
        }
        if self.board.has_none() || self.board.summary().workers == 0 {
            return Failure::NoWorker(waited);
        }
        self.refusal(entry.request.wanted()).unwrap_or(Failure::Busy(waited))
    }
}
