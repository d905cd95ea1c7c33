//! Requests during which an engine crashed: such a request must not crash one engine after the other.
//!
//! A crash shows that one of the engine's requests may be its cause, but not which. So each of them is a suspect. A suspect
//! runs once more, and only one suspect at a time may be before its first text: a second crash then identifies it. A request
//! with two crashes is refused for an hour, from every caller. A complete answer clears it.
//!
//! A suspect uses its engine alone when that is possible in time, so that a crash identifies one request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore};
use tokio::time::timeout;

/// The most requests that are stored; the oldest are dropped first.
const COUNT: usize = 256;
/// How long a request is stored.
const REMEMBERED_FOR: Duration = Duration::from_secs(60 * 60);
/// Crashes after which a request is refused.
const CRASHES: u8 = 2;
/// How long a suspect waits for the running jobs of its engine.
const SUSPECT_WAIT: Duration = Duration::from_secs(30);
/// How long another job waits for a suspect: while the suspect waits for the engine, and as long again while it runs.
const OTHERS_WAIT: Duration = Duration::from_secs(60);

/// The requests of recent crashes.
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

/// The crashes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashHistory {
    /// No crash is known.
    Clear,
    /// One engine crashed during it.
    Suspect,
    /// It is refused: as many engines crashed during it as may.
    Refused,
}

/// Held by the one suspect that may be before its first text.
pub(crate) type SuspectPermit = OwnedSemaphorePermit;

impl Default for CrashSuspects {
    fn default() -> Self {
        Self { seen: Mutex::default(), permit: Arc::new(Semaphore::new(1)) }
    }
}

impl CrashSuspects {
    /// The crashes of a request.
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

    /// A request has a complete answer.
    pub(crate) fn answered(&self, request: u64) {
        self.lock().retain(|suspect| suspect.request != request);
    }

    /// Waits until no other suspect is before its first text.
    pub(crate) async fn permit(&self) -> Option<SuspectPermit> {
        // The semaphore is never closed.
        Arc::clone(&self.permit).acquire_owned().await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Suspect>> {
        // Every change adds or removes a whole entry.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while seen.front().is_some_and(|suspect| suspect.until <= now) {
            seen.pop_front();
        }
        seen
    }
}

/// The jobs of each engine, by model.
#[derive(Debug, Default)]
pub(crate) struct EngineSharing {
    engines: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

/// A job's use of an engine, until it is dropped.
#[derive(Debug)]
pub(crate) enum Share {
    /// With other jobs.
    Common { _share: OwnedRwLockReadGuard<()> },
    /// Alone.
    Alone { _share: OwnedRwLockWriteGuard<()> },
    /// With other jobs and not counted, because its wait timed out.
    Late,
}

impl EngineSharing {
    /// Waits for the end of a suspect that uses the engine alone.
    pub(crate) async fn join(&self, model: &str) -> Share {
        match timeout(OTHERS_WAIT, self.engine(model).read_owned()).await {
            Ok(share) => Share::Common { _share: share },
            Err(_) => Share::Late,
        }
    }

    /// Waits for the running jobs of the engine; later jobs wait for this one.
    pub(crate) async fn alone(&self, model: &str) -> Share {
        match timeout(SUSPECT_WAIT, self.engine(model).write_owned()).await {
            Ok(share) => Share::Alone { _share: share },
            Err(_) => Share::Late,
        }
    }

    fn engine(&self, model: &str) -> Arc<RwLock<()>> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(model) {
            return Arc::clone(engine);
        }
        // Entries of models without a job are dropped, so the map is bounded by the number of jobs.
        engines.retain(|_, engine| Arc::strong_count(engine) > 1);
        Arc::clone(engines.entry(model.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_request_with_two_crashes_is_refused_and_an_answer_clears_it() {
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
        assert_eq!(suspects.look_up(1), CrashHistory::Clear, "the number of entries is bounded");
    }

    #[tokio::test]
    async fn one_suspect_at_a_time() {
        let suspects = CrashSuspects::default();
        let first = suspects.permit().now_or_never();
        assert!(first.is_some() && suspects.permit().now_or_never().is_none());
        drop(first);
        assert!(suspects.permit().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspect_waits_for_the_others_and_they_wait_for_it() {
        let sharing = EngineSharing::default();
        let (first, second) = (sharing.join("a").await, sharing.join("a").await);
        assert!(
            matches!((&first, &second), (Share::Common { .. }, Share::Common { .. })),
            "without a suspect no job waits"
        );
        let mut suspect = Box::pin(sharing.alone("a"));
        assert!((&mut suspect).now_or_never().is_none());
        let mut later = Box::pin(sharing.join("a"));
        assert!((&mut later).now_or_never().is_none(), "a later job waits for the suspect");
        assert!(matches!(sharing.join("b").await, Share::Common { .. }), "another engine is not affected");
        drop((first, second));
        let suspect = suspect.await;
        assert!(matches!(suspect, Share::Alone { .. }));
        assert!((&mut later).now_or_never().is_none());
        drop(suspect);
        assert!(matches!(later.await, Share::Common { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn both_waits_time_out() {
        let sharing = EngineSharing::default();
        let (begun, endless) = (Instant::now(), sharing.join("a").await);
        assert!(matches!(sharing.alone("a").await, Share::Late));
        assert_eq!(begun.elapsed().as_secs(), SUSPECT_WAIT.as_secs());
        assert!(
            matches!(sharing.join("a").await, Share::Common { .. }),
            "no job waits for a suspect whose wait timed out"
        );
        drop(endless);
        let (begun, _suspect) = (Instant::now(), sharing.alone("a").await);
        assert!(matches!(sharing.join("a").await, Share::Late));
        assert_eq!(begun.elapsed().as_secs(), OTHERS_WAIT.as_secs());
    }
}
