//! A client's job: reads the answer, enforces the limit of waiting and silence, and cancels the job when dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use crate::answer::{EngineHead, JobAnswer, StreamStep, WholeAnswer};
use crate::board::JobId;
use crate::failure::Failure;
use crate::hub::Hub;

/// An SSE comment that keeps a silent connection open.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// One waiting client. A drop before the end cancels the job: hyper drops the response body as soon as the client's
/// connection ends.
#[derive(Debug)]
pub(crate) struct ClientJob {
    hub: Arc<Hub>,
    job: JobId,
    answer: Arc<JobAnswer>,
    /// How long the job may wait, and how long its worker may be silent.
    limit: Duration,
    /// The earliest time at which the limit can be reached; `None` once it was.
    deadline: Option<Instant>,
    keep_alive: Duration,
    last_written: Instant,
    /// The earlier of the deadline and the next comment.
    timer: Pin<Box<Sleep>>,
    ended: bool,
}

impl ClientJob {
    pub(crate) fn new(
        hub: Arc<Hub>,
        job: JobId,
        answer: Arc<JobAnswer>,
        limit: Duration,
        keep_alive: Duration,
    ) -> Self {
        let now = Instant::now();
        let deadline = now + limit;
        let timer = Box::pin(tokio::time::sleep_until(deadline.min(now + keep_alive)));
        Self { hub, job, answer, limit, deadline: Some(deadline), keep_alive, last_written: now, timer, ended: false }
    }

    /// Waits for the first bytes of a streamed answer, or for its failure.
    ///
    /// While the job waits for a worker the client gets no HTTP head, so that "no worker is connected" can still be an
    /// HTTP status.
    pub(crate) async fn first(&mut self) -> Result<Option<Bytes>, Failure> {
        match std::future::poll_fn(|context| self.poll_step(context)).await {
            StreamStep::Bytes(bytes) => Ok(Some(bytes)),
            StreamStep::Failed(failure) => Err(failure),
            StreamStep::End => Ok(None),
        }
    }

    /// Waits for the head of the engine's own answer.
    pub(crate) async fn head(&mut self) -> Result<EngineHead, Failure> {
        std::future::poll_fn(|context| {
            let polled = self.answer.poll_head(context);
            match &polled {
                Poll::Ready(Err(_)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                // Expiry ends the answer, which wakes this task.
                Poll::Pending => drop(self.poll_timer(context)),
            }
            polled
        })
        .await
    }

    /// Waits for the whole answer.
    pub(crate) async fn whole(mut self) -> Result<WholeAnswer, Failure> {
        std::future::poll_fn(|context| {
            let polled = self.answer.poll_whole(context);
            if polled.is_ready() {
                self.ended = true;
                return polled;
            }
            // Expiry ends the answer, which wakes this task.
            self.poll_timer(context);
            polled
        })
        .await
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<StreamStep> {
        loop {
            match self.answer.poll_step(context) {
                Poll::Ready(StreamStep::Bytes(bytes)) => {
                    if let Some(offset) = self.answer.due_report() {
                        self.hub.report_read(&self.job, offset);
                    }
                    self.last_written = Instant::now();
                    return Poll::Ready(StreamStep::Bytes(bytes));
                }
                Poll::Ready(end) => {
                    self.ended = true;
                    return Poll::Ready(end);
                }
                Poll::Pending => {}
            }
            if !self.poll_timer(context) {
                return Poll::Pending;
            }
            if self.last_written + self.keep_alive <= Instant::now()
                && self.answer.was_dispatched()
                && self.answer.takes_comments()
            {
                self.answer.mark_head_sent();
                self.last_written = Instant::now();
                return Poll::Ready(StreamStep::Bytes(Bytes::from_static(KEEP_ALIVE)));
            }
        }
    }

    /// Whether the timer fired; it is then armed again.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        if self.timer.as_mut().poll(context).is_pending() {
            return false;
        }
        let now = Instant::now();
        if self.deadline.take_if(|deadline| *deadline <= now).is_some() {
            // A message of the worker moves the limit. The time of the last one is read here only, not at each message.
            let due = self.answer.last_activity() + self.limit;
            if due <= now {
                self.hub.expire(&self.job);
            } else {
                self.deadline = Some(due);
            }
        }
        let comment = self.last_written + self.keep_alive;
        let next = if comment > now { comment } else { now + self.keep_alive };
        self.timer.as_mut().reset(self.deadline.map_or(next, |deadline| deadline.min(next)));
        true
    }
}

impl Stream for ClientJob {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.poll_step(context).map(|step| match step {
            StreamStep::Bytes(bytes) => Some(Ok(bytes)),
            // A chat's failure after the HTTP head is already part of the bytes.
            StreamStep::Failed(failure) => Some(Err(failure)).filter(|_| !self.answer.takes_comments()),
            StreamStep::End => None,
        })
    }
}

impl Drop for ClientJob {
    fn drop(&mut self) {
        if !self.ended {
            self.hub.client_left(&self.job);
        }
    }
}
