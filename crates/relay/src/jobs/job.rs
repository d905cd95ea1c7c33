//! One job, from its arrival to its one outcome, as straight-line code.
//!
//! ```text
//!   Waiting for a slot ──▶ Sent, waiting for the status line ──▶ Streaming ──▶ Ended
//!        ▲                          │ engine gone, no text yet
//!        └──────────────────────────┘ (a bounded number of times)
//! ```
//!
//! The job owns the engine's socket: dropping it frees the slot. It writes to the connection that it belongs to now
//! ([`JobChannels`]). When that connection is lost, it goes on reading for the adopt window; when the router sends the job
//! again, it continues after the last byte that reached a socket. Reading stops while more than [`MERGE_LIMIT`] bytes wait
//! for a slow router, so nothing grows.

mod attempts;
mod engine_call;
mod engine_stream;
mod forward;

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_fleet::{JobRecord, Lease, TraceContext};
use auxot_protocol::{AnswerRead, JobError, ToRouter};
use auxot_stall::timer;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::jobs::answer::Answer;
use crate::jobs::context::{JobChannels, JobContext};
use crate::jobs::crash_suspects;
use crate::jobs::outcome::{Limit, Outcome};
use crate::jobs::output::JobOutput;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::JobGuard;
use crate::jobs::request::EngineRequest;
use crate::jobs::sink::{JobMessage, JobSink, SinkEvent, WaitFor};
use crate::report::EndedJob;
use crate::report::log_text::{Shown, shown};
use crate::send_queue::Permit;

/// Above this number of unsent bytes the engine is not read.
const MERGE_LIMIT: usize = 64 * 1024;

/// One running job.
#[derive(Debug)]
pub(crate) struct RunningJob<O> {
    parsed: ParsedJob,
    context: Arc<JobContext>,
    cancel: CancellationToken,
    sink: JobSink,
    /// What the router says of the output that it has.
    reads: watch::Receiver<AnswerRead>,
    answer: O,
    /// The terminal message, once all text before it is complete.
    final_message: Option<Utf8Bytes>,
    tool_announced: bool,
    arrived: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    progress_sent: Option<Instant>,
    model: Option<String>,
    /// What operators see of this job.
    record: JobRecord,
    /// Its place in a trace, which the engine gets.
    trace: Option<TraceContext>,
    /// Held by a suspect until its first text.
    suspect_permit: Option<crash_suspects::SuspectPermit>,
}

/// How a job gets its output from an engine.
pub(crate) trait Produce: JobOutput {
    /// Runs the job to the end of its answer. The slot is free then, before a slow router has read the rest.
    fn produce(job: &mut RunningJob<Self>) -> impl Future<Output = Result<(), Outcome>> + Send;
}

/// Runs a job to its outcome; `guard` removes it from the registry, also after a panic.
pub(crate) async fn run<O: Produce>(job: RunningJob<O>, guard: JobGuard) {
    let mut guard = TerminalGuard { job, registered: guard, ended: false };
    let outcome = match O::produce(&mut guard.job).await {
        Ok(()) => Outcome::Completed,
        Err(outcome) => outcome,
    };
    let outcome = guard.job.finish(outcome).await;
    guard.end(&outcome);
    let job = &mut guard.job;
    if let (true, false, Some(message), Some(connection)) =
        (O::IS_WHOLE_AT_END, outcome.is_cancelled_by_router(), job.final_message.take(), job.sink.connection())
    {
        guard.registered.remember(&job.parsed, message, connection.clone());
    }
}

/// Sends the terminal message after a panic, and records every outcome.
struct TerminalGuard<O: JobOutput> {
    job: RunningJob<O>,
    registered: JobGuard,
    ended: bool,
}

impl<O: JobOutput> TerminalGuard<O> {
    fn end(&mut self, outcome: &Outcome) {
        self.ended = true;
        self.job.record(outcome);
    }
}

impl<O: JobOutput> Drop for TerminalGuard<O> {
    fn drop(&mut self) {
        let _dropped_last = &self.registered;
        if self.ended {
            return;
        }
        // This also runs when the runtime ends before the job's task, when the final messages took too long.
        let over = self.job.context.shutdown.is_cancelled();
        let outcome = if over { Outcome::ShuttingDown } else { Outcome::Broken };
        if let Some(message) = outcome.message(self.job.id(), false) {
            self.job.sink.send_final(error_frame(message));
        }
        self.job.record(&outcome);
    }
}

