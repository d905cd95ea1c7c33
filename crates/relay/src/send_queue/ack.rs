//! How far one job's answer has got by one lane.
//!
//! Positions are bytes of the job's transcript; the terminal message is the one position after its
//! end. A message is *begun* when it can no longer be kept from the socket, and *written* when the
//! socket has it. A job that leaves a living lane revokes what is not begun and waits for the rest,
//! so that it knows exactly where to go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// One job's way through one lane's queue.
#[derive(Debug)]
pub(crate) struct AckTracker {
    progress: Mutex<Progress>,
    /// The round that this is part of: with its end nothing of it may go out any more.
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
    /// A delivery that starts at a position.
    pub(crate) fn new(from: usize, round: CancellationToken) -> Arc<Self> {
        let progress = Progress { begun: from, written: from, revoked: false };
        Arc::new(Self { progress: Mutex::new(progress), round, changed: Notify::new() })
    }

    /// Keeps everything that is not begun from going out; up to where it is begun.
    pub(crate) fn revoke(&self) -> usize {
        let mut progress = self.lock();
        progress.revoked = true;
        progress.begun
    }

    /// Up to where the socket has it.
    pub(crate) fn written(&self) -> usize {
        self.lock().written
    }

    /// Whether nothing is between the queue and the socket.
    pub(crate) fn is_settled(&self) -> bool {
        let progress = self.lock();
        progress.begun == progress.written
    }

    /// Resolves when an awaited message has been written, or one of a revoked delivery.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing that can panic happens under this lock.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message carries with it to have its way noted.
#[derive(Debug)]
pub(crate) struct Ack {
    tracker: Arc<AckTracker>,
    upto: usize,
    awaited: bool,
}

impl Ack {
    /// A receipt for the message that ends at `upto`; `awaited` if somebody waits for it in particular.
    pub(crate) fn new(tracker: &Arc<AckTracker>, upto: usize, awaited: bool) -> Self {
        Self { tracker: Arc::clone(tracker), upto, awaited }
    }

    /// The message is about to go out; false if it no longer may.
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
        let heard = self.awaited || progress.revoked;
        drop(progress);
        if heard {
            self.tracker.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_is_waited_for_and_what_is_not_never_goes_out() {
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
    fn nothing_goes_out_after_the_end_of_its_round() {
        let round = CancellationToken::new();
        let tracker = AckTracker::new(0, round.clone());
        let ack = Ack::new(&tracker, 1, false);
        round.cancel();
        assert!(!ack.begin() && tracker.is_settled());
    }
}
