//! How much of one job's answer has been written to one connection.
//!
//! Positions are bytes of the job's transcript; the terminal message is the position after its end. A message is *begun*
//! when it can no longer be revoked, and *written* when the socket has it. A job that leaves a live connection revokes the
//! messages that are not begun and waits for the others, so it knows exactly where to continue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

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
