//! An engine's answer: its bytes as they come, and how it ends.
//!
//! ```text
//!   Running ── last byte ──▶ Over
//!      │ the engine is lost
//!      ├── events, between two ──▶ Lost: why? ── an event with the error ──▶ Over
//!      └── else ──▶ Over, and the connection is cut
//! ```

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use auxot_fleet::{Awaiting, EngineEnd, Lease};
use auxot_llama::{ExchangeError, Forward};
use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Cut;
use super::frame_buffer::FrameBuffer;
use crate::api::Api;
use crate::error_body;
use crate::failure::Failure;
use crate::record::RequestRecord;

/// How long the end of an engine may take to be known.
const EXIT_SEEN: Duration = Duration::from_millis(500);

/// A request that an engine answers.
pub(crate) struct RunningRequest {
    pub(crate) forward: Forward,
    pub(crate) awaits: Awaiting,
    pub(crate) stop: Pin<Box<dyn Future<Output = Stop> + Send>>,
    /// The last field: the slot is free once the connection is closed.
    pub(crate) lease: Lease,
}

impl std::fmt::Debug for RunningRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningRequest").field("model", &self.lease.model()).finish_non_exhaustive()
    }
}

impl RunningRequest {
    /// The text of a short answer, at most `limit` bytes of it.
    pub(crate) async fn text(mut self, limit: usize) -> Vec<u8> {
        let (mut text, mut part) = (Vec::new(), vec![0; 8 << 10]);
        while text.len() < limit
            && let Ok(read @ 1..) = poll_fn(|context| self.forward.poll_body(context, &mut part)).await
        {
            text.extend_from_slice(&part[..read.min(limit - text.len())]);
        }
        text
    }
}

/// Why an answer is stopped from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The engine is being stopped, or has exited.
    Engine,
    /// The worker ends.
    Shutdown,
}

/// An engine's answer.
#[derive(Debug)]
pub(crate) struct EngineBody {
    phase: Phase,
    buffer: FrameBuffer,
    /// Whether the answer is a stream of events, which can end with an error.
    events: Option<Api>,
    /// The last bytes: two line ends are the end of an event.
    last: [u8; 2],
    /// Ends an answer whose client reads nothing.
    write_timeout: Duration,
    unread: Option<Pin<Box<Sleep>>>,
    record: RequestRecord,
}

enum Phase {
    Running(RunningRequest),
    /// Waits until the reason is known.
    Lost(Api, Pin<Box<dyn Future<Output = Failure> + Send>>),
    Over,
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running(_) => "Running",
            Self::Lost(..) => "Lost",
            Self::Over => "Over",
        })
    }
}

impl EngineBody {
    pub(crate) fn new(
        running: RunningRequest,
        events: Option<Api>,
        write_timeout: Duration,
        record: RequestRecord,
    ) -> Self {
        let mut body = Self {
            phase: Phase::Running(running),
            buffer: FrameBuffer::default(),
            events,
            last: *b"\n\n",
            write_timeout,
            unread: None,
            record,
        };
        body.end_if_complete();
        body
    }

    /// Whether nothing more comes.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The next bytes of the answer.
    pub(crate) fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        loop {
            match &mut self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Lost(api, reason) => {
                    let failure = ready!(reason.as_mut().poll(context));
                    let event = error_body::event(*api, &failure);
                    self.record.failed(&failure);
                    self.phase = Phase::Over;
                    return Poll::Ready(Some(Ok(event)));
                }
                Phase::Running(running) => {
                    let Poll::Ready(mut buffer) = self.buffer.poll_take(context) else {
                        running.awaits.hold_back(true);
                        return self.poll_unread(context);
                    };
                    running.awaits.hold_back(false);
                    self.unread = None;
                    match running.forward.poll_body(context, &mut buffer) {
                        Poll::Ready(Ok(0)) => {
                            self.buffer.put(buffer);
                            self.end_if_complete();
                        }
                        Poll::Ready(Ok(read)) => return Poll::Ready(Some(Ok(self.frame(buffer, read)))),
                        Poll::Ready(Err(error)) => {
                            self.buffer.put(buffer);
                            self.lose(&error)?;
                        }
                        Poll::Pending => {
                            self.buffer.put(buffer);
                            let stop = ready!(running.stop.as_mut().poll(context));
                            self.stop(stop)?;
                        }
                    }
                }
            }
        }
    }

    /// A frame of what was read, which ends the answer where it was the last.
    fn frame(&mut self, buffer: Vec<u8>, read: usize) -> Bytes {
        let bytes = &buffer[..read];
        self.last = match bytes {
            [.., before, last] => [*before, *last],
            [last] => [self.last[1], *last],
            [] => self.last,
        };
        self.record.first_byte();
        if let Phase::Running(running) = &self.phase
            // A ping shows that the engine's server is alive, not that the engine makes progress.
            && bytes.first() != Some(&b':')
        {
            running.lease.progressed();
        }
        let frame = self.buffer.lend(buffer, read);
        self.end_if_complete();
        frame
    }

    /// Frees the slot with the last byte, before a slow client has read it.
    fn end_if_complete(&mut self) {
        if let Phase::Running(running) = &self.phase
            && running.forward.is_complete()
        {
            running.lease.answered();
            self.record.completed();
            self.phase = Phase::Over;
        }
    }

    /// Pending until the client has read the last frame, or has read nothing for too long.
    fn poll_unread(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let until = Instant::now() + self.write_timeout;
        let alarm = self.unread.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(alarm.as_mut().poll(context));
        self.record.ended("client_too_slow");
        self.phase = Phase::Over;
        Poll::Ready(Some(Err(Cut)))
    }

    fn lose(&mut self, error: &ExchangeError) -> Result<(), Cut> {
        match error {
            ExchangeError::Cut | ExchangeError::Io(_) => self.stop(Stop::Engine),
            other => {
                let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
                let (model, reason) = (running.lease.model().to_owned(), other.to_string());
                self.send_failure(Failure::Unreadable { model, reason })
            }
        }
    }

    /// The answer does not come to its end.
    fn stop(&mut self, stop: Stop) -> Result<(), Cut> {
        let Phase::Running(running) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
        match (stop, self.events) {
            (Stop::Engine, Some(api)) if self.is_at_boundary() => {
                self.phase = Phase::Lost(api, Box::pin(reason(running.lease)));
                Ok(())
            }
            (Stop::Engine, _) => self.send_failure(Failure::EngineGone { model: running.lease.model().to_owned() }),
            (Stop::Shutdown, _) => self.send_failure(Failure::Stopping),
        }
    }

    /// Whether no event is begun, so that another one can follow.
    fn is_at_boundary(&self) -> bool {
        self.last == *b"\n\n"
    }

    /// Sends a failure that is known, where the client can read it.
    fn send_failure(&mut self, failure: Failure) -> Result<(), Cut> {
        match self.events.filter(|_| self.is_at_boundary()) {
            Some(api) => {
                self.phase = Phase::Lost(api, Box::pin(std::future::ready(failure)));
                Ok(())
            }
            None => {
                self.record.failed(&failure);
                Err(Cut)
            }
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
