//! The engine's own dry run, where it has one: what a load would take is asked before the first load of its kind.
//!
//! The sum over a header is exact for architectures that it knows; the engine knows all of them. So a model that was never
//! measured in its place is laid out by the engine first. That takes some tenths of a second and reads no weights; a build for
//! devices may hold a context on them meanwhile. What it counts is learnt like a measurement. If it is more than the place was
//! promised, the load ends before it has begun, and is planned again with what is known by then: once in each size, so that
//! numbers that waver keep nobody waiting.

use std::sync::Arc;

use auxot_catalog::MemoryRequirements;
use auxot_engine::{DryRunError, MemoryEstimate, MemoryParts};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::factory::DryRun;
use crate::model::managed::ManagedId;
use crate::model::measurements::Measurements;
use crate::model::plan::requirements;
use crate::model::plan::size_of;
use crate::model::process::{AfterExit, Engine};
use crate::owner::Shared;
use crate::state::Intake;
use crate::state::work::Work;
use auxot_placement::{Placement, Split, bytes_text};
use auxot_scheduler::ModelState;

/// Its numbers are whole MiB, rounded down.
const GRAIN: u64 = 1 << 20;

/// Runs it until it has an answer, or its load is told to end.
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
    shared.dry_ran(managed, generation, outcome);
}

impl Shared {
    /// A dry run is over: the load goes on, or is planned again.
    fn dry_ran(self: &Arc<Self>, id: ManagedId, generation: u64, outcome: Option<Result<MemoryEstimate, DryRunError>>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(managed) = state.models.get_mut(&id).filter(|managed| managed.generation == generation) else {
            return;
        };
        let Some(engine) = managed.engine.as_mut() else { return };
        engine.dry_run = None;
        let is_leaving = matches!(state.scheduler.state(managed.scheduler_id), ModelState::Leaving { .. });
        let model = &managed.model;
        let needs = requirements(model, &managed.plan.parameters, size_of(&engine.spec));
        let after = match outcome {
            _ if is_leaving || state.intake == Intake::Closed => Some(engine.after.unwrap_or(AfterExit::Unload)),
            Some(Ok(estimate)) => {
                let count = engine.learn_count(&estimate, &needs, &self.measurements);
                if count != Count::Old {
                    state.work.push(Work::Learn);
                }
                // Nothing is planned any more at the end of the worker, and who waits for this load has no other.
                (count == Count::More && state.intake == Intake::Open).then(|| {
                    managed.dry_run_plan = Some(engine.spec.clone());
                    AfterExit::Reload
                })
            }
            Some(Err(fault)) => {
                warn!(model = model.name, %fault, "no dry run of the engine; what is computed counts");
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

/// What a dry run's count is to a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    /// Nothing new.
    Old,
    /// News, and within what its place was promised.
    Within,
    /// News, and more than that.
    More,
}

impl Engine {
    /// Learns what a dry run has counted.
    fn learn_count(
        &self,
        estimate: &MemoryEstimate,
        requirements: &MemoryRequirements,
        measurements: &Measurements,
    ) -> Count {
        let Some(counted) = counted(&self.placement, requirements, estimate) else { return Count::Old };
        let promised = promised(&self.placement);
        info!(
            model = self.spec.model,
            promised = bytes_text(promised.iter().sum()),
            counted = bytes_text(counted.iter().sum()),
            "dry run of the engine"
        );
        let more = counted.iter().zip(&promised).any(|(counted, promised)| counted > promised);
        match self.learns(counted, measurements) {
            false => Count::Old,
            true if more => Count::More,
            true => Count::Within,
        }
    }
}

/// Bytes by share, or of the host's memory where there is none.
fn promised(placement: &Placement) -> Vec<u64> {
    let shares: Vec<u64> = placement.shares.iter().map(|share| share.bytes).collect();
    if shares.is_empty() { vec![placement.host] } else { shares }
}

/// The same as the engine counts it. Its intermediate results have a row of the vocabulary for each token of a batch, where the
/// server wants one for each slot: without those rows they are the least that the engine takes, and count where that is more
/// than computed. What the driver and the process take stays as computed. `None` where it uses other devices than it was given.
fn counted(placement: &Placement, requirements: &MemoryRequirements, estimate: &MemoryEstimate) -> Option<Vec<u64>> {
    if placement.shares.is_empty() {
        // Nothing is promised where nobody can read memory.
        if placement.host == 0 {
            return None;
        }
        // Left to itself it may use devices of which nobody here knows.
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
    fn what_a_program_says_never_overflows() {
        let part = MemoryParts { weights: u64::MAX / GRAIN * GRAIN, cache: 0, compute: 0 };
        assert_eq!(corrected(10, 4, 3, &MemoryRequirements::default(), part), u64::MAX);
    }

    #[test]
    fn intermediate_results_count_where_they_are_more_than_computed() {
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
