//! The bounded queue of one connection's outgoing frames, which the writer empties with one flush.
//!
//! The queue is short on purpose: when the router reads slowly, the queue fills, `reserve` waits, a job stops reading its
//! engine and merges its text, and nothing grows. A second, shorter queue holds messages about the worker. The writer takes
//! them first: a connection full of text must not look like a dead worker.
//!
//! An ack travels with a message of a job. Its positions are bytes of the job's transcript; the terminal message is the
//! position after its end. A message is *begun* when it can no longer be revoked, and *written* when the socket has it. A job
//! that leaves a live connection revokes the messages that are not begun and waits for the others, so it knows exactly where to
//! continue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

/// The most queued frames of jobs.
const DEPTH: usize = 64;
/// The most queued frames about the worker.
const CONTROL_DEPTH: usize = 8;

/// One outgoing frame.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A protocol message.
    Text(Utf8Bytes, Option<Ack>),
    /// A message with a payload behind its first line.
    Binary(Bytes, Option<Ack>),
    /// A WebSocket ping, which shows whether the router is alive and what it has read.
    Ping(Probe),
    /// The close frame; nothing is written after it.
    Close,
}

impl Frame {
    /// A message without an ack.
    pub(crate) fn text(text: String) -> Self {
        Self::Text(text.into(), None)
    }
}

/// The number of a ping on its connection. The router answers pings in the order in which it reads, so an answer shows that
/// it has read all that was written before the ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe(u64);

impl Probe {
    /// The payload of the ping and of its answer.
    pub(crate) fn payload(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The probe of an answer, if the payload is one.
    pub(crate) fn answered(payload: &[u8]) -> Option<Self> {
        payload.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// Capacity for one frame, held until it is used or dropped.
pub(crate) type Permit = mpsc::OwnedPermit<Frame>;

/// The connection is gone; the frame was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionGone;

/// The sending side of one connection's queue.
#[derive(Debug, Clone)]
pub(crate) struct SendQueue {
    jobs: mpsc::Sender<Frame>,
    control: mpsc::Sender<Frame>,
    probes: Arc<Probes>,
}

/// The pings of one connection, and the newest that was answered.
#[derive(Debug, Default)]
struct Probes {
    sent: AtomicU64,
    answered: AtomicU64,
}

/// The writer's side of a queue.
#[derive(Debug)]
pub(crate) struct Frames {
    jobs: mpsc::Receiver<Frame>,
    control: mpsc::Receiver<Frame>,
}

impl SendQueue {
    /// The queue of a new connection and the writer's side of it.
    pub(crate) fn new() -> (Self, Frames) {
        let (jobs, from_jobs) = mpsc::channel(DEPTH);
        let (control, from_control) = mpsc::channel(CONTROL_DEPTH);
        (Self { jobs, control, probes: Arc::default() }, Frames { jobs: from_jobs, control: from_control })
    }

    /// Waits for capacity and sends.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), ConnectionGone> {
        self.jobs.send(frame).await.map_err(|_| ConnectionGone)
    }

    /// Waits for capacity before the frame is made: text merges meanwhile.
    pub(crate) async fn reserve(&self) -> Result<Permit, ConnectionGone> {
        self.jobs.clone().reserve_owned().await.map_err(|_| ConnectionGone)
    }

    /// Capacity that is free now.
    pub(crate) fn try_reserve(&self) -> Option<Permit> {
        self.jobs.clone().try_reserve_owned().ok()
    }

    /// Sends a message about the worker, before all frames of jobs; false when that queue is full.
    pub(crate) fn try_control(&self, frame: Frame) -> bool {
        self.control.try_send(frame).is_ok()
    }

    /// The same, but waits for capacity.
    pub(crate) async fn control(&self, frame: Frame) -> Result<(), ConnectionGone> {
        self.control.send(frame).await.map_err(|_| ConnectionGone)
    }

    /// The next ping of this connection, to be sent.
    pub(crate) fn probe(&self) -> Probe {
        Probe(self.probes.sent.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Sends a ping, whose answer shows that the router has read all that is in the socket; `None` when the queue is full.
    pub(crate) fn ask_read(&self) -> Option<Probe> {
        let probe = self.probe();
        self.try_control(Frame::Ping(probe)).then_some(probe)
    }

    /// The router has answered a ping.
    pub(crate) fn answered(&self, probe: Probe) {
        // At most the number of pings sent: the number comes from outside.
        let known = probe.0.min(self.probes.sent.load(Ordering::Relaxed));
        self.probes.answered.fetch_max(known, Ordering::Relaxed);
    }

    /// Whether the router has read all that was written before this ping.
    pub(crate) fn has_read(&self, probe: Probe) -> bool {
        self.probes.answered.load(Ordering::Relaxed) >= probe.0
    }

    /// Whether both belong to the same connection.
    pub(crate) fn is_same_connection(&self, other: &Self) -> bool {
        self.jobs.same_channel(&other.jobs)
    }

    /// Whether the writer is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Resolves when the writer is gone.
    pub(crate) async fn gone(&self) {
        self.jobs.closed().await;
    }
}

impl Frames {
    /// The next frame; `None` when all senders are dropped. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::select! {
            biased;
            Some(frame) = self.control.recv() => Some(frame),
            frame = self.jobs.recv() => frame,
        }
    }

    /// A frame that is in the queue now.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        self.control.try_recv().or_else(|_| self.jobs.try_recv()).ok()
    }
}

/// The progress of one job's messages through one connection's queue.
#[derive(Debug)]
pub(crate) struct AckTracker {
    progress: Mutex<Progress>,
    /// Cancelled at the end of the job's round: nothing of the round may be sent after that.
    round: CancellationToken,
    changed: Notify,
}

#[derive(Debug)]
struct Progress {
    begun: usize,
    written: usize,
    revoked: bool,
}

impl AckTracker {
    /// A tracker that starts at a position.
    pub(crate) fn new(from: usize, round: CancellationToken) -> Arc<Self> {
        let progress = Progress { begun: from, written: from, revoked: false };
        Arc::new(Self { progress: Mutex::new(progress), round, changed: Notify::new() })
    }