impl<O: JobOutput> RunningJob<O> {
    pub(crate) fn new(parsed: ParsedJob, channels: JobChannels, context: Arc<JobContext>) -> Self {
        let answer = O::blank(&parsed, &context.config);
        let record = context.fleet.jobs().begin("router", Some(&parsed.job.job_id));
        let trace = record.trace(parsed.job.traceparent());
        let sink = JobSink::new(channels.connection, channels.cancel.clone(), context.config.adopt_window);
        Self {
            parsed,
            context,
            cancel: channels.cancel,
            sink,
            reads: channels.reads,
            answer,
            final_message: None,
            tool_announced: false,
            arrived: Instant::now(),
            started: None,
            first_token: None,
            progress_sent: None,
            model: None,
            record,
            trace,
            suspect_permit: None,
        }
    }

    fn id(&self) -> &str {
        &self.parsed.job.job_id
    }

    fn config(&self) -> &Config {
        &self.context.config
    }

    /// When the job's total time is over.
    fn deadline(&self) -> Instant {
        self.arrived + self.config().job_timeout
    }

    /// Runs one step of the job, and handles the events that a job has in every phase.
    async fn within<T>(&mut self, limit: Option<Limit>, step: impl Future<Output = T>) -> Result<T, Outcome> {
        let mut until = self.deadline();
        if let Some(limit) = limit {
            until = until.min(Instant::now() + limit.length());
        }
        tokio::pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return Ok(done),
                event = self.interrupted() => event?,
                () = timer::until(until) => return Err(self.timeout_outcome(limit)),
            }
        }
    }

    /// Resolves on an event that a job has in every phase: `Err` ends it, `Ok` is a change of connection.
    async fn interrupted(&mut self) -> Result<(), Outcome> {
        let cancel = self.cancel.clone();
        let shutdown = self.context.shutdown.clone();
        let handing_back = self.context.handing_back.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(self.cancelled_outcome()),
            () = shutdown.cancelled() => Err(Outcome::ShuttingDown),
            () = handing_back.cancelled(), if self.is_given_back() => Err(Outcome::GivenBack),
            event = self.sink.next_event(WaitFor::Nothing) => self.on_sink_event(event),
        }
    }

    /// Whether the router takes the job back while the worker drains: no engine has it yet.
    fn is_given_back(&self) -> bool {
        self.started.is_none() && self.context.takes_back.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The outcome of a job that the router has cancelled.
    fn cancelled_outcome(&self) -> Outcome {
        if self.sink.is_superseded() { Outcome::Superseded } else { Outcome::Cancelled }
    }

    /// The outcome of a timeout: the total time when that is over, else `limit`.
    fn timeout_outcome(&self, limit: Option<Limit>) -> Outcome {
        let total = Limit::Total(self.config().job_timeout);
        Outcome::TimedOut(limit.filter(|_| Instant::now() < self.deadline()).unwrap_or(total))
    }

    /// Handles an event of the sink.
    fn on_sink_event(&mut self, event: SinkEvent) -> Result<(), Outcome> {
        let sent = self.sink.sent();
        match event {
            SinkEvent::Permit(permit) => self.send_next(permit),
            SinkEvent::Written => {}
            SinkEvent::Lost => {
                info!(job = %Shown(self.id()), from = "attached", to = "lost", sent, "the connection of a job is lost")
            }
            SinkEvent::Settling => {
                info!(job = %Shown(self.id()), from = "attached", to = "settling", sent, "another connection asks for a job");
            }
            SinkEvent::Adopted => {
                if let Some(at) = self.answer.resume_at() {
                    self.sink.rewind(at);
                }
                info!(job = %Shown(self.id()), to = "attached", sent, "job adopted by another connection")
            }
            SinkEvent::WindowOver => return Err(Outcome::ConnectionLost),
        }
        Ok(())
    }

    /// Queues all that the connection has capacity for: one message per run of text, then the terminal message.
    fn send_what_fits(&mut self) {
        while self.has_unsent() {
            let Some(permit) = self.sink.permit() else { return };
            self.send_next(permit);
        }
    }

    /// Whether there is output that the router takes now.
    fn has_unsent(&self) -> bool {
        let sent = self.sink.sent();
        sent < self.answer.sendable() || (self.final_message.is_some() && sent == self.answer.end())
    }

    /// The position after all that is to be sent; the terminal message is the one after the output.
    fn end(&self) -> usize {
        self.answer.end() + usize::from(self.final_message.is_some())
    }

    fn send_next(&mut self, permit: Permit) {
        if let Some((message, upto)) = self.answer.message(self.id(), self.sink.sent()) {
            self.sink.send(permit, message, upto, false);
        } else if let Some(message) = self.final_message.clone().filter(|_| self.sink.sent() >= self.answer.end()) {
            self.sink.send(permit, JobMessage::Text(message), self.answer.end() + 1, true);
        }
    }

    /// The router has taken output.
    fn on_read(&mut self) {
        let read = self.reads.borrow_and_update().clone();
        self.answer.on_read(&read);
    }

    /// Sends the rest of the text and the one terminal message, and waits for a new connection when the job has lost its
    /// own.
    async fn finish(&mut self, mut outcome: Outcome) -> Outcome {
        loop {
            let confirm_cancel = self.config().confirm_cancel;
            let id = self.parsed.job.job_id.clone();
            let frame = match outcome {
                Outcome::Completed => match self.answer.complete(&id) {
                    Ok(complete) => Some(complete),
                    Err(bad) => {
                        outcome = bad;
                        continue;
                    }
                },
                ref other => other.message(&id, confirm_cancel).map(error_frame),
            };
            let is_broken = !O::IS_WHOLE_AT_END && !matches!(outcome, Outcome::Completed);
            if outcome.is_cancelled_by_router() || is_broken {
                // The router wants no more output of it; messages that are begun are complete frames and do no harm.
                self.sink.revoke();
                self.sink.begin_again(self.answer.end());
            }
            let Some(mut frame) = frame else { return outcome };
            // The message is stored for a while and counted by its length; its buffer may have twice that capacity.
            frame.shrink_to_fit();
            self.final_message = Some(frame.into());
            match self.wait_until_sent(&outcome).await {
                Ok(()) => return outcome,
                Err(other) => outcome = other,
            }
        }
    }

    /// Waits until the terminal message is in a socket; `Err` is another outcome that came first.
    async fn wait_until_sent(&mut self, outcome: &Outcome) -> Result<(), Outcome> {
        let (cancelled_outcome, is_complete) =
            (outcome.is_cancelled_by_router(), matches!(outcome, Outcome::Completed));
        let (cancel, shutdown) = (self.cancel.clone(), self.context.shutdown.clone());
        let (confirming, mut cancelled_outcome) = (cancelled_outcome, cancelled_outcome);
        let mut sent_at = None;
        loop {
            if confirming && self.sink.is_superseded() {
                // A confirmation under this id would end the new round.
                return Err(Outcome::Superseded);
            }
            self.send_what_fits();
            let is_sent = self.sink.written() >= self.end();
            // An answer that ends in another way than well is not awaited: the router has no use for it.
            if is_sent && (!is_complete || self.answer.is_settled()) {
                return Ok(());
            }
            sent_at = is_sent.then(|| sent_at.unwrap_or_else(Instant::now));
            let limit = match sent_at {
                // A router that says nothing of a whole answer has it, as far as can be known.
                Some(sent_at) => sent_at + self.config().adopt_window + self.config().silence(),
                None => self.deadline(),
            };
            let wants = match (self.has_unsent(), is_sent) {
                (true, _) => WaitFor::Permit,
                (false, false) => WaitFor::Written,
                (false, true) => WaitFor::Nothing,
            };
            tokio::select! {
                biased;
                event = self.sink.next_event(wants) => {
                    if matches!(event, SinkEvent::Adopted) {
                        // A terminal message on the previous connection does not count for the router: it is sent on the new
                        // one too.
                        self.sink.rewind(self.answer.end());
                    }
                    self.on_sink_event(event)?;
                }
                Ok(()) = self.reads.changed() => self.on_read(),
                () = cancel.cancelled(), if !cancelled_outcome => {
                    if self.sink.revoke() < self.end() {
                        return Err(self.cancelled_outcome());
                    }
                    // The terminal message is begun already, so the router gets it.
                    cancelled_outcome = true;
                }
                () = timer::until(limit), if is_complete && !O::IS_WHOLE_AT_END => {
                    return if is_sent { Ok(()) } else { Err(self.timeout_outcome(None)) };
                }
                // Jobs without a connection must not delay the shutdown.
                () = shutdown.cancelled(), if self.sink.is_lost() => return Err(Outcome::ConnectionLost),
            }
        }
    }

    fn record(&self, outcome: &Outcome) {
        let since_arrival = |at: Instant| at.duration_since(self.arrived);
        let ended = EndedJob {
            model: self.model.as_deref().or(outcome.model()).unwrap_or("unknown"),
            ending: outcome.label(),
            took: self.arrived.elapsed(),
            waited: self.started.map(since_arrival),
            first_token: self.first_token.map(since_arrival),
            tokens: self.answer.tokens(),
        };
        self.context.telemetry.ended(&ended);
        let generated = ended.tokens.generated;
        self.record.ended(ended.ending, generated);
        info!(
            job = %Shown(self.id()), model = ended.model, ending = ended.ending, tokens = generated,
            ms = ended.took.as_secs_f64() * 1e3,
            first_token_ms = ended.first_token.map(|first| first.as_secs_f64() * 1e3),
            trace = self.trace.as_ref().map(TraceContext::trace_id), reason = outcome.reason().as_deref().map(shown), "job ended"
        );
    }
}

fn error_frame(message: JobError<'_>) -> String {
    ToRouter::Error(message).to_frame()
}
