//! Passes the bytes of an engine's answer on as they come, and decides how the answer ends.
//!
//! ```text
//!   passing ── last byte ─────────────────────────▶ Whole
//!      ├── the engine is lost, between two events ─▶ WithEvent: why
//!      └── the engine is lost, else ───────────────▶ Cut: the connection ends without the end of the body
//! ```
//!
//! The next bytes are read when the client's socket has taken the last ones, so a client that reads slowly holds the engine
//! back, and little of its answer here.

use std::task::{Context, Poll};
use std::time::Duration;

use auxot_fleet::{EngineEnd, Lease};
use auxot_llama::{Api, ExchangeError};
use bytes::Bytes;

use crate::client::{Client, Unwritten};
use crate::error_body;
use crate::failure::Failure;
use crate::part::Part;
use crate::record::RequestRecord;
use crate::running::{RunningRequest, Stop};

/// How long the end of an engine may take to be known.
const EXIT_SEEN: Duration = Duration::from_millis(500);

/// An answer on its way.
pub(crate) struct PassOn {
    running: RunningRequest,
    /// The last bytes: two line ends are the end of an event.
    last: [u8; 2],
    /// Ends an answer whose client reads nothing.
    write_timeout: Duration,
}

/// Why nothing more is passed on.
#[derive(Debug)]
pub(crate) enum PassEnd {
    /// The answer is complete.
    Complete,
    /// The client leaves, or reads nothing.
    Unwritten(Unwritten),
    /// The answer is stopped, or its engine is gone.
    Stopped(Stop),
    /// The engine's bytes are not HTTP.
    Unreadable(ExchangeError),
}

/// How the client's answer ends.
pub(crate) enum Ended {
    /// With its own last byte.
    Whole,
    /// With this event.
    WithEvent(Bytes),
    /// It does not: the connection is cut, so that no client takes the answer for whole.
    Cut(Unwritten),
}

impl PassOn {
    pub(crate) fn new(running: RunningRequest, write_timeout: Duration) -> Self {
        Self { running, last: *b"\n\n", write_timeout }
    }

    /// Passes on what has come.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        client: &mut Client,
        record: &mut RequestRecord,
    ) -> Poll<PassEnd> {
        Part::lend(|part| self.poll_with(part, context, client, record))
    }

    fn poll_with(
        &mut self,
        part: &mut Part,
        context: &mut Context<'_>,
        client: &mut Client,
        record: &mut RequestRecord,
    ) -> Poll<PassEnd> {
        loop {
            // What came with the head goes with it, in one write.
            if client.has_unsent() && !self.running.forward.has_early_bytes() {
                match client.poll_flush(context) {
                    Poll::Ready(Ok(())) => self.running.awaits.hold_back(false),
                    Poll::Ready(Err(reason)) => return Poll::Ready(PassEnd::Unwritten(reason)),
                    Poll::Pending => {
                        self.running.awaits.hold_back(true);
                        if client.poll_unread(context, self.write_timeout).is_ready() {
                            return Poll::Ready(PassEnd::Unwritten(Unwritten::TooSlow));
                        }
                        return self.poll_ends(context, client);
                    }
                }
            }
            match self.running.forward.poll_body(context, part.space()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(PassEnd::Complete),
                Poll::Ready(Ok(read)) => {
                    self.note(part.bytes(read), record);
                    let is_last = self.running.forward.is_complete();
                    if let Err(reason) = client.send(context, part, read, is_last) {
                        return Poll::Ready(PassEnd::Unwritten(reason));
                    }
                    if is_last {
                        return Poll::Ready(PassEnd::Complete);
                    }
                }
                Poll::Ready(Err(ExchangeError::Cut | ExchangeError::Io(_))) => {
                    return Poll::Ready(PassEnd::Stopped(Stop::Engine));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(PassEnd::Unreadable(error)),
                Poll::Pending if client.has_unsent() => {}
                Poll::Pending => return self.poll_ends(context, client),
            }
        }
    }

    fn note(&mut self, bytes: &[u8], record: &mut RequestRecord) {
        self.last = match bytes {
            [.., before, last] => [*before, *last],
            [last] => [self.last[1], *last],
            [] => self.last,
        };
        record.part(bytes);
        // A ping shows that the engine's server is alive, not that the engine makes progress.
        if bytes.first() != Some(&b':') {
            self.running.lease.progressed();
        }
    }

    /// Pending until the client leaves or the answer is stopped.
    fn poll_ends(&mut self, context: &mut Context<'_>, client: &mut Client) -> Poll<PassEnd> {
        if client.poll_gone(context).is_ready() {
            return Poll::Ready(PassEnd::Unwritten(Unwritten::Left));
        }
        self.running.stop.as_mut().poll(context).map(PassEnd::Stopped)
    }

    /// Frees the slot, and says how the client's answer ends.
    pub(crate) async fn ended(self, end: PassEnd, events: Option<Api>, record: &mut RequestRecord) -> Ended {
        let is_at_boundary = self.last == *b"\n\n";
        let RunningRequest { forward, awaits, stop, lease } = self.running;
        let model = lease.model().to_owned();
        let failure = match end {
            PassEnd::Complete => {
                lease.answered();
                record.completed();
                if let Some(kept) = forward.into_kept() {
                    lease.keep(kept);
                }
                return Ended::Whole;
            }
            PassEnd::Unwritten(reason) => {
                if reason == Unwritten::TooSlow {
                    record.ended("client_too_slow");
                }
                return Ended::Cut(reason);
            }
            PassEnd::Stopped(Stop::Request(stop)) => stop.into(),
            PassEnd::Unreadable(error) => Failure::Unreadable { model, reason: error.to_string() },
            PassEnd::Stopped(Stop::Engine) => {
                drop((forward, awaits, stop));
                reason(lease).await
            }
        };
        record.failed(&failure);
        match events.filter(|_| is_at_boundary) {
            Some(api) => Ended::WithEvent(error_body::event(api, &failure)),
            None => Ended::Cut(Unwritten::Cut),
        }
    }
}

/// Why the engine of a lease went away.
async fn reason(lease: Lease) -> Failure {
    let model = lease.model().to_owned();
    match lease.engine_end(EXIT_SEEN).await {
        EngineEnd::Stopped => Failure::MadeRoom { model },
        EngineEnd::Crashed | EngineEnd::Running => Failure::EngineGone { model },
    }
}
