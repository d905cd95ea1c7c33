//! One run of a provider: how it fails, and how its answer goes to the client.

use std::sync::Arc;
use std::time::Duration;

use auxot_protocol::{AnswerData, AnswerHead, Complete};
use bytes::Bytes;
use tokio::time::timeout;

use super::breaker::RunOutcome;
use crate::answer::JobAnswer;
use crate::board::JobId;
use crate::chunks::Channel;
use crate::failure::Failure;
use crate::hub::ProviderJob;
use crate::provider_fault::{ProviderFault, ProviderReason};

/// How long a client may take nothing of an answer that waits for it.
const CLIENT_STALL: Duration = Duration::from_secs(60);
/// The most bytes that go to an answer at once.
const PIECE: usize = 64 * 1024;

/// Why a run has no answer, or no more of it.
#[derive(Debug)]
pub(super) struct RunFailure {
    pub(super) failure: Failure,
    pub(super) outcome: RunOutcome,
}

impl RunFailure {
    /// The provider is at fault.
    pub(super) fn of_provider(provider: &Arc<str>, reason: ProviderReason) -> Self {
        Self::until(provider, reason, None)
    }

    /// The provider is at fault, and may say when to come back.
    pub(super) fn until(provider: &Arc<str>, reason: ProviderReason, retry_after: Option<Duration>) -> Self {
        let fault = ProviderFault { provider: provider.clone(), reason, retry_after };
        Self { failure: Failure::Provider(fault), outcome: RunOutcome::Failure { retry_after } }
    }

    /// The request or its client is at fault.
    pub(super) fn of_client(failure: Failure) -> Self {
        Self { failure, outcome: RunOutcome::Neutral }
    }

    /// The same, without a consequence for the provider.
    pub(super) fn neutral(self) -> Self {
        Self { outcome: RunOutcome::Neutral, ..self }
    }
}

/// The way of an answer to its client.
#[derive(Debug)]
pub(super) struct AnswerWriter {
    job: JobId,
    answer: Arc<JobAnswer>,
    sent: u64,
}

impl AnswerWriter {
    pub(super) fn of(job: &ProviderJob) -> Self {
        Self { job: job.id.clone(), answer: job.answer.clone(), sent: 0 }
    }

    /// Writes the head of a whole answer.
    pub(super) fn head(&mut self, status: u16, headers: Vec<(String, String)>) -> Result<(), RunFailure> {
        let head = AnswerHead { job_id: (&*self.job).into(), answer: "provider".into(), status, headers };
        self.answer.head(head).map_err(RunFailure::of_client)
    }

    /// Writes bytes of a whole answer, as fast as the client takes them.
    pub(super) async fn data(&mut self, mut bytes: Bytes) -> Result<(), RunFailure> {
        while !bytes.is_empty() {
            self.room().await?;
            let piece = bytes.split_to(bytes.len().min(PIECE));
            let length = piece.len() as u64;
            let data = AnswerData { job_id: (*self.job).to_owned(), offset: self.sent, bytes: piece };
            self.answer.data(data).map_err(RunFailure::of_client)?;
            self.sent += length;
        }
        Ok(())
    }

    /// Writes text of a chat, as fast as the client takes it.
    pub(super) async fn text(&mut self, text: &str) -> Result<(), RunFailure> {
        self.room().await?;
        self.answer.text(Channel::Answer, text, None).map_err(|_| RunFailure::of_client(Failure::TooSlow))
    }

    async fn room(&self) -> Result<(), RunFailure> {
        timeout(CLIENT_STALL, self.answer.has_room()).await.map_err(|_| RunFailure::of_client(Failure::TooSlow))
    }

    /// The answer is still on its way.
    pub(super) fn touch(&self) {
        self.answer.touch();
    }

    /// The end of a whole answer.
    pub(super) fn complete(self) -> Complete<'static> {
        Complete { job_id: (*self.job).to_owned().into(), length: Some(self.sent), ..Complete::default() }
    }
}
