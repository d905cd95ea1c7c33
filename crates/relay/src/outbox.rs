//! The bounded way out of one lane: frames in, one flush for all that is there.
//!
//! A frame waits here until the writer has it in the socket. The queue is short on purpose: when
//! the router reads slowly the queue fills, `reserve` waits, an exchange stops reading its engine
//! and merges what it has, and nothing grows. Whoever needs to know that a frame has really left
//! attaches a [`Receipt`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

/// Frames that may wait for the socket.
const DEPTH: usize = 64;

/// One message on its way out.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A protocol message.
    Text(String, Option<Receipt>),
    /// A WebSocket ping, to hear whether the router still lives.
    Ping,
    /// The polite end; nothing is written after it.
    Close,
}

/// Notes how far a job's text has been written to the socket.
#[derive(Debug)]
pub(crate) struct Receipt {
    delivered: Arc<AtomicUsize>,
    upto: usize,
    terminal: Option<oneshot::Sender<()>>,
}

impl Receipt {
    pub(crate) fn new(delivered: &Arc<AtomicUsize>, upto: usize) -> Self {
        Self { delivered: Arc::clone(delivered), upto, terminal: None }
    }

    /// The receipt of a job's last frame, which somebody waits for.
    pub(crate) fn terminal(delivered: &Arc<AtomicUsize>, upto: usize, written: oneshot::Sender<()>) -> Self {
        Self { delivered: Arc::clone(delivered), upto, terminal: Some(written) }
    }

    /// The frame is in the socket.
    pub(crate) fn sign(self) {
        // A lane that a job has left may sign after its successor: what is delivered stays delivered.
        self.delivered.fetch_max(self.upto, Ordering::Relaxed);
        if let Some(terminal) = self.terminal {
            // Nobody waiting any more is fine: the frame is out either way.
            let _ = terminal.send(());
        }
    }
}

/// The lane is gone; what was to be sent was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneGone;

/// A handle to one lane's writer.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<Frame>,
}

impl Outbox {
    /// A new lane's outbox and what its writer reads from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Frame>) {
        let (sender, receiver) = mpsc::channel(DEPTH);
        (Self { sender }, receiver)
    }

    /// Waits for room and sends.
    pub(crate) async fn send(&self, frame: Frame) -> Result<(), LaneGone> {
        self.sender.send(frame).await.map_err(|_| LaneGone)
    }

    /// Waits for room without giving up the frame's making: text merges until there is room.
    pub(crate) async fn reserve(&self) -> Result<mpsc::OwnedPermit<Frame>, LaneGone> {
        self.sender.clone().reserve_owned().await.map_err(|_| LaneGone)
    }

    /// Room that is there now.
    pub(crate) fn try_reserve(&self) -> Result<mpsc::Permit<'_, Frame>, mpsc::error::TrySendError<()>> {
        self.sender.try_reserve()
    }

    /// Sends now or not at all: the unwinding path, which cannot wait.
    pub(crate) fn try_send(&self, frame: Frame) -> bool {
        self.sender.try_send(frame).is_ok()
    }

    /// Whether both lead to the same lane.
    pub(crate) fn is_same_lane(&self, other: &Self) -> bool {
        self.sender.same_channel(&other.sender)
    }

    /// Whether the lane's writer is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// Resolves when the lane's writer is gone.
    pub(crate) async fn gone(&self) {
        self.sender.closed().await;
    }
}
