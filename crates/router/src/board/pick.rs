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

/// Chooses among `workers`, the best ranked first, for a job; `warm` is the one that had its conversation.
///
/// A job waits for a model that is ready on one worker instead of loading it on a second: a slot becomes free in
/// seconds, a load takes minutes. It does not wait for the warm worker: another free slot processes the conversation again,
/// which takes seconds too. Among equal workers the choice is the one whose last job for the model was assigned longest ago.
pub(crate) fn pick<'a>(
    workers: impl Iterator<Item = &'a ConnectedWorker>,
    target: ResolvedRequirements<'_>,
    warm: Option<&'a ConnectedWorker>,
) -> WorkersOffer {
    let mut offers = workers.filter_map(|worker| Some((worker, worker.offer(target)?))).peekable();
    let Some(nearest) = offers.peek().map(|(_, offer)| offer.readiness) else { return WorkersOffer::Nothing };
    let has_room = |(_, offer): &(&ConnectedWorker, ModelOffer<'_>)| offer.has_room();
    // Where the model has yet to be loaded, no conversation is warm.
    let warm = warm.filter(|_| nearest == Readiness::Ready).and_then(|worker| Some((worker, worker.offer(target)?)));
    let warm = warm.filter(|(_, offer)| offer.readiness == nearest).filter(has_room);
    // Full ones sort last, but for models that are not loaded: there the load comes first.
    let first = || match nearest {
        Readiness::Ready | Readiness::Starting => offers.next().filter(has_room),
        Readiness::Stopped => offers.find(has_room),
    };
    let pick = warm.or_else(first).map(|(worker, offer)| Pick {
        worker: worker.id,
        model: offer.model.map(str::to_owned),
        reported_model: offer.reported_model.to_owned(),
    });
    match nearest {
        Readiness::Ready => WorkersOffer::Loaded(pick),
        Readiness::Starting | Readiness::Stopped => WorkersOffer::Loading(pick),
    }
}
