//! Where one job's answer is sent: the connection that the job belongs to now, and the part of the answer that it has.
//!
//! ```text
//!                       ┌──────── comes by another connection, nothing is begun ────────┐
//!                       ▼                                                                │
//!   Lost ─comes again▶ Attached ─comes by another connection─▶ Settling ─written, or gone┘
//!     ▲                 │ connection gone
//!     └─────────────────┘
//! ```
//!
//! A job continues with the first byte that the previous connection's socket did not get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::send_queue::{Ack, AckTracker, Frame, Permit, SendQueue};

/// The sending side of a job.
#[derive(Debug)]
pub(crate) struct JobSink {
    attachment: Attachment,
    moves: watch::Receiver<SendQueue>,
    round: CancellationToken,
    /// The position up to which the answer is queued on the current connection.
    sent: usize,
    /// Nothing before this position is sent any more.
    floor: usize,
    window: Duration,
}

#[derive(Debug)]
enum Attachment {
    /// The answer goes to this connection.
    Attached { connection: SendQueue, acks: Arc<AckTracker> },
    /// It will go to `next`, once it is known what `connection` still writes.
    Settling { connection: SendQueue, acks: Arc<AckTracker>, next: SendQueue },
    /// The connection is lost; the router may send the job again until then.
    Lost { until: Instant },
}

/// A message that is part of an answer.
#[derive(Debug)]
pub(crate) enum JobMessage {
    Text(Utf8Bytes),
    /// With a payload behind its first line.
    Binary(Bytes),
}

/// What the job waits for, beside the events of every phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Nothing,
    /// Capacity for a message.
    Permit,
    /// The terminal message in the socket.
    Written,
}

/// An event of a sink.
#[derive(Debug)]
pub(crate) enum SinkEvent {
    /// There is capacity for one message.
    Permit(Permit),
    /// More of the answer is in the socket.
    Written,
    /// The connection is gone.
    Lost,
    /// The job came by another connection; the current one still writes.
    Settling,
    /// The answer goes to another connection from now on.
    Adopted,
    /// The adopt window is over.
    WindowOver,
}

impl JobSink {
    /// A sink to the connection that brought the job, until its round is over; after a lost connection it waits for
    /// `window`.
    pub(crate) fn new(moves: watch::Receiver<SendQueue>, round: CancellationToken, window: Duration) -> Self {
        let connection = moves.borrow().clone();
        let attachment = Attachment::Attached { connection, acks: AckTracker::new(0, round.clone()) };
        Self { attachment, moves, round, sent: 0, floor: 0, window }
    }

    /// The position up to which the answer is queued on the current connection.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// The connection that the answer goes to.
    pub(crate) fn connection(&self) -> Option<&SendQueue> {
        match &self.attachment {
            Attachment::Attached { connection, .. } => Some(connection),
            Attachment::Settling { .. } | Attachment::Lost { .. } => None,
        }
    }

