//! Whether a request is taken, and why a job that waited too long did.

use std::time::Duration;

use super::{Inner, Request};
use crate::board::Place;
use crate::failure::Failure;
use crate::resolver::{Meaning, may_mean};

impl Inner {
    /// Whether a worker can or may come to answer the request. Nobody connected is a reason to wait; workers without
    /// the model are not.
    pub(super) fn check(&self, request: &Request, memory: Duration) -> Result<(), Failure> {
        let model = match request.wanted() {
            _ if !self.tells_model => return Ok(()),
            None => None,
            Some(asked) => match self.board.meaning(asked) {
                Meaning::Model(model) => Some(model),
                Meaning::Several(candidates) => {
                    return Err(Failure::Ambiguous { asked: asked.to_owned(), candidates });
                }
                Meaning::Nothing if self.may_come(asked, memory) => return Ok(()),
                Meaning::Nothing => {
                    return Err(Failure::UnknownModel { asked: asked.to_owned(), known: self.board.models() });
                }
            },
        };
        if let Some(model) = &model {
            if let Some(tasks) = self.board.other_task(model) {
                return Err(Failure::OtherTask { model: model.clone(), tasks });
            }
            if self.board.is_hopeless(model) {
                return Err(Failure::ModelFailed(model.clone()));
            }
        }
        match &request.contract {
            Some(name) if self.board.lacks_parameters(model.as_deref()) => Err(Failure::Unsupported(name.clone())),
            _ => Ok(()),
        }
    }

    /// Whether a model that no worker has is one that a worker may bring.
    fn may_come(&self, asked: &str, memory: Duration) -> bool {
        let wished = self.wish.full_name();
        let left = self.recent.iter().filter(|(_, left)| left.elapsed() < memory).map(|(model, _)| model.as_str());
        self.board.has_none() || may_mean(asked, wished.as_deref().into_iter().chain(left))
    }

    pub(super) fn why_late(&self, job: &str) -> Failure {
        let Some(entry) = self.entries.get(job) else { return Failure::ClientLeft };
        let waited = entry.age().as_secs();
        if let Some(Place::Running(_)) = self.board.place(job) {
            return Failure::TimedOut(waited);
        }
        let known = self.board.models();
        match entry.request.wanted() {
            _ if known.is_empty() => Failure::NoWorker(waited),
            Some(asked) => match self.board.meaning(asked) {
                Meaning::Several(candidates) => Failure::Ambiguous { asked: asked.to_owned(), candidates },
                Meaning::Nothing if self.tells_model => Failure::UnknownModel { asked: asked.to_owned(), known },
                _ => Failure::Busy(waited),
            },
            None => Failure::Busy(waited),
        }
    }
}
