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

use crate::send_queue::ack::{Delivery, Receipt};
use crate::send_queue::{Frame, Outbox, Room};

/// A job's way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    place: Place,
    asks: watch::Receiver<Outbox>,
    round: CancellationToken,
    /// Up to where the answer has been handed to the present lane.
    sent: usize,
    /// Nothing before this goes out any more, whatever a lane has of it.
    floor: usize,
    window: Duration,
}

#[derive(Debug)]
enum Place {
    /// The answer goes to this lane.
    Attached { lane: Outbox, delivery: Arc<Delivery> },
    /// It will go to `next`, once it is known what `lane` still writes.
    Settling { lane: Outbox, delivery: Arc<Delivery>, next: Outbox },
    /// The link was lost; the router has until then to ask again.
    Lost { until: Instant },
}

/// What the job waits for, beside what may happen at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Nothing,
    /// Room for a message.
    Room,
    /// The end of its answer to be in the socket.
    Written,
}

/// What happened to a job's way out.
#[derive(Debug)]
pub(crate) enum Turn {
    /// There is room for one message.
    Room(Room),
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

impl Outlet {
    /// The way out by the lane that brought the job, until its round is over; a lost link is waited for as long as
    /// `window`.
    pub(crate) fn new(asks: watch::Receiver<Outbox>, round: CancellationToken, window: Duration) -> Self {
        let lane = asks.borrow().clone();
        let place = Place::Attached { lane, delivery: Delivery::new(0, round.clone()) };
        Self { place, asks, round, sent: 0, floor: 0, window }
    }

    /// Up to where the answer has been handed to the present lane.
    pub(crate) fn sent(&self) -> usize {
        self.sent
    }

    /// The lane that the answer goes to.
    pub(crate) fn lane(&self) -> Option<&Outbox> {
        match &self.place {
            Place::Attached { lane, .. } => Some(lane),
            Place::Settling { .. } | Place::Lost { .. } => None,
        }
    }

    /// Whether no lane has the job.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.place, Place::Lost { .. })
    }

    /// Whether the router has begun a new round under the job's id: the desk then holds another sender.
    pub(crate) fn is_superseded(&self) -> bool {
        self.asks.has_changed().is_err()
    }

    /// Room that is there now.
    pub(crate) fn room(&self) -> Option<Room> {
        match &self.place {
            Place::Attached { lane, .. } => lane.try_reserve(),
            Place::Settling { .. } | Place::Lost { .. } => None,
        }
    }

    /// Hands over the next message, which brings the answer up to a position; `last` if it is the end.
    pub(crate) fn send(&mut self, room: Room, text: impl Into<Utf8Bytes>, upto: usize, last: bool) {
        // Room was had from the lane the job was attached to, and nothing has been awaited since.
        if let Place::Attached { delivery, .. } = &self.place {
            room.send(Frame::Text(text.into(), Some(Receipt::new(delivery, upto, last))));
            self.sent = upto;
        }
    }

    /// Hands over a message that is no part of the answer, if there is room for it now.
    pub(crate) fn mention(&self, text: String) -> bool {
        let (Place::Attached { delivery, .. }, Some(room)) = (&self.place, self.room()) else { return false };
        room.send(Frame::Text(text.into(), Some(Receipt::new(delivery, 0, false))));
        true
    }

    /// Up to where the answer is known to be in a socket.
    pub(crate) fn written(&self) -> usize {
        match &self.place {
            Place::Attached { delivery, .. } | Place::Settling { delivery, .. } => delivery.written(),
            Place::Lost { .. } => self.sent,
        }
    }

    /// Keeps all that is queued from going out; up to where it has gone or is going.
    pub(crate) fn revoke(&mut self) -> usize {
        match &self.place {
            Place::Attached { delivery, .. } | Place::Settling { delivery, .. } => delivery.revoke(),
            Place::Lost { .. } => self.sent,
        }
    }

