//! Jobs during which an engine crashed: a request that ends an engine must not end one after the other.
//!
//! A crash tells that one of the jobs of the engine may be its cause, not which. So each of them is a suspect from then
//! on. A suspect runs once more, and only one suspect at a time is before its first text, so that a second crash names
//! one. A request of two crashes is refused for a while, whoever sends it. A good answer clears it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that are remembered at most; the oldest go first.
const COUNT: usize = 256;
/// For how long a request is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);
/// Crashes after which a request is refused.
const CRASHES: u8 = 2;

/// The requests of the last crashes.
#[derive(Debug)]
pub(crate) struct CrashSuspects {
    seen: Mutex<VecDeque<Suspect>>,
    permit: Arc<Semaphore>,
}

#[derive(Debug)]
struct Suspect {
    request: u64,
    crashes: u8,
    until: Instant,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashHistory {
    /// Nothing bad.
    Clear,
    /// An engine crashed during it.
    Suspect,
    /// It has ended as many engines as it may.
    Refused,
}

/// The one place for a suspect that has not said anything yet.
pub(crate) type SuspectPermit = OwnedSemaphorePermit;

impl Default for CrashSuspects {
    fn default() -> Self {
        Self { seen: Mutex::default(), permit: Arc::new(Semaphore::new(1)) }
    }
}

impl CrashSuspects {
    /// What is known of a request.
    pub(crate) fn look_up(&self, request: u64) -> CrashHistory {
        let seen = self.lock();
        match seen.iter().find(|suspect| suspect.request == request) {
            Some(suspect) if suspect.crashes >= CRASHES => CrashHistory::Refused,
            Some(_) => CrashHistory::Suspect,
            None => CrashHistory::Clear,
        }
    }

    /// An engine crashed during a request.
    pub(crate) fn crashed(&self, request: u64) -> CrashHistory {
        let mut seen = self.lock();
        let before = seen.iter().position(|suspect| suspect.request == request).and_then(|at| seen.remove(at));
        let crashes = before.map_or(1, |suspect| suspect.crashes.saturating_add(1));
        seen.push_back(Suspect { request, crashes, until: Instant::now() + REMEMBERED_FOR });
        while seen.len() > COUNT {
            seen.pop_front();
        }
        if crashes >= CRASHES { CrashHistory::Refused } else { CrashHistory::Suspect }
    }

    /// A request has its answer.
    pub(crate) fn answered(&self, request: u64) {
        self.lock().retain(|suspect| suspect.request != request);
    }

    /// Waits until no other suspect is before its first text.
    pub(crate) async fn permit(&self) -> Option<SuspectPermit> {
        // The semaphore is never closed.
        Arc::clone(&self.permit).acquire_owned().await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Suspect>> {
        // Every change is one of whole entries.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while seen.front().is_some_and(|suspect| suspect.until <= now) {
            seen.pop_front();
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_of_two_crashes_is_refused_and_a_good_answer_clears_it() {
        let suspects = CrashSuspects::default();
        assert_eq!(suspects.look_up(1), CrashHistory::Clear);
        assert_eq!((suspects.crashed(1), suspects.look_up(1)), (CrashHistory::Suspect, CrashHistory::Suspect));
        suspects.answered(1);
        assert_eq!((suspects.look_up(1), suspects.crashed(1)), (CrashHistory::Clear, CrashHistory::Suspect));
        assert_eq!((suspects.crashed(1), suspects.look_up(1)), (CrashHistory::Refused, CrashHistory::Refused));
        assert_eq!(suspects.look_up(2), CrashHistory::Clear);
        for request in 10..10 + COUNT as u64 {
            suspects.crashed(request);
        }
        assert_eq!(suspects.look_up(1), CrashHistory::Clear, "what is remembered is bounded");
    }

    #[tokio::test]
    async fn one_suspect_at_a_time() {
        use futures_util::FutureExt;
        let suspects = CrashSuspects::default();
        let first = suspects.permit().now_or_never();
        assert!(first.is_some() && suspects.permit().now_or_never().is_none());
        drop(first);
        assert!(suspects.permit().now_or_never().is_some());
    }
}
