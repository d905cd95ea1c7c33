//! The reading half of a link: the worker's messages and its heartbeat deadline.

use std::sync::Arc;

use auxot_protocol::{AnswerData, ConfigAck, JobError, ParseError, ToRouter, ToWorker};
use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::DisconnectReason;
use crate::board::WorkerId;
use crate::hub::Outgoing;
use crate::log_text::log_text;
use crate::shared::RouterState;

/// A link without a heartbeat for this many thresholds is closed: its worker is gone.
const CLOSE_AFTER_THRESHOLDS: u32 = 10;

pub(super) struct LinkReader<'a> {
    shared: &'a RouterState,
    worker: WorkerId,
    gpu_id: Arc<str>,
    queue: mpsc::Sender<Outgoing>,
}

impl<'a> LinkReader<'a> {
    pub(super) fn new(
        shared: &'a RouterState,
        worker: WorkerId,
        gpu_id: Arc<str>,
        queue: mpsc::Sender<Outgoing>,
    ) -> Self {
        Self { shared, worker, gpu_id, queue }
    }

    /// Reads until the link ends.
    pub(super) async fn run(self, mut stream: SplitStream<WebSocket>) -> DisconnectReason {
        let threshold = self.shared.config.dead_threshold;
        let deadline = tokio::time::sleep(threshold);
        tokio::pin!(deadline);
        let mut silent = false;
        loop {
            let message = tokio::select! {
                message = stream.next() => message,
                () = &mut deadline => {
                    if silent {
                        return DisconnectReason::Silent;
                    }
                    silent = true;
                    tracing::warn!(gpu_id = &*self.gpu_id, threshold_ms = threshold.as_millis(), "worker marked dead");
                    self.shared.hub.mark_silent(self.worker);
                    deadline.as_mut().reset(Instant::now() + threshold * (CLOSE_AFTER_THRESHOLDS - 1));
                    continue;
                }
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Binary(bytes))) if let Some(data) = AnswerData::parse(&bytes) => {
                    self.shared.hub.answer_data(self.worker, data);
                    continue;
                }
                Some(Ok(Message::Binary(bytes))) => match bytes.try_into() {
                    Ok(text) => text,
                    Err(_) => {
                        tracing::warn!(gpu_id = &*self.gpu_id, "invalid message from worker: not UTF-8");
                        continue;
                    }
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return DisconnectReason::Closed,
                Some(Err(_)) => return DisconnectReason::Broken,
            };
            match ToRouter::parse(&text) {
                Ok(ToRouter::Heartbeat(heartbeat)) => {
                    silent = false;
                    deadline.as_mut().reset(Instant::now() + threshold);
                    if self.shared.hub.heartbeat(self.worker, *heartbeat) {
                        tracing::info!(gpu_id = &*self.gpu_id, "worker alive again");
                    }
                    self.reply(ToWorker::HeartbeatAck);
                }
                Ok(message) => self.handle(message),
                Err(error) => self.invalid_message(error),
            }
        }
    }

    fn handle(&self, message: ToRouter<'static>) {
        let hub = &self.shared.hub;
        let counts = match message {
            ToRouter::Token(token) => {
                hub.token(self.worker, &token);
                return;
            }
            ToRouter::ToolGenerating { job_id } | ToRouter::AnswerPending { job_id } => {
                hub.touch(self.worker, &job_id);
                return;
            }
            ToRouter::PromptProgress(progress) => {
                hub.touch(self.worker, &progress.job_id);
                return;
            }
            ToRouter::AnswerHead(head) => {
                hub.answer_head(self.worker, head);
                return;
            }
            ToRouter::Heartbeat(_) => return,
            ToRouter::Config { capabilities } => {
                hub.update_capabilities(self.worker, &capabilities);
                self.reply(ToWorker::ConfigAck(ConfigAck { success: true, error: None }));
                return;
            }
            ToRouter::Complete(complete) => hub.complete(self.worker, *complete),
            ToRouter::Error(error) if error.job_id.is_none() => {
                tracing::warn!(gpu_id = &*self.gpu_id, error = log_text(&error.error), "worker reports a fault");
                return;
            }
            ToRouter::Error(error) => {
                if let (Some(job), Some(details)) = (&error.job_id, &error.details) {
                    tracing::info!(
                        gpu_id = &*self.gpu_id,
                        job = log_text(job),
                        error = log_text(&error.error),
                        details = log_text(details),
                        "job failed"
                    );
                }
                hub.job_error(self.worker, error)
            }
            ToRouter::Hello(_) => {
                tracing::warn!(gpu_id = &*self.gpu_id, kind = "hello", "unexpected message type from worker");
                return;
            }
            ToRouter::Unknown(kind) => {
                tracing::warn!(gpu_id = &*self.gpu_id, kind = log_text(&kind), "unexpected message type from worker");
                return;
            }
        };
        if !counts {
            tracing::debug!(gpu_id = &*self.gpu_id, "ignored the end of a job that does not run on this worker");
        }
    }

    /// An unreadable end is an end: the client must not wait for another.
    fn invalid_message(&self, error: ParseError) {
        tracing::warn!(gpu_id = &*self.gpu_id, error = log_text(&error.to_string()), "invalid message from worker");
        if matches!(error.kind.as_deref(), Some("complete" | "error")) && error.job_id.is_some() {
            let delivered = JobError {
                job_id: error.job_id.map(Into::into),
                error: "the worker's answer cannot be read".into(),
                details: None,
                ..JobError::default()
            };
            self.shared.hub.job_error(self.worker, delivered);
        }
    }

    /// A full queue means that the worker does not read; the next job or close detects that and cuts the link.
    fn reply(&self, message: ToWorker) {
        let _ = self.queue.try_send(Outgoing::Message(Box::new(message)));
    }
}