    /// Whether the job has no connection.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.attachment, Attachment::Lost { .. })
    }

    /// Whether the router has begun a new round under the job's id: the registry then holds another sender.
    pub(crate) fn is_superseded(&self) -> bool {
        self.moves.has_changed().is_err()
    }

    /// Capacity that is free now.
    pub(crate) fn permit(&self) -> Option<Permit> {
        match &self.attachment {
            Attachment::Attached { connection, .. } => connection.try_reserve(),
            Attachment::Settling { .. } | Attachment::Lost { .. } => None,
        }
    }

    /// Queues the next message, which ends at position `upto`; `last` for the terminal message.
    pub(crate) fn send(&mut self, permit: Permit, message: JobMessage, upto: usize, last: bool) {
        // The permit is of the connection that the job is attached to, and there was no await since.
        if let Attachment::Attached { acks, .. } = &self.attachment {
            let ack = Some(Ack::new(acks, upto, last));
            permit.send(match message {
                JobMessage::Text(text) => Frame::Text(text, ack),
                JobMessage::Binary(bytes) => Frame::Binary(bytes, ack),
            });
            self.sent = upto;
        }
    }

    /// Queues a message that is not part of the answer, if there is capacity now.
    pub(crate) fn try_send(&self, text: String) -> bool {
        let (Attachment::Attached { acks, .. }, Some(permit)) = (&self.attachment, self.permit()) else { return false };
        permit.send(Frame::Text(text.into(), Some(Ack::new(acks, 0, false))));
        true
    }

    /// The position up to which the answer is known to be in a socket.
    pub(crate) fn written(&self) -> usize {
        match &self.attachment {
            Attachment::Attached { acks, .. } | Attachment::Settling { acks, .. } => acks.written(),
            Attachment::Lost { .. } => self.sent,
        }
    }

    /// Revokes all queued messages that are not begun; returns the position up to which they are begun.
    pub(crate) fn revoke(&mut self) -> usize {
        match &self.attachment {
            Attachment::Attached { acks, .. } | Attachment::Settling { acks, .. } => acks.revoke(),
            Attachment::Lost { .. } => self.sent,
        }
    }

    /// Goes back to a position; what comes after it is sent again.
    pub(crate) fn rewind(&mut self, at: usize) {
        let at = at.max(self.floor);
        if let Attachment::Attached { acks, .. } = &mut self.attachment
            && self.sent > at
        {
            self.sent = at;
            *acks = AckTracker::new(at, self.round.clone());
        }
    }

    /// Revokes all queued messages and sends one final message, without waiting.
    pub(crate) fn send_final(&mut self, text: String) {
        self.revoke();
        match &self.attachment {
            Attachment::Attached { connection, .. } | Attachment::Settling { next: connection, .. } => {
                _ = connection.try_control(Frame::text(text))
            }
            Attachment::Lost { .. } => {}
        }
    }

    /// Starts again at a position, for a message after the round's end: the confirmation of a cancel.
    pub(crate) fn begin_again(&mut self, at: usize) {
        self.round = CancellationToken::new();
        (self.sent, self.floor) = (at, at);
        if let Attachment::Attached { acks, .. } = &mut self.attachment {
            *acks = AckTracker::new(at, self.round.clone());
        }
    }

    /// Waits for the next event and applies it. Cancel safe.
    pub(crate) async fn next_event(&mut self, wait_for: WaitFor) -> SinkEvent {
        let event = match &self.attachment {
            Attachment::Attached { connection, acks } => tokio::select! {
                biased;
                next = next_connection(&mut self.moves) => ConnectionEvent::PolicyConnection(next),
                () = connection.gone() => ConnectionEvent::Gone,
                () = acks.changed(), if wait_for == WaitFor::Written => ConnectionEvent::Written,
                Ok(permit) = connection.reserve(), if wait_for == WaitFor::Permit => return SinkEvent::Permit(permit),
            },
            Attachment::Settling { connection, acks, .. } => tokio::select! {
                biased;
                next = next_connection(&mut self.moves) => ConnectionEvent::PolicyConnection(next),
                () = connection.gone() => ConnectionEvent::Gone,
                () = acks.changed() => ConnectionEvent::Written,
            },
            Attachment::Lost { until } => tokio::select! {
                biased;
                next = next_connection(&mut self.moves) => ConnectionEvent::PolicyConnection(next),
                () = tokio::time::sleep_until((*until).into()) => return SinkEvent::WindowOver,
            },
        };
        self.on_event(event)
    }

    fn on_event(&mut self, event: ConnectionEvent) -> SinkEvent {
        match (&self.attachment, event) {
            (Attachment::Attached { acks, .. }, ConnectionEvent::Gone) => {
                // Messages that were only queued were not written: they are sent again, and no others.
                self.sent = acks.written();
                self.attachment = Attachment::Lost { until: Instant::now() + self.window };
                SinkEvent::Lost
            }
            (Attachment::Attached { connection, acks }, ConnectionEvent::PolicyConnection(next)) => {
                acks.revoke();
                if acks.is_settled() || connection.is_gone() {
                    return self.attach(next, acks.written());
                }
                self.attachment = Attachment::Settling { connection: connection.clone(), acks: Arc::clone(acks), next };
                SinkEvent::Settling
            }
            (Attachment::Settling { connection, acks, .. }, ConnectionEvent::PolicyConnection(next)) => {
                self.attachment = Attachment::Settling { connection: connection.clone(), acks: Arc::clone(acks), next };
                SinkEvent::Settling
            }
            (Attachment::Settling { acks, next, .. }, ConnectionEvent::Gone) => {
                self.attach(next.clone(), acks.written())
            }
            (Attachment::Settling { acks, next, .. }, ConnectionEvent::Written) if acks.is_settled() => {
                self.attach(next.clone(), acks.written())
            }
            (Attachment::Lost { .. }, ConnectionEvent::PolicyConnection(next)) => self.attach(next, self.sent),
            (Attachment::Attached { .. } | Attachment::Settling { .. }, ConnectionEvent::Written)
            | (Attachment::Lost { .. }, _) => SinkEvent::Written,
        }
    }

    fn attach(&mut self, connection: SendQueue, at: usize) -> SinkEvent {
        self.sent = at.max(self.floor);
        self.attachment = Attachment::Attached { connection, acks: AckTracker::new(self.sent, self.round.clone()) };
        SinkEvent::Adopted
    }
}

/// An event of the connection.
enum ConnectionEvent {
    PolicyConnection(SendQueue),
    Gone,
    Written,
}

/// The next connection that brings this job. The registry holds the sender until the job has ended or is cancelled for a new
/// round, so a closed channel brings no further connection.
async fn next_connection(moves: &mut watch::Receiver<SendQueue>) -> SendQueue {
    match moves.changed().await {
        Ok(()) => moves.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
