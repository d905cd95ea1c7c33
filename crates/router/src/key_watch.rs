//! Ends what revoked keys have: the connections of workers, and the requests of clients.
//!
//! The key file is watched, and looked at each second besides, for changes that the system does not report: those of another
//! host on a shared file system. The connection of a worker also ends when the time of its key is over. A request does not:
//! it was accepted while its key was good.

use std::sync::Arc;
use std::time::Duration;

use auxot_access::KeyStatus;
use auxot_folder_watch::FileWatch;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::shared::RouterState;

/// The longest time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches the key file until `closing`.
pub(crate) async fn serve(state: Arc<RouterState>, closing: CancellationToken) {
    let Some(file) = state.config.keys.file.as_deref() else { return };
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
        let next_end = state.hub.end_expired_links(|key| state.verifier.status(key));
        let until_next = next_end.and_then(|end| Duration::try_from(end.duration_since(Timestamp::now())).ok());
        let pause = [keys.look_again, until_next].into_iter().flatten().fold(INTERVAL, Duration::min);
        tokio::select! {
            () = closing.cancelled() => return,
            // The next look sees the change that was being examined when the pause was over.
            () = watch.next_change() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
