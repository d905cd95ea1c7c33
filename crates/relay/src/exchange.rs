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

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use auxot_fleet::{Fleet, Lease};
use auxot_protocol::{Job, JobError, ToRouter, Token};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::answer::Answer;
use crate::attempt::Attempt;
use crate::config::Config;
use crate::desk::Leave;
use crate::ending::{Ending, Limit};
use crate::outbox::{Frame, Outbox, Receipt};
use crate::telemetry::Telemetry;
use crate::transcript::Channel;

mod stream;

/// Unsent text beyond which the engine is not read any more.
const MERGE_LIMIT: usize = 64 * 1024;
/// How long a dead engine's exit may take to be seen, before a job asks for the next one.
const EXIT_SEEN: Duration = Duration::from_millis(500);
/// Attempts on fresh engines for a job of which nothing has been said yet.
const ATTEMPTS: u32 = 3;

/// What every exchange shares.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) fleet: Fleet,
    pub(crate) config: Config,
    pub(crate) telemetry: Telemetry,
    /// Cancelled when the worker ends before its jobs could.
    pub(crate) shutdown: CancellationToken,
    /// Whether the router reads `prompt_progress` without complaint.
    pub(crate) sends_progress: watch::Receiver<bool>,
}

/// A job's place at the desk, as its exchange sees it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) cancel: CancellationToken,
    pub(crate) lane: watch::Receiver<Outbox>,
}

/// One job on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    job: Job,
    surroundings: Arc<Surroundings>,
    cancel: CancellationToken,
    lane_changes: watch::Receiver<Outbox>,
    lane: Lane,
    answer: Answer,
    /// Bytes of the transcript handed to a lane, and bytes that lane has in its socket.
    sent: usize,
    delivered: Arc<AtomicUsize>,
    tool_announced: bool,
    arrived: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    progress_sent: Option<Instant>,
    model: Option<String>,
}

/// Where the answer goes.
#[derive(Debug)]
enum Lane {
    Attached(Outbox),
    /// The link was lost; the router has until then to ask again.
    Lost {
        until: Instant,
    },
}

/// Carries a job to its ending; `leave` takes it off the desk, also when this panics.
pub(crate) async fn run(exchange: Exchange, leave: Leave) {
    let mut guard = TerminalGuard { exchange, leave, ended: false };
    let ending = match guard.exchange.carry_out().await {
        Ok(()) => Ending::Completed,
        Err(ending) => ending,
    };
    let ending = guard.exchange.say(ending).await;
    guard.end(&ending);
}

/// Sends the terminal message that a panic would otherwise swallow, and records every ending.
struct TerminalGuard {
    exchange: Exchange,
    leave: Leave,
    ended: bool,
}

impl TerminalGuard {
    fn end(&mut self, ending: &Ending) {
        self.ended = true;
        self.exchange.record(ending);
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        let _at_the_very_end = &self.leave;
        if self.ended {
            return;
        }
        // Unwinding cannot wait: a lane too full to take one frame is a stalled one, whose loss is near.
        if let (Lane::Attached(lane), Some(message)) =
            (&self.exchange.lane, Ending::Broken.message(&self.exchange.job.job_id, false))
        {
            lane.try_send(Frame::Text(ToRouter::Error(message).to_frame(), None));
        }
        self.exchange.record(&Ending::Broken);
    }
}

impl Exchange {
    pub(crate) fn new(job: Job, seat: Seat, surroundings: Arc<Surroundings>) -> Self {
        let hides_reasoning = job.reasoning_effort.as_deref().is_some_and(|effort| effort.eq_ignore_ascii_case("none"));
        let lane = Lane::Attached(seat.lane.borrow().clone());
        let answer = Answer::new(!hides_reasoning, surroundings.config.text_markers, job.tools.as_deref());
        Self {
            job,
            surroundings,
            cancel: seat.cancel,
            lane_changes: seat.lane,
            lane,
            answer,
            sent: 0,
            delivered: Arc::default(),
            tool_announced: false,
            arrived: Instant::now(),
            started: None,
            first_token: None,
            progress_sent: None,
            model: None,
        }
    }

    fn config(&self) -> &Config {
        &self.surroundings.config
    }

    async fn carry_out(&mut self) -> Result<(), Ending> {
        let mut attempt = Attempt::first(&self.job, self.config().tool_loop_guard)?;
        for left in (0..ATTEMPTS).rev() {
            let lease = self.admitted().await?;
            let outcome = self.ask(&lease, &attempt).await;
            match outcome {
                Ok(()) => {
                    // The engine is done: its slot is free before a slow router has read the rest.
                    drop(lease);
                    return self.drain().await;
                }
                Err(Ending::EngineGone { after_text: false }) if left > 0 => {
                    warn!(job = %self.job.job_id, model = lease.model(), left, "engine gone before the first token, trying again");
                    self.surroundings.telemetry.retried();
                    lease.engine_gone(EXIT_SEEN).await;
                }
                Err(Ending::EngineRefused(error))
                    if left > 0 && attempt.can_reduce(&error) && attempt.reduce(&self.job) =>
                {
                    warn!(job = %self.job.job_id, model = lease.model(), "engine refused the tool schemas, trying again with reduced ones");
                }
                Err(ending) => return Err(ending),
            }
        }
        Err(Ending::EngineGone { after_text: false })
    }

