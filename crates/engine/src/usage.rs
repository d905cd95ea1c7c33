//! The use of an engine at this moment: who holds a claim on it, and whether the requests make progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counters that the claims change, and that the driver and the liveness check read.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    claims: AtomicUsize,
    awaiting: AtomicUsize,
    held_back: AtomicUsize,
    suspects: AtomicUsize,
    progress: AtomicU64,
    answers: AtomicU64,
}

impl Usage {
    pub(crate) fn claims(&self) -> usize {
        self.claims.load(Ordering::Acquire)
    }

    /// Requests that wait for the engine at this moment.
    pub(crate) fn awaiting(&self) -> usize {
        self.awaiting.load(Ordering::Relaxed)
    }

    /// Requests whose client does not read what the engine has produced.
    pub(crate) fn held_back(&self) -> usize {
        self.held_back.load(Ordering::Relaxed)
    }

    /// Requests during which an engine has crashed before.
    pub(crate) fn suspects(&self) -> usize {
        self.suspects.load(Ordering::Acquire)
    }

    /// A number that changes whenever a request gets something from the engine.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Complete answers of all runs together.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }
}

/// Marks an engine as in use until it is dropped.
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

    /// Records that an engine has crashed during this request before: if this engine crashes too, the request is to blame.
    pub fn suspect(&mut self) {
        if !std::mem::replace(&mut self.is_suspect, true) {
            self.usage.suspects.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Marks the request as waiting for the engine until the guard is dropped. An engine that has nothing to do meanwhile
    /// has lost the request.
    pub fn awaits(&self) -> Awaiting {
        self.usage.awaiting.fetch_add(1, Ordering::Relaxed);
        Awaiting { usage: Arc::clone(&self.usage), held_back: false }
    }

    /// The request has its complete answer.
    pub fn answered(&self) {
        self.usage.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// The request got something from the engine. As long as this happens, a busy engine is not checked otherwise.
    pub fn progress(&self) {
        self.usage.progress.fetch_add(1, Ordering::Relaxed);
    }
}

/// Marks a request as waiting for the engine until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it says that the request waits no more"]
pub struct Awaiting {
    usage: Arc<Usage>,
    held_back: bool,
}

impl Awaiting {
    /// Sets whether the client reads nothing at this moment: the engine may then stand still without a fault of its own.
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
        self.usage.claims.fetch_sub(1, Ordering::AcqRel);
    }
}
