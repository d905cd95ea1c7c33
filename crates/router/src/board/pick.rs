//! Chooses the worker for a job: the one that had its conversation, or else the least loaded one that has the model ready;
//! where none has, the one that loads it soonest.

use super::offer::{ModelOffer, Readiness};
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
    let mut nearest: Option<Readiness> = None;
    let mut best: Option<Candidate<'_>> = None;
    let offers = workers.filter_map(|(id, worker)| Some((id, worker.last_dispatch, worker.offer(target)?)));
    for (worker, last_dispatch, offer) in offers {
        if nearest.is_none_or(|nearest| offer.readiness < nearest) {
            (nearest, best) = (Some(offer.readiness), None);
        }
        if nearest != Some(offer.readiness) || !offer.has_room() {
            continue;
        }
        // Where the model has yet to be loaded, no conversation is warm.
        let is_warm = warm == Some(worker) && offer.readiness == Readiness::Ready;
        let candidate = Candidate { worker, last_dispatch, is_warm, offer };
        if best.as_ref().is_none_or(|best| candidate.is_better_than(best)) {
            best = Some(candidate);
        }
    }
    let Some(nearest) = nearest else { return WorkersOffer::Nothing };
    let pick = best.map(|Candidate { worker, offer, .. }| Pick {
        worker,
        model: offer.model.map(str::to_owned),
        reported_model: offer.reported_model.to_owned(),
    });
    match nearest {
        Readiness::Ready => WorkersOffer::Loaded(pick),
        Readiness::Starting | Readiness::Stopped => WorkersOffer::Loading(pick),
    }
}

/// A worker that could get the job.
struct Candidate<'a> {
    worker: WorkerId,
    last_dispatch: u64,
    /// It had the conversation.
    is_warm: bool,
    offer: ModelOffer<'a>,
}

impl Candidate<'_> {
    fn is_better_than(&self, other: &Self) -> bool {
        // The share of used slots, compared by cross-multiplication: 1 of 2 is more than 1 of 4.
        let share = |one: &ModelOffer<'_>, other: &ModelOffer<'_>| u64::from(one.used) * u64::from(other.slots);
        let order = other
            .is_warm
            .cmp(&self.is_warm)
            .then(self.offer.load.cmp(&other.offer.load))
            .then(share(&self.offer, &other.offer).cmp(&share(&other.offer, &self.offer)))
            .then(self.last_dispatch.cmp(&other.last_dispatch))
            .then(self.worker.cmp(&other.worker));
        order.is_lt()
    }
}