    /// Revokes all messages that are not begun; returns the position up to which they are begun.
    pub(crate) fn revoke(&self) -> usize {
        let mut progress = self.lock();
        progress.revoked = true;
        progress.begun
    }

    /// The position up to which the socket has the answer.
    pub(crate) fn written(&self) -> usize {
        self.lock().written
    }

    /// Whether every begun message is written.
    pub(crate) fn is_settled(&self) -> bool {
        let progress = self.lock();
        progress.begun == progress.written
    }

    /// Resolves when an awaited message was written, or any message after [`AckTracker::revoke`].
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // No code that can panic runs under this lock.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Travels with a message and records when it is begun and written.
#[derive(Debug)]
pub(crate) struct Ack {
    tracker: Arc<AckTracker>,
    upto: usize,
    awaited: bool,
}

impl Ack {
    /// An ack for the message that ends at `upto`; `awaited` messages wake [`AckTracker::changed`].
    pub(crate) fn new(tracker: &Arc<AckTracker>, upto: usize, awaited: bool) -> Self {
        Self { tracker: Arc::clone(tracker), upto, awaited }
    }

    /// Called before the message is written; false when it must not be.
    pub(crate) fn begin(&self) -> bool {
        if self.tracker.round.is_cancelled() {
            return false;
        }
        let mut progress = self.tracker.lock();
        if !progress.revoked {
            progress.begun = progress.begun.max(self.upto);
        }
        !progress.revoked
    }

    /// The socket has the message.
    pub(crate) fn mark_written(self) {
        let mut progress = self.tracker.lock();
        progress.written = progress.written.max(self.upto);
        let wakes = self.awaited || progress.revoked;
        drop(progress);
        if wakes {
            self.tracker.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_message_is_awaited_and_a_revoked_one_never_sent() {
        let tracker = AckTracker::new(3, CancellationToken::new());
        let (first, second) = (Ack::new(&tracker, 5, false), Ack::new(&tracker, 9, false));
        assert!(first.begin() && !tracker.is_settled());
        assert_eq!(tracker.revoke(), 5);
        assert!(!second.begin());
        assert_eq!((tracker.is_settled(), tracker.written()), (false, 3));
        first.mark_written();
        assert_eq!((tracker.is_settled(), tracker.written()), (true, 5));
    }

    #[test]
    fn nothing_is_sent_after_the_end_of_its_round() {
        let round = CancellationToken::new();
        let tracker = AckTracker::new(0, round.clone());
        let ack = Ack::new(&tracker, 1, false);
        round.cancel();
        assert!(!ack.begin() && tracker.is_settled());
    }
}
