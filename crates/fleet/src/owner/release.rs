//! Waits until a reading shows the memory of an ended process free, see `model::release`.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::model::managed::ManagedId;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::owner::Shared;
use crate::report::metrics;

/// The pause between two looks while memory is not free yet: there is no event for it.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Waits until the memory is seen free, and tells the fleet state.
pub(crate) async fn run(shared: Arc<Shared>, managed: ManagedId, generation: u64, after: AfterExit, release: Release) {
    let mut samples = shared.devices.samples.clone();
    // What is here already was read before.
    samples.mark_unchanged();
    let seen = async {
        loop {
            shared.devices.look();
            // A channel without a sender tells nothing any more: what is known must do.
            let closed = samples.changed().await.is_err();
            let sample = samples.borrow_and_update().clone();
            if closed || release.is_seen(&sample) {
                return;
            }
            // One that was begun before the end says nothing, and the next is on its way.
            if release.is_shown_by(&sample) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    };
    let in_time = tokio::time::timeout(shared.settings().fleet.release_timeout, seen).await.is_ok();
    let waited = release.ended.elapsed();
    metrics::released(waited, in_time);
    if in_time {
        debug!(waited_ms = waited.as_millis(), "memory seen free");
    } else {
        warn!(
            pid = release.pid,
            waited_s = waited.as_secs_f64(),
            "the memory of an engine that has ended is not seen free; going on with what is measured"
        );
    }
    shared.released(managed, generation, after);
}
