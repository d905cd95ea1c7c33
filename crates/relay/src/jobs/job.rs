//! One job, from its arrival to its one ending, as straight-line code.
//!
//! ```text
//!   Waiting for a slot ──▶ Sent, waiting for the status line ──▶ Streaming ──▶ Ended
//!        ▲                          │ engine gone, nothing said yet
//!        └──────────────────────────┘ (a bounded number of times)
//! ```
//!
//! The exchange owns the engine's socket: dropping it is what frees the slot. It writes to whichever
//! lane the job belongs to now ([`Seat`]); when that lane is lost it goes on reading for the adopt
//! window, and goes on sending, from the last byte that reached a socket, when the router asks again.
//! Reading stops while more than [`MERGE_LIMIT`] bytes wait for a slow router, so nothing grows.

mod attempts;
mod engine_stream;
mod idle_timer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_fleet::Lease;
use auxot_protocol::{JobError, ToRouter, Token};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::jobs::answer::Answer;
use crate::jobs::context::{JobChannels, JobContext};
use crate::jobs::crash_suspects;
use crate::jobs::outcome::{Limit, Outcome};
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::JobGuard;
use crate::jobs::request::EngineRequest;
use crate::jobs::sink::{JobSink, SinkEvent, WaitFor};
use crate::jobs::transcript::Channel;
use crate::report::EndedJob;
use crate::report::log_text::{Shown, shown};
use crate::send_queue::Permit;
use crate::timer;

/// Unsent text beyond which the engine is not read any more.
const MERGE_LIMIT: usize = 64 * 1024;

/// One job on its way.
#[derive(Debug)]
pub(crate) struct RunningJob {
    parsed: ParsedJob,
    context: Arc<JobContext>,
    cancel: CancellationToken,
    sink: JobSink,
    answer: Answer,
    /// The terminal message, once there is nothing more to come before it.
    final_message: Option<Utf8Bytes>,
    tool_announced: bool,
    arrived: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    progress_sent: Option<Instant>,
    model: Option<String>,
    /// Held by a suspect until it has said something.
    suspect_permit: Option<crash_suspects::SuspectPermit>,
}

/// Carries a job to its ending; `leave` takes it off the desk, also when this panics.
pub(crate) async fn run(job: RunningJob, guard: JobGuard) {
    let mut guard = TerminalGuard { job, registered: guard, ended: false };
    let outcome = match guard.job.run_to_answer().await {
        Ok(()) => Outcome::Completed,
        Err(outcome) => outcome,
    };
    let outcome = guard.job.finish(outcome).await;
    guard.end(&outcome);
    let job = &mut guard.job;
    if let (false, Some(message), Some(connection)) =
        (outcome.is_cancelled_by_router(), job.final_message.take(), job.sink.connection())
    {
        guard.registered.remember(&job.parsed, message, connection.clone());
    }
}

/// Sends the terminal message that a panic would otherwise swallow, and records every ending.
struct TerminalGuard {
    job: RunningJob,
    registered: JobGuard,
    ended: bool,
}

impl TerminalGuard {
    fn end(&mut self, outcome: &Outcome) {
        self.ended = true;
        self.job.record(outcome);
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        let _dropped_last = &self.registered;
        if self.ended {
            return;
        }
        // Also when the runtime ends with the job's task alive, after the time for last words.
        let over = self.job.context.shutdown.is_cancelled();
        let outcome = if over { Outcome::ShuttingDown } else { Outcome::Broken };
        if let Some(message) = outcome.message(self.job.id(), false) {
            self.job.sink.send_final(error_frame(message));
        }
        self.job.record(&outcome);
    }
}

impl RunningJob {
    pub(crate) fn new(parsed: ParsedJob, channels: JobChannels, context: Arc<JobContext>) -> Self {
        let answer = Answer::blank(&parsed.job, context.config.text_markers);
        let sink = JobSink::new(channels.connection, channels.cancel.clone(), context.config.adopt_window);
        Self {
            parsed,
            context,
            cancel: channels.cancel,
            sink,
            answer,
            final_message: None,
            tool_announced: false,
            arrived: Instant::now(),
            started: None,
            first_token: None,
            progress_sent: None,
            model: None,
            suspect_permit: None,
        }
    }

    fn id(&self) -> &str {
        &self.parsed.job.job_id
    }

    fn config(&self) -> &Config {
        &self.context.config
    }

    /// When the job's whole time is over.
    fn deadline(&self) -> Instant {
        self.arrived + self.config().job_timeout
    }

    /// Carries out one step of the job, while everything is heard that may happen to a job in any phase.
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

    /// Resolves on what may happen to a job in any phase: `Err` ends it, `Ok` is a change of lane.
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