    /// Goes back to a position, to say again what comes after it.
    pub(crate) fn rewind(&mut self, at: usize) {
        if let Place::Attached { delivery, .. } = &mut self.place
            && self.sent > at
        {
            self.sent = at;
            *delivery = Delivery::new(at, self.round.clone());
        }
    }

    /// Says one last thing without waiting, and nothing of what is queued before it.
    pub(crate) fn cry(&mut self, text: String) {
        self.revoke();
        match &self.place {
            Place::Attached { lane, .. } | Place::Settling { next: lane, .. } => {
                _ = lane.try_control(Frame::text(text))
            }
            Place::Lost { .. } => {}
        }
    }

    /// Begins again at a position, for words that come after the round's end: a confirmation that it is over.
    pub(crate) fn begin_again(&mut self, at: usize) {
        self.round = CancellationToken::new();
        (self.sent, self.floor) = (at, at);
        if let Place::Attached { delivery, .. } = &mut self.place {
            *delivery = Delivery::new(at, self.round.clone());
        }
    }

    /// Waits for the next thing to happen and takes it in. Cancel safe.
    pub(crate) async fn turn(&mut self, wants: Wants) -> Turn {
        let news = match &self.place {
            Place::Attached { lane, delivery } => tokio::select! {
                biased;
                asker = asked(&mut self.asks) => News::Asked(asker),
                () = lane.gone() => News::Gone,
                () = delivery.news(), if wants == Wants::Written => News::Written,
                Ok(room) = lane.reserve(), if wants == Wants::Room => return Turn::Room(room),
            },
            Place::Settling { lane, delivery, .. } => tokio::select! {
                biased;
                asker = asked(&mut self.asks) => News::Asked(asker),
                () = lane.gone() => News::Gone,
                () = delivery.news() => News::Written,
            },
            Place::Lost { until } => tokio::select! {
                biased;
                asker = asked(&mut self.asks) => News::Asked(asker),
                () = tokio::time::sleep_until((*until).into()) => return Turn::WindowOver,
            },
        };
        self.take(news)
    }

    fn take(&mut self, news: News) -> Turn {
        match (&self.place, news) {
            (Place::Attached { delivery, .. }, News::Gone) => {
                // What was only queued never left: it is sent again, and nothing else is.
                self.sent = delivery.written();
                self.place = Place::Lost { until: Instant::now() + self.window };
                Turn::Lost
            }
            (Place::Attached { lane, delivery }, News::Asked(next)) => {
                delivery.revoke();
                if delivery.is_settled() || lane.is_gone() {
                    return self.attach(next, delivery.written());
                }
                self.place = Place::Settling { lane: lane.clone(), delivery: Arc::clone(delivery), next };
                Turn::Settling
            }
            (Place::Settling { lane, delivery, .. }, News::Asked(next)) => {
                self.place = Place::Settling { lane: lane.clone(), delivery: Arc::clone(delivery), next };
                Turn::Settling
            }
            (Place::Settling { delivery, next, .. }, News::Gone) => self.attach(next.clone(), delivery.written()),
            (Place::Settling { delivery, next, .. }, News::Written) if delivery.is_settled() => {
                self.attach(next.clone(), delivery.written())
            }
            (Place::Lost { .. }, News::Asked(next)) => self.attach(next, self.sent),
            (Place::Attached { .. } | Place::Settling { .. }, News::Written) | (Place::Lost { .. }, _) => Turn::Written,
        }
    }

    fn attach(&mut self, lane: Outbox, at: usize) -> Turn {
        self.sent = at.max(self.floor);
        self.place = Place::Attached { lane, delivery: Delivery::new(self.sent, self.round.clone()) };
        Turn::Adopted
    }
}

/// News of a lane.
enum News {
    Asked(Outbox),
    Gone,
    Written,
}

/// The next lane that asks for this job. The desk holds the sender until the job has left it, or has
/// cancelled it for a new round, so a closed channel has nothing more to say.
async fn asked(asks: &mut watch::Receiver<Outbox>) -> Outbox {
    match asks.changed().await {
        Ok(()) => asks.borrow_and_update().clone(),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
