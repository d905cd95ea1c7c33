//! Where one job's answer goes: the lane the job belongs to now, and how much of it that lane has.
//!
//! ```text
//!                     ┌────────── asked for by another lane, nothing on its way ──────────┐
//!                     ▼                                                                    │
//!   Lost ─asked for▶ Attached ─asked for by another lane─▶ Settling ─written, or lane gone─┘
//!     ▲                 │ lane gone
//!     └─────────────────┘
//! ```
//!
//! A job goes on from exactly the byte that the last lane's socket did not get.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::send_queue::ack::{Ack, AckTracker};
use crate::send_queue::{Frame, Permit, SendQueue};

/// A job's way out.
#[derive(Debug)]
pub(crate) struct JobSink {
    attachment: Attachment,
    moves: watch::Receiver<SendQueue>,
    round: CancellationToken,
    /// Up to where the answer has been handed to the present lane.
    sent: usize,
    /// Nothing before this goes out any more, whatever a lane has of it.
    floor: usize,
    window: Duration,
}

#[derive(Debug)]
enum Attachment {
    /// The answer goes to this lane.
    Attached { connection: SendQueue, acks: Arc<AckTracker> },
    /// It will go to `next`, once it is known what `lane` still writes.
    Settling { connection: SendQueue, acks: Arc<AckTracker>, next: SendQueue },
    /// The link was lost; the router has until then to ask again.
    Lost { until: Instant },
}

/// What the job waits for, beside what may happen at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Nothing,
    /// Room for a message.
    Permit,
    /// The end of its answer to be in the socket.
    Written,
}

/// What happened to a job's way out.
#[derive(Debug)]
pub(crate) enum SinkEvent {
    /// There is room for one message.
    Permit(Permit),
    /// More of it is in the socket.
    Written,
    /// Its lane is gone.
    Lost,
    /// Another lane asks for it; the present one still writes.
    Settling,
    /// It goes to another lane from now on.
    Adopted,
    /// Nobody asked for it in time.
    WindowOver,
}

impl JobSink {
    /// The way out by the lane that brought the job, until its round is over; a lost link is waited for as long as
    /// `window`.
    pub(crate) fn new(moves: watch::Receiver<SendQueue>, round: CancellationToken, window: Duration) -> Self {
        let connection = moves.borrow().clone();
        let attachment = Attachment::Attached { connection, acks: AckTracker::new(0, round.clone()) };
        Self { attachment, moves, round, sent: 0, floor: 0, window }
    }

    /// Up to where the answer has been handed to the present lane.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// The lane that the answer goes to.
    pub(crate) fn connection(&self) -> Option<&SendQueue> {
        match &self.attachment {
            Attachment::Attached { connection, .. } => Some(connection),
            Attachment::Settling { .. } | Attachment::Lost { .. } => None,
        }
    }

    /// Whether no lane has the job.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.attachment, Attachment::Lost { .. })
    }

    /// Whether the router has begun a new round under the job's id: the desk then holds another sender.
    pub(crate) fn is_superseded(&self) -> bool {
        self.moves.has_changed().is_err()
    }

    /// Room that is there now.
    pub(crate) fn permit(&self) -> Option<Permit> {
        match &self.attachment {
            Attachment::Attached { connection, .. } => connection.try_reserve(),
            Attachment::Settling { .. } | Attachment::Lost { .. } => None,
        }
    }

    /// Hands over the next message, which brings the answer up to a position; `last` if it is the end.
    pub(crate) fn send(&mut self, permit: Permit, text: impl Into<Utf8Bytes>, upto: usize, last: bool) {
        // Room was had from the lane the job was attached to, and nothing has been awaited since.
        if let Attachment::Attached { acks, .. } = &self.attachment {
            permit.send(Frame::Text(text.into(), Some(Ack::new(acks, upto, last))));
            self.sent = upto;
        }
    }

    /// Hands over a message that is no part of the answer, if there is room for it now.
    pub(crate) fn try_send(&self, text: String) -> bool {
        let (Attachment::Attached { acks, .. }, Some(permit)) = (&self.attachment, self.permit()) else { return false };
        permit.send(Frame::Text(text.into(), Some(Ack::new(acks, 0, false))));
        true
    }

    /// Up to where the answer is known to be in a socket.
    pub(crate) fn written(&self) -> usize {
        match &self.attachment {
            Attachment::Attached { acks, .. } | Attachment::Settling { acks, .. } => acks.written(),
            Attachment::Lost { .. } => self.sent,
        }
    }

    /// Keeps all that is queued from going out; up to where it has gone or is going.
    pub(crate) fn revoke(&mut self) -> usize {
        match &self.attachment {
            Attachment::Attached { acks, .. } | Attachment::Settling { acks, .. } => acks.revoke(),
            Attachment::Lost { .. } => self.sent,
        }
    }

    /// Goes back to a position, to say again what comes after it.
    pub(crate) fn rewind(&mut self, at: usize) {
        if let Attachment::Attached { acks, .. } = &mut self.attachment
            && self.sent > at
        {
            self.sent = at;
            *acks = AckTracker::new(at, self.round.clone());
        }
    }

    /// Says one last thing without waiting, and nothing of what is queued before it.
    pub(crate) fn send_final(&mut self, text: String) {
        self.revoke();
        match &self.attachment {
            Attachment::Attached { connection, .. } | Attachment::Settling { next: connection, .. } => {
                _ = connection.try_control(Frame::text(text))
            }
            Attachment::Lost { .. } => {}
        }
    }

    /// Begins again at a position, for words that come after the round's end: a confirmation that it is over.
    pub(crate) fn begin_again(&mut self, at: usize) {
        self.round = CancellationToken::new();
        (self.sent, self.floor) = (at, at);
        if let Attachment::Attached { acks, .. } = &mut self.attachment {
            *acks = AckTracker::new(at, self.round.clone());
        }
    }

    /// Waits for the next thing to happen and takes it in. Cancel safe.
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
                // What was only queued never left: it is sent again, and nothing else is.
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

/// News of a lane.
enum ConnectionEvent {
    PolicyConnection(SendQueue),
    Gone,
    Written,
}

/// The next lane that asks for this job. The desk holds the sender until the job has left it, or has
/// cancelled it for a new round, so a closed channel has nothing more to say.
async fn next_connection(moves: &mut watch::Receiver<SendQueue>) -> SendQueue {
    match moves.changed().await {
        Ok(()) => moves.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
