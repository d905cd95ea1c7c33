//! Who uses an engine at this moment, and whether they get anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by the handles, which count up, and the driver, which waits for zero.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    claims: AtomicUsize,
    awaiting: AtomicUsize,
    held_back: AtomicUsize,
    suspects: AtomicUsize,
    progress: AtomicU64,
    answers: AtomicU64,
    /// Only the driver waits here, and `notify_one` keeps its permit, so no wake-up can be lost.
    emptied: Notify,
}

impl Usage {
    pub(crate) fn claims(&self) -> usize {
        self.claims.load(Ordering::Acquire)
    }

    /// How many users wait for something of the engine at this moment.
    pub(crate) fn awaiting(&self) -> usize {
        self.awaiting.load(Ordering::Relaxed)
    }

    /// How many users do not take what the engine has for them.
    pub(crate) fn held_back(&self) -> usize {
        self.held_back.load(Ordering::Relaxed)
    }

    /// How many users have a request during which an engine has crashed before.
    pub(crate) fn suspects(&self) -> usize {
        self.suspects.load(Ordering::Acquire)
    }

    /// A number that differs from an earlier one if any user has got something meanwhile.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// How many users have got their whole answer, of all lives together.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Waits until nobody holds a claim. For one waiter only.
    pub(crate) async fn emptied(&self) {
        while self.claims() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// Says "in use" for as long as it lives: a draining engine is not stopped before its last claim is gone, or its
/// drain time is over.
#[derive(Debug)]
#[must_use = "dropping a claim gives it up"]
pub struct Claim {
    usage: Arc<Usage>,
    is_suspect: bool,
}

impl Claim {
    pub(crate) fn new(usage: &Arc<Usage>) -> Claim {
        usage.claims.fetch_add(1, Ordering::AcqRel);
        Claim { usage: Arc::clone(usage), is_suspect: false }
    }

    /// Says that an engine has crashed during this user's request before: should this one crash too, it is not the engine's
    /// failure.
    pub fn suspect(&mut self) {
        if !std::mem::replace(&mut self.is_suspect, true) {
            self.usage.suspects.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Says "waiting for the engine" until the guard is dropped: if it has nothing to do then, it has lost the request.
    pub fn awaits(&self) -> Awaiting {
        self.usage.awaiting.fetch_add(1, Ordering::Relaxed);
        Awaiting { usage: Arc::clone(&self.usage), held_back: false }
    }

    /// This user has got its whole answer.
    pub fn answered(&self) {
        self.usage.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Something came from the engine. This is the pulse of a busy engine: while it beats, nothing else is asked.
    pub fn progress(&self) {
        self.usage.progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// Says "waiting for the engine" for as long as it lives.
#[derive(Debug)]
#[must_use = "dropping it says that nothing more is waited for"]
pub struct Awaiting {
    usage: Arc<Usage>,
    held_back: bool,
}

impl Awaiting {
    /// Whether what there is of the engine is not taken at this moment: it stands still then through no fault of its own.
    pub fn hold_back(&mut self, held_back: bool) {
        if held_back != self.held_back {
            self.counter().fetch_sub(1, Ordering::Relaxed);
            self.held_back = held_back;
            self.counter().fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter(&self) -> &AtomicUsize {
        if self.held_back { &self.usage.held_back } else { &self.usage.awaiting }
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.counter().fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_suspect {
            self.usage.suspects.fetch_sub(1, Ordering::AcqRel);
        }
        if self.usage.claims.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.usage.emptied.notify_one();
        }
    }
}
