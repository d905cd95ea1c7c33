//! Another size for a running model: drain, stop, start anew, and go back if the new size does not start.

use std::sync::Arc;

use auxot_instance::{InstanceHandle, State};
use tracing::{info, warn};

use crate::fleet::Shared;

/// Brings one member to the newest size wished for; jobs that arrive meanwhile wait for the new engine.
pub(crate) async fn run(shared: Arc<Shared>, member: usize) {
    while let Some((wanted, present, handle)) = shared.next_shape(member) {
        let model = wanted.model.clone();
        info!(model, slots = wanted.slots, ctx_per_slot = wanted.ctx_per_slot, "model is being resized");
        handle.stop(shared.drain_timeout());
        handle.stopped().await;
        let handle = shared.replace(member, wanted).await;
        if starts(&handle).await {
            info!(model, "model resized");
            continue;
        }
        warn!(
            model,
            slots = present.slots,
            ctx_per_slot = present.ctx_per_slot,
            "the new size does not start; back to the old one"
        );
        shared.replace(member, present).await;
    }
}

/// Whether an instance becomes ready before it is given up.
async fn starts(handle: &InstanceHandle) -> bool {
    let mut statuses = handle.status();
    let settled = statuses.wait_for(|status| matches!(status.state, State::Ready(_) | State::Failed { .. })).await;
    settled.is_ok_and(|status| matches!(status.state, State::Ready(_)))
}
