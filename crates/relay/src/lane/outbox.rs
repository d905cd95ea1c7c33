//! The bounded way out of one lane: frames in, one flush for all that is there.
//!
//! A frame waits here until the writer has it in the socket. The queue is short on purpose: when
//! the router reads slowly the queue fills, `reserve` waits, an exchange stops reading its engine
//! and merges what it has, and nothing grows. Beside it is a shorter one for what the worker says of
//! itself, which the writer takes first: a lane full of text must not look like a dead worker.

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::exchange::delivery::Receipt;

/// Frames of jobs that may wait for the socket.
const DEPTH: usize = 64;
/// Frames about the worker itself that may wait.
const CONTROL_DEPTH: usize = 8;

/// One message on its way out.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A protocol message.
    Text(Utf8Bytes, Option<Receipt>),
    /// A WebSocket ping, to hear whether the router still lives.
    Ping,
    /// The polite end; nothing is written after it.
    Close,
}

impl Frame {
    /// A message that nobody follows.
    pub(crate) fn text(text: String) -> Self {
        Self::Text(text.into(), None)
    }
}

/// Room for one frame, held until it is used or dropped.
pub(crate) type Room = mpsc::OwnedPermit<Frame>;

/// The lane is gone; what was to be sent was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneGone;

/// A handle to one lane's writer.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    jobs: mpsc::Sender<Frame>,
    control: mpsc::Sender<Frame>,
}

/// The writer's end of an outbox.
#[derive(Debug)]
pub(crate) struct Frames {
    jobs: mpsc::Receiver<Frame>,
    control: mpsc::Receiver<Frame>,
}

impl Outbox {
    /// A new lane's outbox and what its writer reads from.
    pub(crate) fn new() -> (Self, Frames) {
        let (jobs, from_jobs) = mpsc::channel(DEPTH);
        let (control, from_control) = mpsc::channel(CONTROL_DEPTH);
        (Self { jobs, control }, Frames { jobs: from_jobs, control: from_control })
    }

    /// Waits for room behind everything that is there, and sends.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), LaneGone> {
        self.jobs.send(frame).await.map_err(|_| LaneGone)
    }

    /// Waits for room without giving up the frame's making: text merges until there is room.
    pub(crate) async fn reserve(&self) -> Result<Room, LaneGone> {
        self.jobs.clone().reserve_owned().await.map_err(|_| LaneGone)
    }

    /// Room that is there now.
    pub(crate) fn try_reserve(&self) -> Option<Room> {
        self.jobs.clone().try_reserve_owned().ok()
    }

    /// Sends what the worker says of itself, before all jobs' frames; false if even that queue is full.
    pub(crate) fn try_control(&self, frame: Frame) -> bool {
        self.control.try_send(frame).is_ok()
    }

    /// The same, waiting for room.
    pub(crate) async fn control(&self, frame: Frame) -> Result<(), LaneGone> {
        self.control.send(frame).await.map_err(|_| LaneGone)
    }

    /// Whether both lead to the same lane.
    pub(crate) fn is_same_lane(&self, other: &Self) -> bool {
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
