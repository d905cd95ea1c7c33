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
use crate::jobs::context::{Seat, Surroundings};
use crate::jobs::crash_suspects;
use crate::jobs::outcome::{Ending, Limit};
use crate::jobs::parsed_job::Order;
use crate::jobs::registry::Leave;
use crate::jobs::request::Attempt;
use crate::jobs::sink::{Outlet, Turn, Wants};
use crate::jobs::transcript::Channel;
use crate::report::Ended;
use crate::report::log_text::{Shown, shown};
use crate::send_queue::Room;
use crate::timer;

/// Unsent text beyond which the engine is not read any more.
const MERGE_LIMIT: usize = 64 * 1024;

/// One job on its way.
#[derive(Debug)]
pub(crate) struct Exchange {
    order: Order,
    surroundings: Arc<Surroundings>,
    cancel: CancellationToken,
    outlet: Outlet,
    answer: Answer,
    /// The terminal message, once there is nothing more to come before it.
    last_words: Option<Utf8Bytes>,
    tool_announced: bool,
    arrived: Instant,
    started: Option<Instant>,
    first_token: Option<Instant>,
    progress_sent: Option<Instant>,
    model: Option<String>,
    /// Held by a suspect until it has said something.
    turn: Option<crash_suspects::Turn>,
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
    let exchange = &mut guard.exchange;
    if let (false, Some(words), Some(lane)) =
        (ending.is_called_off(), exchange.last_words.take(), exchange.outlet.lane())
    {
        guard.leave.keep(&exchange.order, words, lane.clone());
    }
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
        // Also when the runtime ends with the job's task alive, after the time for last words.
        let over = self.exchange.surroundings.shutdown.is_cancelled();
        let ending = if over { Ending::ShuttingDown } else { Ending::Broken };
        if let Some(message) = ending.message(self.exchange.id(), false) {
            self.exchange.outlet.cry(error_frame(message));
        }
        self.exchange.record(&ending);
    }
}

impl Exchange {
    pub(crate) fn new(order: Order, seat: Seat, surroundings: Arc<Surroundings>) -> Self {
        let answer = Answer::blank(&order.job, surroundings.config.text_markers);
        let outlet = Outlet::new(seat.lane, seat.cancel.clone(), surroundings.config.adopt_window);
        Self {
            order,
            surroundings,
            cancel: seat.cancel,
            outlet,
            answer,
            last_words: None,
            tool_announced: false,
            arrived: Instant::now(),
            started: None,
            first_token: None,
            progress_sent: None,
            model: None,
            turn: None,
        }
    }

    fn id(&self) -> &str {
        &self.order.job.job_id
    }

    fn config(&self) -> &Config {
        &self.surroundings.config
    }

    /// When the job's whole time is over.
    fn deadline(&self) -> Instant {
        self.arrived + self.config().job_timeout
    }

