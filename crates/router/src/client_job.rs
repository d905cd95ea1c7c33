//! A client's job: reads the answer, enforces the limit of waiting and silence, and cancels the job when dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use auxot_llama::Api;
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

use crate::answer::{Begun, EngineHead, JobAnswer, StreamStep, WholeAnswer};
use crate::board::JobId;
use crate::error_body;
use crate::failure::Failure;
use crate::hub::{Expired, Hub, SubmittedJob, WORKERS};
use crate::shared::RouterState;

/// An SSE comment that keeps a silent connection open.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";
/// The most bytes of an engine's refusal.
const MAX_REFUSAL: usize = 64 * 1024;

/// How a client's answer begins.
#[derive(Debug)]
pub(crate) enum Beginning {
    /// With the engine's answer.
    Engine(EngineHead),
    /// With the answer to a chat.
    Chat,
    /// With comments: the client wants a stream, and a worker has had the job for a while.
    Comments,
}

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
    /// Until when a worker may load the model before other providers are asked.
    load_wait: Option<Instant>,
    /// There are other providers than workers.
    cascades: bool,
    keep_alive: Duration,
    last_written: Instant,
    /// The earliest of the deadline, the end of the wait for a load, and the next comment.
    timer: Pin<Box<Sleep>>,
    ended: bool,
    /// The client wants a stream of events.
    stream: bool,
    /// The form of errors.
    api: Api,
    /// The engine has refused the request after the client got comments: its status, and its body so far.
    refusal: Option<(u16, Vec<u8>)>,
}

impl ClientJob {
    pub(crate) fn new(shared: &RouterState, submitted: SubmittedJob, stream: bool, api: Api) -> Self {
        let SubmittedJob { id: job, answer, cascades } = submitted;
        let (limit, keep_alive) = (shared.config.job_timeout, shared.config.keep_alive);
        let now = Instant::now();
        let deadline = now + limit;
        let load_wait = cascades.then(|| now + shared.config.load_wait);
        let first = deadline.min(now + keep_alive).min(load_wait.unwrap_or(deadline));
        let timer = Box::pin(tokio::time::sleep_until(first));
        Self {
            hub: shared.hub.clone(),
            job,
            answer,
            limit,
            deadline: Some(deadline),
            load_wait,
            cascades,
            keep_alive,
            last_written: now,
            timer,
            ended: false,
            stream,
            api,
            refusal: None,
        }
    }

    /// The name of the provider that has the job.
    pub(crate) fn provider(&self) -> Arc<str> {
        self.answer.provider().unwrap_or_else(|| WORKERS.into())
    }

    /// The form of errors.
    pub(crate) fn api(&self) -> Api {
        self.api
    }

    /// Waits for the beginning of the answer, or for its failure.
    ///
    /// While the job waits for a worker the client gets no HTTP head, so that "no worker is connected" can still be an
    /// HTTP status.
    pub(crate) async fn beginning(&mut self) -> Result<Beginning, Failure> {
        std::future::poll_fn(|context| {
            loop {
                match self.answer.poll_begun(context) {
                    Poll::Ready(Ok(Begun::Engine(head))) => return Poll::Ready(Ok(Beginning::Engine(head))),
                    Poll::Ready(Ok(Begun::Chat)) => return Poll::Ready(Ok(Beginning::Chat)),
                    Poll::Ready(Err(failure)) => {
                        self.ended = true;
                        return Poll::Ready(Err(failure));
                    }
                    // Expiry ends the answer, which wakes this task.
                    Poll::Pending => {}
                }
                if !self.poll_timer(context) {
                    return Poll::Pending;
                }
                if self.comment_is_due() {
                    self.answer.mark_head_sent();
                    return Poll::Ready(Ok(Beginning::Comments));
                }
            }
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
                Poll::Ready(StreamStep::LateHead(head)) => {
                    if !head.is_stream() {
                        self.refusal = Some((head.status, Vec::new()));
                    }
                    continue;
                }
                Poll::Ready(StreamStep::Bytes(bytes)) => {
                    if let Some(offset) = self.answer.due_report() {
                        self.hub.report_read(&self.job, offset);
                    }
                    if let Some((_, body)) = &mut self.refusal {
                        let room = MAX_REFUSAL.saturating_sub(body.len()).min(bytes.len());
                        body.extend_from_slice(&bytes[..room]);
                        continue;
                    }
                    self.last_written = Instant::now();
                    return Poll::Ready(StreamStep::Bytes(bytes));
                }
                Poll::Ready(StreamStep::End) if self.refusal.is_some() => {
                    let (status, body) = self.refusal.take().unwrap_or_default();
                    return Poll::Ready(StreamStep::Bytes(error_body::engine_event(self.api, status, &body)));
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
            if self.comment_is_due() {
                self.answer.mark_head_sent();
                self.last_written = Instant::now();
                return Poll::Ready(StreamStep::Bytes(Bytes::from_static(KEEP_ALIVE)));
            }
        }
    }

    /// Whether a client that streams must hear something, and may get a comment.
    fn comment_is_due(&self) -> bool {
        self.stream
            && self.last_written + self.keep_alive <= Instant::now()
            && self.answer.was_dispatched()
            && !self.answer.is_engines()
            // The client gets no byte while another provider may still answer.
            && !(self.cascades && self.hub.may_move_on(&self.job))
    }

    /// Whether the timer fired; it is then armed again.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        if self.timer.as_mut().poll(context).is_pending() {
            return false;
        }
        let now = Instant::now();
        if self.load_wait.take_if(|until| *until <= now).is_some() {
            self.hub.end_load_wait(&self.job);
        }
        if self.deadline.take_if(|deadline| *deadline <= now).is_some() {
            // A message of the worker moves the limit. The time of the last one is read here only, not at each message.
            let due = self.answer.last_activity() + self.limit;
            if due > now {
                self.deadline = Some(due);
            } else if let Expired::MovedOn = self.hub.expire(&self.job) {
                self.deadline = Some(now + self.limit);
            }
        }
        let comment = self.last_written + self.keep_alive;
        let next = if comment > now { comment } else { now + self.keep_alive };
        let due = [self.deadline, self.load_wait].into_iter().flatten().fold(next, Instant::min);
        self.timer.as_mut().reset(due);
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
            // Of a chat the failure after the HTTP head is already part of the bytes.
            StreamStep::Failed(failure) => Some(Err(failure)),
            StreamStep::LateHead(_) | StreamStep::End => None,
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
