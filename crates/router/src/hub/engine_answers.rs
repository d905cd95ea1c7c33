//! The engine's own answers to whole requests: from the link to the client, and back how far the client has read.

use auxot_protocol::{AnswerData, AnswerHead, AnswerRead, ToWorker};

use super::{Hub, LinkHandle, Outgoing};
use crate::answer::JobAnswer;
use crate::board::{JobState, WorkerId};
use crate::failure::{Failure, WorkerFault, is_providers};

impl Hub {
    /// The head of the engine's answer to a job.
    pub(crate) fn answer_head(&self, worker: WorkerId, head: AnswerHead<'_>) {
        let job = head.job_id.clone().into_owned();
        if is_providers(head.status) && self.moves_on(worker, &job, head.status) {
            return;
        }
        self.pass_on(worker, &job, |answer| answer.head(head));
    }

    /// Bytes of the engine's answer to a job.
    pub(crate) fn answer_data(&self, worker: WorkerId, data: AnswerData) {
        let job = data.job_id.clone();
        self.pass_on(worker, &job, |answer| answer.data(data));
    }

    /// Whether a job that an engine refuses goes to another provider.
    fn moves_on(&self, worker: WorkerId, job: &str, status: u16) -> bool {
        self.update(|inner| {
            let failure = Failure::Worker(WorkerFault::of_engine(status, "the engine has refused the request"));
            inner.board.is_running_on(worker, job) && inner.move_on(job, &failure, true)
        })
    }

    fn pass_on(&self, worker: WorkerId, job: &str, give: impl FnOnce(&JobAnswer) -> Result<(), Failure>) {
        let inner = self.lock();
        let Some(entry) = inner.entries.get(job).filter(|_| inner.board.is_running_on(worker, job)) else { return };
        let answer = entry.answer.clone();
        drop(inner);
        if let Err(failure) = give(&answer) {
            self.end_early(job, |_| failure);
        }
    }

    /// The client has taken the bytes before this position.
    pub(crate) fn report_read(&self, job: &str, offset: u64) {
        let inner = self.lock();
        if let Some(JobState::Running(worker)) = inner.board.state(job)
            && let Some(link) = inner.links.get(&worker)
        {
            link.send_read(job, offset, false);
        }
    }
}

impl LinkHandle {
    /// Reports what the router has of an engine's answer.
    pub(super) fn send_read(&self, job: &str, offset: u64, complete: bool) {
        let read = AnswerRead { job_id: job.to_owned(), offset, complete };
        self.send(Outgoing::Message(Box::new(ToWorker::AnswerRead(read))));
    }
}
