//! Another size for a running model: drain, stop, start anew, and go back if the new size does not start.
//!
//! The judge decides each step from what the processes tell (`Member::turn`); this task only carries them out.

use std::sync::Arc;

use crate::judge::MemberId;
use crate::roster::Step;
use crate::shared::Shared;

/// Carries out the changes of one member until it has settled; jobs that arrive meanwhile wait for the new engine.
pub(crate) async fn run(shared: Arc<Shared>, member: MemberId) {
    let mut changes = shared.changes.subscribe();
    loop {
        match shared.next_step(member) {
            Step::Over => return,
            // The sender is in `shared`, which is held here.
            Step::Wait => drop(changes.changed().await),
            Step::End { handle, generation } => {
                handle.stop(shared.drain_timeout());
                handle.stopped().await;
                // The last handle: the driver ends with it.
                drop(handle);
                shared.begin(member, generation);
            }
        }
    }
}
