//! What the hub has of a link: its queue, and what it announced.

use std::sync::Arc;

use auxot_access::keys::Key;
use auxot_protocol::ToWorker;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::entry::{AsChat, JobEntry, JobForm, JobHolder, RequestedJob};
use super::link_report::LinkReport;
use crate::board::JobId;

/// A message for a link's writer.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Serialised by the writer, so that a long prompt is not copied under the lock.
    Job {
        id: JobId,
        request: Arc<RequestedJob>,
        model: Option<String>,
        form: JobForm,
    },
    Message(Box<ToWorker>),
    Close {
        code: u16,
        reason: &'static str,
    },
}

/// The hub's handle of a link.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    pub(crate) gpu_id: Arc<str>,
    /// The key of its `hello`.
    pub(crate) key: Arc<Key>,
    /// Both sides have the `parameters` extension.
    pub(crate) parameters: bool,
    /// Both sides have the `requests` extension.
    pub(crate) requests: bool,
    pub(crate) queue: mpsc::Sender<Outgoing>,
    /// For the operator.
    pub(crate) report: LinkReport,
    /// Ends the link without a close frame.
    pub(crate) cut: CancellationToken,
}

impl LinkHandle {
    /// A full queue means that the worker does not read: the link is cut.
    pub(super) fn send(&self, message: Outgoing) {
        if self.queue.try_send(message).is_err() && !self.cut.is_cancelled() {
            tracing::warn!(gpu_id = %self.gpu_id, "link cut: the worker does not read");
            self.cut.cancel();
        }
    }
}

impl JobEntry {
    /// The job goes to a worker, in the form that this returns.
    pub(super) fn dispatched(&mut self, link: &LinkHandle, attempt: u32, reported_model: &str) -> JobForm {
        self.held_by(JobHolder::Worker { gpu_id: link.gpu_id.clone() }, attempt);
        let is_whole = link.requests || matches!(self.request.chat, AsChat::Unneeded);
        match self.answer.dispatched(attempt, reported_model, is_whole) {
            true => JobForm::Whole,
            false => JobForm::Chat { parameters: link.parameters },
        }
    }
}
