//! The bounded way out of one lane: frames in, one flush for all that is there.
//!
//! A frame waits here until the writer has it in the socket. The queue is short on purpose: when
//! the router reads slowly the queue fills, `reserve` waits, an exchange stops reading its engine
//! and merges what it has, and nothing grows. Beside it is a shorter one for what the worker says of
//! itself, which the writer takes first: a lane full of text must not look like a dead worker.

pub(crate) mod ack;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::send_queue::ack::Ack;

/// Frames of jobs that may wait for the socket.
const DEPTH: usize = 64;
/// Frames about the worker itself that may wait.
const CONTROL_DEPTH: usize = 8;

/// One message on its way out.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A protocol message.
    Text(Utf8Bytes, Option<Ack>),
    /// A WebSocket ping, to hear whether the router still lives, or what it has read.
    Ping(Probe),
    /// The polite end; nothing is written after it.
    Close,
}

impl Frame {
    /// A message that nobody follows.
    pub(crate) fn text(text: String) -> Self {
        Self::Text(text.into(), None)
    }
}

/// The number of a ping on its lane. The router answers pings in the order in which it reads, so the answer shows that
/// it has read all that was written before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Probe(u64);

impl Probe {
    /// What the ping carries, and its answer brings back.
    pub(crate) fn payload(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The probe that an answer is for, if it is for one.
    pub(crate) fn answered(payload: &[u8]) -> Option<Self> {
        payload.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// Room for one frame, held until it is used or dropped.
pub(crate) type Permit = mpsc::OwnedPermit<Frame>;

/// The lane is gone; what was to be sent was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionGone;

/// A handle to one lane's writer.
#[derive(Debug, Clone)]
pub(crate) struct SendQueue {
    jobs: mpsc::Sender<Frame>,
    control: mpsc::Sender<Frame>,
    probes: Arc<Probes>,
}

/// The pings of one lane, and the newest that is answered.
#[derive(Debug, Default)]
struct Probes {
    sent: AtomicU64,
    answered: AtomicU64,
}

/// The writer's end of an outbox.
#[derive(Debug)]
pub(crate) struct Frames {
    jobs: mpsc::Receiver<Frame>,
    control: mpsc::Receiver<Frame>,
}

impl SendQueue {
    /// A new lane's outbox and what its writer reads from.
    pub(crate) fn new() -> (Self, Frames) {
        let (jobs, from_jobs) = mpsc::channel(DEPTH);
        let (control, from_control) = mpsc::channel(CONTROL_DEPTH);
        (Self { jobs, control, probes: Arc::default() }, Frames { jobs: from_jobs, control: from_control })
    }

    /// Waits for room behind everything that is there, and sends.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), ConnectionGone> {
        self.jobs.send(frame).await.map_err(|_| ConnectionGone)
    }

    /// Waits for room without giving up the frame's making: text merges until there is room.
    pub(crate) async fn reserve(&self) -> Result<Permit, ConnectionGone> {
        self.jobs.clone().reserve_owned().await.map_err(|_| ConnectionGone)
    }

    /// Room that is there now.
    pub(crate) fn try_reserve(&self) -> Option<Permit> {
        self.jobs.clone().try_reserve_owned().ok()
    }

    /// Sends what the worker says of itself, before all jobs' frames; false if even that queue is full.
    pub(crate) fn try_control(&self, frame: Frame) -> bool {
        self.control.try_send(frame).is_ok()
    }

    /// The same, waiting for room.
    pub(crate) async fn control(&self, frame: Frame) -> Result<(), ConnectionGone> {
        self.control.send(frame).await.map_err(|_| ConnectionGone)
    }

    /// The next ping of this lane, to be sent.
    pub(crate) fn probe(&self) -> Probe {
        Probe(self.probes.sent.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Asks whether the router has read what is in the socket; `None` where there is no room for the question.
    pub(crate) fn ask_read(&self) -> Option<Probe> {
        let probe = self.probe();
        self.try_control(Frame::Ping(probe)).then_some(probe)
    }

    /// The router has answered a ping.
    pub(crate) fn answered(&self, probe: Probe) {
        // Not more than was asked: the number comes from outside.
        let known = probe.0.min(self.probes.sent.load(Ordering::Relaxed));
        self.probes.answered.fetch_max(known, Ordering::Relaxed);
    }

    /// Whether the router has read all that was written before a ping.
    pub(crate) fn has_read(&self, probe: Probe) -> bool {
        self.probes.answered.load(Ordering::Relaxed) >= probe.0
    }

    /// Whether both lead to the same lane.
    pub(crate) fn is_same_connection(&self, other: &Self) -> bool {
        self.jobs.same_channel(&other.jobs)
    }

    /// Whether the lane's writer is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Resolves when the lane's writer is gone.
    pub(crate) async fn gone(&self) {
        self.jobs.closed().await;
    }
}

impl Frames {
    /// The next frame; `None` when nobody is left who could send one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::select! {
            biased;
            Some(frame) = self.control.recv() => Some(frame),
            frame = self.jobs.recv() => frame,
        }
    }

    /// A frame that is there already.
    pub(crate) fn try_next(&mut self) -> Option<Frame> {
        self.control.try_recv().or_else(|_| self.jobs.try_recv()).ok()
    }
}
