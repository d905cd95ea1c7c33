//! Connections to engines that have answered and can take another request.
//!
//! One more request over a connection saves the engine and this program a dozen system calls. An engine has a thread for each
//! connection and does not end before the last one is closed, so few are kept, for a short time, and none of an engine that
//! is being stopped.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use auxot_llama::{Endpoint, KeptConnection};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// The most connections that are kept for one engine.
const MOST_KEPT: usize = 8;
/// How long one is kept: an engine closes it after five seconds.
const KEPT_TIME: Duration = Duration::from_secs(2);

/// The connections that are kept, by the address of their engine.
#[derive(Debug, Default)]
pub(crate) struct KeptConnections(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// An engine without one is here until its task sees that.
    engines: HashMap<OsString, Vec<(Instant, KeptConnection)>>,
    /// One task for each of these engines.
    watching: JoinSet<()>,
}

impl KeptConnections {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last and that its engine has not closed.
    pub(crate) fn take(&self, endpoint: &Endpoint) -> Option<KeptConnection> {
        let mut kept = self.lock();
        let engine = kept.engines.get_mut(&*endpoint.name())?;
        std::iter::from_fn(|| engine.pop()).map(|(_, connection)| connection).find(KeptConnection::is_open)
    }

    /// Keeps a connection until its time is over, or until its engine stops, which `stopping` waits for.
    pub(crate) fn put<F>(
        self: &Arc<Self>,
        endpoint: &Endpoint,
        connection: KeptConnection,
        stopping: impl FnOnce() -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = endpoint.name();
        let mut kept = self.lock();
        let until = Instant::now() + KEPT_TIME;
        if let Some(engine) = kept.engines.get_mut(&*address) {
            if engine.len() >= MOST_KEPT {
                engine.remove(0);
            }
            engine.push((until, connection));
            return;
        }
        while kept.watching.try_join_next().is_some() {}
        let address = address.into_owned();
        kept.engines.insert(address.clone(), vec![(until, connection)]);
        kept.watching.spawn(watch(Arc::downgrade(self), address, stopping()));
    }

    /// Closes what has been kept long enough; returns when the next one has. Forgets an engine without any.
    fn expire(&self, address: &OsStr) -> Option<Instant> {
        let mut kept = self.lock();
        let engine = kept.engines.get_mut(address)?;
        let now = Instant::now();
        engine.retain(|(until, _)| *until > now);
        // The oldest is the first: the last one is taken first and put back at the end.
        let next = engine.first().map(|(until, _)| *until);
        if next.is_none() {
            kept.engines.remove(address);
        }
        next
    }
}

/// Closes the connections to one engine in time.
async fn watch(all: Weak<KeptConnections>, address: OsString, stopping: impl Future<Output = ()> + Send) {
    tokio::pin!(stopping);
    loop {
        let Some(next) = all.upgrade().and_then(|all| all.expire(&address)) else { return };
        tokio::select! {
            () = &mut stopping => {
                if let Some(all) = all.upgrade() {
                    all.lock().engines.remove(&address);
                }
                return;
            }
            () = sleep_until(next) => {}
        }
    }
}

#[cfg(test)]
mod tests;
