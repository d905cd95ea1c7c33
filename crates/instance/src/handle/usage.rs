//! Who uses an instance at this moment, and whether they get anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by the handles, which count up, and the driver, which waits for zero.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    claims: AtomicUsize,
    progress: AtomicU64,
    /// Only the driver waits here, and `notify_one` keeps its permit, so no wake-up can be lost.
    emptied: Notify,
}

impl Usage {
    pub(crate) fn claims(&self) -> usize {
        self.claims.load(Ordering::Acquire)
    }

    /// A number that differs from an earlier one if any user has got something meanwhile.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Waits until nobody holds a claim. For one waiter only.
    pub(crate) async fn emptied(&self) {
        while self.claims() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// Says "in use" for as long as it lives: a draining instance is not stopped before its last claim is gone, or its
/// drain time is over.
#[derive(Debug)]
#[must_use = "dropping a claim gives it up"]
pub struct Claim {
    usage: Arc<Usage>,
}

impl Claim {
    pub(crate) fn new(usage: &Arc<Usage>) -> Claim {
        usage.claims.fetch_add(1, Ordering::AcqRel);
        Claim { usage: Arc::clone(usage) }
    }

    /// Something came from the engine. This is the pulse of a busy engine: while it beats, nothing else is asked.
    pub fn progress(&self) {
        self.usage.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.usage.claims.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.usage.emptied.notify_one();
        }
    }
}