    /// Carries out one step of the job, while everything is heard that may happen to a job in any phase.
    async fn within<T>(&mut self, limit: Option<Limit>, step: impl Future<Output = T>) -> Result<T, Ending> {
        let mut until = self.deadline();
        if let Some(limit) = limit {
            until = until.min(Instant::now() + limit.length());
        }
        tokio::pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return Ok(done),
                heard = self.interrupted() => heard?,
                () = timer::until(until) => return Err(self.overdue(limit)),
            }
        }
    }

    /// Resolves on what may happen to a job in any phase: `Err` ends it, `Ok` is a change of lane.
    async fn interrupted(&mut self) -> Result<(), Ending> {
        let cancel = self.cancel.clone();
        let shutdown = self.surroundings.shutdown.clone();
        let handing_back = self.surroundings.handing_back.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(self.called_off()),
            () = shutdown.cancelled() => Err(Ending::ShuttingDown),
            () = handing_back.cancelled(), if self.is_given_back() => Err(Ending::GivenBack),
            turn = self.outlet.turn(Wants::Nothing) => self.take_turn(turn),
        }
    }

    /// Whether the router takes it back from a worker that ends: no engine has seen it.
    fn is_given_back(&self) -> bool {
        self.started.is_none() && self.surroundings.takes_back.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What it means that the job's round was ended from outside.
    fn called_off(&self) -> Ending {
        if self.outlet.is_superseded() { Ending::Superseded } else { Ending::Cancelled }
    }

    /// A silence is the job's own time running out when that came first.
    fn overdue(&self, limit: Option<Limit>) -> Ending {
        let total = Limit::Total(self.config().job_timeout);
        Ending::TimedOut(limit.filter(|_| Instant::now() < self.deadline()).unwrap_or(total))
    }

    /// Does what follows from a change of the job's way out.
    fn take_turn(&mut self, turn: Turn) -> Result<(), Ending> {
        let sent = self.outlet.sent();
        match turn {
            Turn::Room(room) => self.send_next(room),
            Turn::Written => {}
            Turn::Lost => info!(job = %Shown(self.id()), from = "attached", to = "lost", sent, "lane of a job lost"),
            Turn::Settling => {
                info!(job = %Shown(self.id()), from = "attached", to = "settling", sent, "another lane asks for a job");
            }
            Turn::Adopted => info!(job = %Shown(self.id()), to = "attached", sent, "job adopted by another lane"),
            Turn::WindowOver => return Err(Ending::LinkLost),
        }
        Ok(())
    }

    /// Hands over all that the lane has room for now: one message per run of text, then the last words.
    fn send_what_fits(&mut self) {
        while self.has_unsent() {
            let Some(room) = self.outlet.room() else { return };
            self.send_next(room);
        }
    }

    fn has_unsent(&self) -> bool {
        self.outlet.sent() < self.end()
    }

    /// The position behind all that is there to be sent; the last words are one more than the text.
    fn end(&self) -> usize {
        self.answer.transcript().len() + usize::from(self.last_words.is_some())
    }

    fn send_next(&mut self, room: Room) {
        let transcript = self.answer.transcript();
        if let Some((channel, range)) = transcript.after(self.outlet.sent()) {
            let range = self.answer.fit(range);
            let upto = range.end;
            let token = Token {
                job_id: self.id().into(),
                logprobs: self.answer.logprobs(&range),
                token: transcript.slice(range).into(),
                reasoning: channel == Channel::Reasoning,
            };
            let frame = ToRouter::Token(token).to_frame();
            self.outlet.send(room, frame, upto, false);
        } else if let Some(words) = self.last_words.clone() {
            self.outlet.send(room, words, transcript.len() + 1, true);
        }
    }

    /// Brings the rest of the text and the one terminal message into a socket, waiting for a new lane if the job has
    /// lost its own.
    async fn say(&mut self, mut ending: Ending) -> Ending {
        loop {
            let confirm_cancel = self.config().confirm_cancel;
            let id = self.order.job.job_id.clone();
            let frame = match ending {
                Ending::Completed => match self.answer.complete(&id) {
                    Ok(complete) => Some(ToRouter::Complete(Box::new(complete)).to_frame()),
                    Err(bad) => {
                        ending = bad;
                        continue;
                    }
                },
                ref other => other.message(&id, confirm_cancel).map(error_frame),
            };
            if ending.is_called_off() {
                // No text of it is wanted any more; what is begun is complete frames and harms nobody.
                self.outlet.revoke();
                self.outlet.begin_again(self.answer.transcript().len());
            }
            let Some(mut frame) = frame else { return ending };
            // It is kept for a while, and counted by its length; writing it has left up to as much again behind it.
            frame.shrink_to_fit();
            self.last_words = Some(frame.into());
            match self.said(ending.is_called_off()).await {
                Ok(()) => return ending,
                Err(other) => ending = other,
            }
        }
    }

    /// Waits until the last words are in a socket; `Err` is another ending that came first.
    async fn said(&mut self, called_off: bool) -> Result<(), Ending> {
        let (cancel, shutdown) = (self.cancel.clone(), self.surroundings.shutdown.clone());
        let (confirming, mut called_off) = (called_off, called_off);
        loop {
            if confirming && self.outlet.is_superseded() {
                // Under this id the new round's end would be meant.
                return Err(Ending::Superseded);
            }
            self.send_what_fits();
            if self.outlet.written() >= self.end() {
                return Ok(());
            }
            let wants = if self.has_unsent() { Wants::Room } else { Wants::Written };
            tokio::select! {
                biased;
                turn = self.outlet.turn(wants) => {
                    if matches!(turn, Turn::Adopted) {
                        // An end on the lane that was left is none for the router: the lane that asked hears it too.
                        self.outlet.rewind(self.answer.transcript().len());
                    }
                    self.take_turn(turn)?;
                }
                () = cancel.cancelled(), if !called_off => {
                    if self.outlet.revoke() < self.end() {
                        return Err(self.called_off());
                    }
                    // The router gets its end all the same; it is on its way already.
                    called_off = true;
                }
                // The jobs of a link that is not coming back must not hold up the end of the worker.
                () = shutdown.cancelled(), if self.outlet.is_lost() => return Err(Ending::LinkLost),
            }
        }
    }

    fn record(&self, ending: &Ending) {
        let since_arrival = |at: Instant| at.duration_since(self.arrived);
        let ended = Ended {
            model: self.model.as_deref().or(ending.model()).unwrap_or("unknown"),
            ending: ending.label(),
            took: self.arrived.elapsed(),
            waited: self.started.map(since_arrival),
            first_token: self.first_token.map(since_arrival),
            tokens: self.answer.tokens(),
        };
        self.surroundings.telemetry.ended(&ended);
        info!(
            job = %Shown(self.id()), model = ended.model, ending = ended.ending, tokens = ended.tokens,
            ms = ended.took.as_secs_f64() * 1e3,
            first_token_ms = ended.first_token.map(|first| first.as_secs_f64() * 1e3),
            reason = ending.reason().as_deref().map(shown), "job ended"
        );
    }
}

fn error_frame(message: JobError<'_>) -> String {
    ToRouter::Error(message).to_frame()
}
