//! Which jobs share an engine: a suspect uses it alone when that is possible in time, so that a crash identifies one
//! request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::timeout;

/// How long a suspect waits for the running jobs of its engine.
const SUSPECT_WAIT: Duration = Duration::from_secs(30);
/// How long another job waits for a suspect: while the suspect waits for the engine, and as long again while it runs.
const OTHERS_WAIT: Duration = Duration::from_secs(60);

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
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::Instant;

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
