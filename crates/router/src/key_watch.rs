//! Ends what revoked keys have: the connections of workers, and the requests of clients.
//!
//! The key file is watched, and looked at each second besides, for changes that the system does not report: those of another
//! host on a shared file system. The connection of a worker also ends when the time of its key is over. A request does not:
//! it was accepted while its key was good.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::KeyStatus;
use auxot_folder_watch::FileWatch;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::shared::RouterState;

/// The longest time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two writes of when keys were used.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);

/// Watches the key file until `end`, also while the last requests are answered.
pub(crate) async fn serve(state: Arc<RouterState>, end: CancellationToken) {
    let Some(file) = state.config.keys.file.as_deref() else { return };
    tokio::select! {
        () = end_uses(&state, file) => {}
        () = write_uses(&state) => {}
        () = end.cancelled() => {}
    }
    write(&state).await;
}

/// Writes when keys were last used, at times.
async fn write_uses(state: &RouterState) {
    while write(state).await {
        tokio::time::sleep(WRITE_INTERVAL).await;
    }
    std::future::pending().await
}

/// Whether it can be written.
async fn write(state: &RouterState) -> bool {
    // A worker uses its key as long as it is connected.
    state.hub.link_keys().iter().for_each(|key| state.verifier.last_uses().record(key));
    let written = state.verifier.write_last_uses().await;
    if let Err(error) = &written {
        tracing::warn!(%error, "when keys were last used is known until the end of this run only: cannot write it beside the key file");
    }
    written.is_ok()
}

/// Ends what keys have that are not good any more.
async fn end_uses(state: &RouterState, file: &Path) {
    let mut watch = FileWatch::open("the key file: it is looked at each second");
    watch.follow(Some(file)).await;
    let mut last = 0;
    loop {
        let keys = state.verifier.refresh().await;
        if std::mem::replace(&mut last, keys.version) != keys.version {
            state.hub.end_revoked(|key| state.verifier.status(key) == KeyStatus::Revoked);
            // Another folder may lead to the file now.
            watch.follow(Some(file)).await;
        }
        let next_end = state.hub.end_links_of_bad_keys(|key| state.verifier.status(key));
        let until_next = next_end.and_then(|end| Duration::try_from(end.duration_since(Timestamp::now())).ok());
        let pause = [keys.look_again, until_next].into_iter().flatten().fold(INTERVAL, Duration::min);
        tokio::select! {
            // The next look sees the change that was being examined when the pause was over.
            () = watch.next_change() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