    /// Waits for a slot, however the job's lane fares meanwhile.
    async fn admitted(&mut self) -> Result<Lease, Ending> {
        let deadline = self.arrived + self.config().job_timeout;
        let fleet = self.surroundings.fleet.clone();
        let model = self.job.model.clone();
        let lease = fleet.acquire(model.as_deref(), deadline);
        tokio::pin!(lease);
        loop {
            tokio::select! {
                biased;
                admitted = &mut lease => {
                    let lease = admitted.map_err(Ending::Refused)?;
                    self.model = Some(lease.model().to_owned());
                    self.started.get_or_insert_with(Instant::now);
                    return Ok(lease);
                }
                ended = self.interrupted() => ended?,
            }
        }
    }

    /// Resolves on what may happen to a job in any phase: `Err` ends it, `Ok` is a change of lane.
    async fn interrupted(&mut self) -> Result<(), Ending> {
        let cancel = self.cancel.clone();
        let shutdown = self.surroundings.shutdown.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Ending::Cancelled),
            () = shutdown.cancelled() => Err(Ending::ShuttingDown),
            news = lane_news(&self.lane, &mut self.lane_changes) => self.take_lane_news(news),
        }
    }

    /// Moves to the lane that the router asked by, or starts the window of a lost one.
    fn take_lane_news(&mut self, news: LaneNews) -> Result<(), Ending> {
        match news {
            LaneNews::WindowOver => return Err(Ending::LinkLost),
            LaneNews::Gone => {
                // What was only queued never left: it is sent again, and nothing else is.
                self.sent = self.delivered.load(Ordering::Relaxed);
                self.lane = Lane::Lost { until: Instant::now() + self.config().adopt_window };
                info!(job = %self.job.job_id, from = "attached", to = "lost", sent = self.sent, "lane of a job lost");
            }
            LaneNews::Moved(lane) => {
                if let Lane::Attached(old) = &self.lane
                    && old.is_gone()
                {
                    self.sent = self.delivered.load(Ordering::Relaxed);
                }
                info!(job = %self.job.job_id, to = "attached", sent = self.sent, "job adopted by another lane");
                self.lane = Lane::Attached(lane);
            }
        }
        Ok(())
    }

    /// Brings the one terminal message into a socket, waiting for a new lane if the job has lost its own.
    async fn say(&mut self, ending: Ending) -> Ending {
        let confirm_cancel = self.config().confirm_cancel;
        let (frame, ending) = match ending {
            Ending::Completed => match self.answer.complete(&self.job.job_id) {
                Ok(complete) => (Some(ToRouter::Complete(Box::new(complete)).to_frame()), Ending::Completed),
                Err(bad) => (bad.message(&self.job.job_id, confirm_cancel).map(error_frame), bad),
            },
            other => (other.message(&self.job.job_id, confirm_cancel).map(error_frame), other),
        };
        let Some(frame) = frame else { return ending };
        loop {
            match &self.lane {
                Lane::Attached(lane) => {
                    let (written, seen) = oneshot::channel();
                    let receipt = Receipt::terminal(&self.delivered, self.sent, written);
                    if lane.send(Frame::Text(frame.clone(), Some(receipt))).await.is_ok() && seen.await.is_ok() {
                        return ending;
                    }
                    if self.take_lane_news(LaneNews::Gone).is_err() {
                        return Ending::LinkLost;
                    }
                }
                Lane::Lost { .. } => {
                    // The jobs of a link that is not coming back must not hold up the end of the worker.
                    if self.surroundings.shutdown.is_cancelled() {
                        return Ending::LinkLost;
                    }
                    let interrupted = self.interrupted().await;
                    if let Err(ending) = interrupted {
                        return ending;
                    }
                }
            }
        }
    }

    fn record(&self, ending: &Ending) {
        let now = Instant::now();
        let tokens = self.answer.tokens();
        let model = self.model.as_deref().unwrap_or_default();
        let first_token = self.first_token.map(|at| at.duration_since(self.arrived));
        let waited = self.started.map(|at| at.duration_since(self.arrived));
        let took = now.duration_since(self.arrived);
        self.surroundings.telemetry.ended(model, ending.label(), took, waited, first_token, tokens);
        info!(
            job = %self.job.job_id, model, ending = ending.label(), tokens,
            ms = took.as_secs_f64() * 1e3,
            first_token_ms = first_token.map(|first| first.as_secs_f64() * 1e3),
            reason = ending.reason(), "job ended"
        );
    }
}

fn error_frame(message: JobError<'_>) -> String {
    ToRouter::Error(message).to_frame()
}

/// What happened to a job's lane.
#[derive(Debug)]
enum LaneNews {
    Gone,
    Moved(Outbox),
    WindowOver,
}

/// Resolves when the lane is lost, another one takes the job, or the window for that is over.
async fn lane_news(lane: &Lane, changes: &mut watch::Receiver<Outbox>) -> LaneNews {
    match lane {
        Lane::Attached(outbox) => tokio::select! {
            moved = moved(changes) => LaneNews::Moved(moved),
            () = outbox.gone() => LaneNews::Gone,
        },
        Lane::Lost { until } => tokio::select! {
            moved = moved(changes) => LaneNews::Moved(moved),
            () = tokio::time::sleep_until((*until).into()) => LaneNews::WindowOver,
        },
    }
}

/// The next lane that asks for this job. The desk holds the sender until the job has left it, or has
/// cancelled it for a new round, so a closed channel has nothing more to say.
async fn moved(changes: &mut watch::Receiver<Outbox>) -> Outbox {
    match changes.changed().await {
        Ok(()) => changes.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}
