//! The engine's dry run: its own estimate of a model's memory, before the first load of its kind.
//!
//! The requirements computed from a header are exact for the architectures that the catalog knows; the engine knows all of
//! them. So the engine lays out a model that was never measured in its placement. That takes some tenths of a second and reads
//! no weights; a build with device support may hold a device context meanwhile. The result is stored like a measurement. If it
//! exceeds the reservation, the load is cancelled before the engine starts, and planned again with the new number: once in each
//! size, so that varying numbers cannot delay a job for ever.

use std::sync::Arc;

use auxot_catalog::MemoryRequirements;
use auxot_engine::{DryRunError, MemoryEstimate, MemoryParts};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::factory::DryRun;
use crate::model::history::Measurements;
use crate::model::managed::ManagedId;
use crate::model::plan::{requirements, size_of};
use crate::model::process::{AfterExit, Engine};
use crate::owner::Shared;
use crate::state::Intake;
use crate::state::work::Work;
use auxot_placement::{Placement, Split, bytes_text};
use auxot_scheduler::ModelState;

/// The engine prints whole MiB, rounded down.
const GRAIN: u64 = 1 << 20;

/// Runs it until it has a result, or its load is cancelled.
pub(crate) async fn run(
    shared: Arc<Shared>,
    managed: ManagedId,
    generation: u64,
    dry_run: DryRun,
    mut ended: oneshot::Sender<()>,
) {
    let outcome = tokio::select! {
        outcome = dry_run => Some(outcome),
        () = ended.closed() => None,
    };
    shared.on_dry_run(managed, generation, outcome);
}

impl Shared {
    /// Handles the result: the load goes on, or is planned again.
    fn on_dry_run(
        self: &Arc<Self>,
        id: ManagedId,
        generation: u64,
        outcome: Option<Result<MemoryEstimate, DryRunError>>,
    ) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(managed) = state.models.get_mut(&id).filter(|managed| managed.generation == generation) else {
            return;
        };
        let Some(engine) = managed.engine.as_mut() else { return };
        engine.dry_run = None;
        let is_leaving = matches!(state.scheduler.state(managed.scheduler_id), ModelState::Unloading { .. });
        let model = &managed.model;
        let needs = requirements(model, &managed.plan.parameters, size_of(&engine.spec));
        let after = match outcome {
            _ if is_leaving || state.intake == Intake::Closed => Some(engine.after.unwrap_or(AfterExit::Unload)),
            Some(Ok(estimate)) => {
                let count = engine.record_dry_run(&estimate, &needs, &self.measurements);
                if count != Count::Old {
                    state.work.push(Work::Learn);
                }
                // During a shutdown nothing is planned again, and the waiters of this load have no other.
                (count == Count::More && state.intake == Intake::Open).then(|| {
                    managed.dry_run_plan = Some(engine.spec.clone());
                    AfterExit::Reload
                })
            }
            Some(Err(fault)) => {
                warn!(model = model.name, %fault, "the dry run of the engine failed; the computed memory counts");
                None
            }
            None => None,
        };
        let Some(after) = after else {
            engine.handle.start();
            return;
        };
        managed.engine = None;
        drop(guard);
        self.released(id, generation, after);
    }
}

/// What a dry run adds to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// It adds nothing.
    Old,
    /// It is new, and within the reservation.
    Within,
    /// It is new, and more than the reservation.
    More,
}

impl Engine {
    /// Stores the result of a dry run.
    fn record_dry_run(
        &self,
        estimate: &MemoryEstimate,
        requirements: &MemoryRequirements,
        measurements: &Measurements,
    ) -> Count {
        let Some(counted) = counted(&self.placement, requirements, estimate) else { return Count::Old };
        let reserved = reserved(&self.placement);
        info!(
            model = self.spec.model,
            reserved = bytes_text(reserved.iter().sum()),
            counted = bytes_text(counted.iter().sum()),
            "dry run of the engine"
        );
        let more = counted.iter().zip(&reserved).any(|(counted, reserved)| counted > reserved);
        match self.record(counted, measurements) {
            false => Count::Old,
            true if more => Count::More,
            true => Count::Within,
        }
    }
}

/// Reserved bytes by share, or of host memory where there is no share.
fn reserved(placement: &Placement) -> Vec<u64> {
    let shares: Vec<u64> = placement.shares.iter().map(|share| share.bytes).collect();
    if shares.is_empty() { vec![placement.host] } else { shares }
}

/// The same bytes by the engine's numbers. Its compute buffers have a row of the vocabulary for each token of a batch, where
/// the server needs one for each slot: without those rows they are a lower bound, which counts where it exceeds the computed
/// number. What the driver and the process take stays as computed. `None` where the engine uses other devices than the
/// placement.
fn counted(placement: &Placement, requirements: &MemoryRequirements, estimate: &MemoryEstimate) -> Option<Vec<u64>> {
    if placement.shares.is_empty() {
        // Nothing is reserved where the memory of the host is unknown.
        if placement.host == 0 {
            return None;
        }
        // An engine that splits by itself may use devices that the worker has not seen.
        let unseen = estimate.devices.iter().filter(|_| placement.split == Split::Engine);
        let all = unseen.fold(estimate.host, |sum, part| MemoryParts {
            weights: sum.weights.saturating_add(part.weights),
            cache: sum.cache.saturating_add(part.cache),
            compute: sum.compute.max(part.compute),
        });
        return Some(vec![corrected(placement.host, requirements.weights, requirements.cache(), requirements, all)]);
    }
    let order: Vec<&str> = placement.in_the_engines_order().map(|share| share.device.as_str()).collect();
    if order.len() != estimate.devices.len() {
        return None;
    }
    let of = |device: &str| order.iter().position(|other| *other == device).map(|at| estimate.devices[at]);
    let shares = placement.shares.iter();
    shares
        .map(|share| Some(corrected(share.bytes, share.weights, share.cache, requirements, of(&share.device)?)))
        .collect()
}

fn corrected(bytes: u64, weights: u64, cache: u64, requirements: &MemoryRequirements, part: MemoryParts) -> u64 {
    let answers =
        |ours: u64, theirs: u64| if ours.abs_diff(theirs) <= GRAIN { ours } else { theirs.saturating_add(GRAIN) };
    let rest = bytes.saturating_sub(weights).saturating_sub(cache);
    let least = part.compute.saturating_sub(requirements.all_rows);
    let rest = rest.saturating_add(least.saturating_sub(requirements.compute));
    rest.saturating_add(answers(weights, part.weights)).saturating_add(answers(cache, part.cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_program_never_overflow() {
        let part = MemoryParts { weights: u64::MAX / GRAIN * GRAIN, cache: 0, compute: 0 };
        assert_eq!(corrected(10, 4, 3, &MemoryRequirements::default(), part), u64::MAX);
    }

    #[test]
    fn compute_buffers_count_where_they_exceed_the_computed_number() {
        let requirements =
            MemoryRequirements { compute: 10 * GRAIN, all_rows: 100 * GRAIN, ..MemoryRequirements::default() };
        let counted = |compute: u64| {
            let part = MemoryParts { weights: 4 * GRAIN, cache: 3 * GRAIN, compute: compute * GRAIN };
            corrected(20 * GRAIN, 4 * GRAIN, 3 * GRAIN, &requirements, part) / GRAIN
        };
        assert_eq!(counted(105), 20, "less than computed once the rows are taken out");
        assert_eq!(counted(150), 60, "40 more than the 10 that were computed");
    }
}
