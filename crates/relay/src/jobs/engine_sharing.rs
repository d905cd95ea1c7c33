//! Who shares an engine with whom: a suspect has it alone where that is possible in time, so that a crash names one request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::timeout;

/// How long a suspect waits for the jobs that its engine has.
const SUSPECT_WAIT: Duration = Duration::from_secs(30);
/// How long other jobs wait for a suspect: while it waits for its engine to be clear, and as long again while it runs.
const OTHERS_WAIT: Duration = Duration::from_secs(60);

/// Jobs by the model whose engine they use.
#[derive(Debug, Default)]
pub(crate) struct EngineSharing {
    engines: Mutex<HashMap<String, Arc<RwLock<()>>>>,
}

/// A job's share of an engine, until it is dropped.
#[derive(Debug)]
pub(crate) enum Share {
    /// With others.
    Common { _share: OwnedRwLockReadGuard<()> },
    /// By itself.
    Alone { _share: OwnedRwLockWriteGuard<()> },
    /// With others, and not waited for: its own wait was over.
    Late,
}

impl EngineSharing {
    /// Waits for the end of a suspect that has the engine alone.
    pub(crate) async fn join(&self, model: &str) -> Share {
        match timeout(OTHERS_WAIT, self.engine(model).read_owned()).await {
            Ok(share) => Share::Common { _share: share },
            Err(_) => Share::Late,
        }
    }

    /// Waits for the jobs that the engine has; later ones wait for this one.
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
        // Models come and go; those that are in use are as few as jobs.
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
    async fn a_suspect_waits_for_the_others_and_they_for_it_and_nobody_for_ever() {
        let sharing = EngineSharing::default();
        let (first, second) = (sharing.join("a").await, sharing.join("a").await);
        assert!(
            matches!((&first, &second), (Share::Common { .. }, Share::Common { .. })),
            "without a suspect none waits"
        );
        let mut suspect = Box::pin(sharing.alone("a"));
        assert!((&mut suspect).now_or_never().is_none());
        let mut later = Box::pin(sharing.join("a"));
        assert!((&mut later).now_or_never().is_none(), "who comes later waits for the suspect");
        assert!(matches!(sharing.join("b").await, Share::Common { .. }), "another engine is none of its business");
        drop((first, second));
        let suspect = suspect.await;
        assert!(matches!(suspect, Share::Alone { .. }));
        assert!((&mut later).now_or_never().is_none());
        drop(suspect);
        assert!(matches!(later.await, Share::Common { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn both_waits_have_an_end() {
        let sharing = EngineSharing::default();
        let (begun, endless) = (Instant::now(), sharing.join("a").await);
        assert!(matches!(sharing.alone("a").await, Share::Late));
        assert_eq!(begun.elapsed().as_secs(), SUSPECT_WAIT.as_secs());
        assert!(matches!(sharing.join("a").await, Share::Common { .. }), "nobody waits for one that has given up");
        drop(endless);
        let (begun, _suspect) = (Instant::now(), sharing.alone("a").await);
        assert!(matches!(sharing.join("a").await, Share::Late));
        assert_eq!(begun.elapsed().as_secs(), OTHERS_WAIT.as_secs());
    }
}
