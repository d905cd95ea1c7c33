//! Chooses the worker for a job: the one that had its conversation, or else the least loaded one that has the model ready;
//! where none has, the one that loads it soonest.

use super::offer::Readiness;
use super::{ConnectedWorker, ResolvedRequirements, WorkerId};

/// The chosen worker, and its name for the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) worker: WorkerId,
    /// `None` where the worker lists no models.
    pub(crate) model: Option<String>,
    /// Name of the model in the answer.
    pub(crate) reported_model: String,
}

/// What the workers offer for one job; no pick where the nearest ones have no free slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkersOffer {
    /// A live worker has the model loaded.
    Loaded(Option<Pick>),
    /// No worker has it loaded, and one loads it, or would for a job.
    Loading(Option<Pick>),
    /// No live worker can serve it.
    Nothing,
}

/// Chooses among `workers` for a job; `warm` is the one that had its conversation.
///
/// A job waits for a model that is ready on one worker instead of loading it on a second: a slot becomes free in
/// seconds, a load takes minutes. It does not wait for the warm worker: another free slot processes the conversation again,
/// which takes seconds too. Among equal workers the choice is the one whose last job was assigned longest ago.
pub(crate) fn pick<'a>(
    workers: impl Iterator<Item = (WorkerId, &'a ConnectedWorker)>,
    target: ResolvedRequirements<'_>,
    warm: Option<WorkerId>,
) -> WorkersOffer {
    let offers: Vec<_> =
        workers.filter_map(|(id, worker)| Some((id, worker.last_dispatch, worker.offer(target)?))).collect();
    let Some(nearest) = offers.iter().map(|(_, _, offer)| offer.readiness).min() else {
        return WorkersOffer::Nothing;
    };
    // Where the model has yet to be loaded, no conversation is warm.
    let warm = warm.filter(|_| nearest == Readiness::Ready);
    let best = offers
        .into_iter()
        .filter(|(_, _, offer)| offer.readiness == nearest && offer.has_room())
        // Load is a fraction, compared by cross-multiplication: 1 of 2 is more than 1 of 4.
        .min_by(|(id, last_dispatch, offer), (other_id, other_given, other)| {
            let load = u64::from(offer.used) * u64::from(other.slots);
            let other_load = u64::from(other.used) * u64::from(offer.slots);
            let is_cold = |id: &WorkerId| warm != Some(*id);
            is_cold(id)
                .cmp(&is_cold(other_id))
                .then(offer.load.cmp(&other.load))
                .then(load.cmp(&other_load))
                .then(last_dispatch.cmp(other_given))
                .then(id.cmp(other_id))
        });
    let pick = best.map(|(worker, _, offer)| Pick { worker, model: offer.model, reported_model: offer.reported_model });
    match nearest {
        Readiness::Ready => WorkersOffer::Loaded(pick),
        Readiness::Starting | Readiness::Stopped => WorkersOffer::Loading(pick),
    }
}
