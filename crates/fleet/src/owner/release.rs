//! Waits until a device sample shows the memory of an exited engine free, see `model::release`.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, warn};

use crate::model::managed::ManagedId;
use crate::model::process::AfterExit;
use crate::model::release::Release;
use crate::owner::Shared;
use crate::report::metrics;

/// The pause between two samples while memory is not free yet: the driver sends no event.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Waits until the memory is seen free, and reports it to the fleet.
pub(crate) async fn run(shared: Arc<Shared>, managed: ManagedId, generation: u64, after: AfterExit, release: Release) {
    let mut samples = shared.devices.samples.clone();
    // The sample in the channel is older than the exit.
    samples.mark_unchanged();
    let seen = async {
        loop {
            shared.devices.refresh();
            // Without a sender no sample comes any more, so the last one counts.
            let closed = samples.changed().await.is_err();
            let sample = samples.borrow_and_update().clone();
            if closed || release.is_seen(&sample) {
                return;
            }
            // A sample that began before the exit proves nothing, and the next is on its way.
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
            "the memory of an exited engine is not seen free; the measured free memory counts"
        );
    }
    shared.released(managed, generation, after);
}