    /// Whether the router takes it back from a worker that ends: no engine has seen it.
    fn is_given_back(&self) -> bool {
        self.started.is_none() && self.context.takes_back.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What it means that the job's round was ended from outside.
    fn cancelled_outcome(&self) -> Outcome {
        if self.sink.is_superseded() { Outcome::Superseded } else { Outcome::Cancelled }
    }

    /// A silence is the job's own time running out when that came first.
    fn timeout_outcome(&self, limit: Option<Limit>) -> Outcome {
        let total = Limit::Total(self.config().job_timeout);
        Outcome::TimedOut(limit.filter(|_| Instant::now() < self.deadline()).unwrap_or(total))
    }

    /// Does what follows from a change of the job's way out.
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
                info!(job = %Shown(self.id()), to = "attached", sent, "job adopted by another connection")
            }
            SinkEvent::WindowOver => return Err(Outcome::LinkLost),
        }
        Ok(())
    }

    /// Hands over all that the lane has room for now: one message per run of text, then the last words.
    fn send_what_fits(&mut self) {
        while self.has_unsent() {
            let Some(permit) = self.sink.permit() else { return };
            self.send_next(permit);
        }
    }

    fn has_unsent(&self) -> bool {
        self.sink.sent() < self.end()
    }

    /// The position behind all that is there to be sent; the last words are one more than the text.
    fn end(&self) -> usize {
        self.answer.transcript().len() + usize::from(self.final_message.is_some())
    }

    fn send_next(&mut self, permit: Permit) {
        let transcript = self.answer.transcript();
        if let Some((channel, range)) = transcript.after(self.sink.sent()) {
            let range = self.answer.fit(range);
            let upto = range.end;
            let token = Token {
                job_id: self.id().into(),
                logprobs: self.answer.logprobs(&range),
                token: transcript.slice(range).into(),
                reasoning: channel == Channel::Reasoning,
            };
            let frame = ToRouter::Token(token).to_frame();
            self.sink.send(permit, frame, upto, false);
        } else if let Some(message) = self.final_message.clone() {
            self.sink.send(permit, message, transcript.len() + 1, true);
        }
    }

    /// Brings the rest of the text and the one terminal message into a socket, waiting for a new lane if the job has
    /// lost its own.
    async fn finish(&mut self, mut outcome: Outcome) -> Outcome {
        loop {
            let confirm_cancel = self.config().confirm_cancel;
            let id = self.parsed.job.job_id.clone();
            let frame = match outcome {
                Outcome::Completed => match self.answer.complete(&id) {
                    Ok(complete) => Some(ToRouter::Complete(Box::new(complete)).to_frame()),
                    Err(bad) => {
                        outcome = bad;
                        continue;
                    }
                },
                ref other => other.message(&id, confirm_cancel).map(error_frame),
            };
            if outcome.is_cancelled_by_router() {
                // No text of it is wanted any more; what is begun is complete frames and harms nobody.
                self.sink.revoke();
                self.sink.begin_again(self.answer.transcript().len());
            }
            let Some(mut frame) = frame else { return outcome };
            // It is kept for a while, and counted by its length; writing it has left up to as much again behind it.
            frame.shrink_to_fit();
            self.final_message = Some(frame.into());
            match self.wait_until_sent(outcome.is_cancelled_by_router()).await {
                Ok(()) => return outcome,
                Err(other) => outcome = other,
            }
        }
    }

    /// Waits until the last words are in a socket; `Err` is another ending that came first.
    async fn wait_until_sent(&mut self, cancelled_outcome: bool) -> Result<(), Outcome> {
        let (cancel, shutdown) = (self.cancel.clone(), self.context.shutdown.clone());
        let (confirming, mut cancelled_outcome) = (cancelled_outcome, cancelled_outcome);
        loop {
            if confirming && self.sink.is_superseded() {
                // Under this id the new round's end would be meant.
                return Err(Outcome::Superseded);
            }
            self.send_what_fits();
            if self.sink.written() >= self.end() {
                return Ok(());
            }
            let wants = if self.has_unsent() { WaitFor::Permit } else { WaitFor::Written };
            tokio::select! {
                biased;
                event = self.sink.next_event(wants) => {
                    if matches!(event, SinkEvent::Adopted) {
                        // An end on the lane that was left is none for the router: the lane that asked hears it too.
                        self.sink.rewind(self.answer.transcript().len());
                    }
                    self.on_sink_event(event)?;
                }
                () = cancel.cancelled(), if !cancelled_outcome => {
                    if self.sink.revoke() < self.end() {
                        return Err(self.cancelled_outcome());
                    }
                    // The router gets its end all the same; it is on its way already.
                    cancelled_outcome = true;
                }
                // The jobs of a link that is not coming back must not hold up the end of the worker.
                () = shutdown.cancelled(), if self.sink.is_lost() => return Err(Outcome::LinkLost),
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
        info!(
            job = %Shown(self.id()), model = ended.model, ending = ended.ending, tokens = ended.tokens,
            ms = ended.took.as_secs_f64() * 1e3,
            first_token_ms = ended.first_token.map(|first| first.as_secs_f64() * 1e3),
            reason = outcome.reason().as_deref().map(shown), "job ended"
        );
    }
}

fn error_frame(message: JobError<'_>) -> String {
    ToRouter::Error(message).to_frame()
}
