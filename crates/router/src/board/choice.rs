//! Which provider gets a job next: the workers first, then the others in their order.

use super::pick::{Pick, WorkersOffer};

/// A provider beside the workers, by its place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProviderId(pub(crate) usize);

/// Where a job may still go. A job without one goes to workers only, and waits for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cascade {
    pub(crate) workers: WorkersTurn,
    /// The other providers that have the model and have not refused the job.
    pub(crate) others: Vec<ProviderId>,
}

/// When it is the workers' turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkersTurn {
    /// First, also while the model loads.
    First,
    /// The wait for a load is over: first where the model is loaded, else behind all other providers.
    LoadWaitOver,
    /// They have refused the job.
    Refused,
}

/// What a provider beside the workers has for one more job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProviderRoom {
    Free,
    /// It runs as many jobs as it may.
    Full,
    /// Its circuit breaker is open.
    Closed,
}

/// Where a job goes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Worker(Pick),
    Provider(ProviderId),
    Wait,
    /// No provider takes it.
    Nowhere,
}

/// Chooses for a job, from what the workers offer for it and what room each other provider has.
pub(crate) fn choose(
    offer: WorkersOffer,
    cascade: Option<&Cascade>,
    room: impl Fn(ProviderId) -> ProviderRoom,
) -> Choice {
    let or_wait = |pick: Option<Pick>| pick.map_or(Choice::Wait, Choice::Worker);
    let Some(Cascade { workers, others }) = cascade else {
        return match offer {
            WorkersOffer::Loaded(pick) | WorkersOffer::Loading(pick) => or_wait(pick),
            WorkersOffer::Nothing => Choice::Wait,
        };
    };
    let loading = match (offer, workers) {
        (WorkersOffer::Nothing, _) | (_, WorkersTurn::Refused) => None,
        (WorkersOffer::Loaded(pick), _) | (WorkersOffer::Loading(pick), WorkersTurn::First) => return or_wait(pick),
        (WorkersOffer::Loading(pick), WorkersTurn::LoadWaitOver) => Some(pick),
    };
    let has = |wanted: ProviderRoom| others.iter().copied().find(|id| room(*id) == wanted);
    match (has(ProviderRoom::Free), has(ProviderRoom::Full), loading) {
        (Some(provider), _, _) => Choice::Provider(provider),
        (None, Some(_), _) => Choice::Wait,
        (None, None, Some(pick)) => or_wait(pick),
        (None, None, None) => Choice::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use ProviderRoom::{Closed, Free, Full};
    use WorkersTurn::{First, LoadWaitOver, Refused};

    use super::*;

    fn pick() -> Pick {
        Pick { worker: 7, model: None, reported_model: "m".to_owned() }
    }

    fn chosen(offer: &WorkersOffer, workers: WorkersTurn, rooms: &[ProviderRoom]) -> Choice {
        let others = (0..rooms.len()).map(ProviderId).collect();
        choose(offer.clone(), Some(&Cascade { workers, others }), |id| rooms[id.0])
    }

    #[test]
    fn a_job_without_other_providers_goes_to_workers_or_waits() {
        let alone = |offer| choose(offer, None, |_| Free);
        assert_eq!(alone(WorkersOffer::Loaded(Some(pick()))), Choice::Worker(pick()));
        assert_eq!(alone(WorkersOffer::Loading(Some(pick()))), Choice::Worker(pick()));
        for offer in [WorkersOffer::Loaded(None), WorkersOffer::Loading(None), WorkersOffer::Nothing] {
            assert_eq!(alone(offer), Choice::Wait);
        }
    }

    #[test]
    fn workers_that_have_the_model_loaded_come_first_whatever_else_is_free() {
        for turn in [First, LoadWaitOver] {
            assert_eq!(chosen(&WorkersOffer::Loaded(Some(pick())), turn, &[Free, Free]), Choice::Worker(pick()));
            assert_eq!(chosen(&WorkersOffer::Loaded(None), turn, &[Free, Free]), Choice::Wait, "a busy worker");
        }
        assert_eq!(chosen(&WorkersOffer::Loaded(Some(pick())), Refused, &[Free]), Choice::Provider(ProviderId(0)));
    }

    #[test]
    fn a_load_is_waited_for_until_the_wait_is_over_and_then_comes_last() {
        let (loading, full) = (WorkersOffer::Loading(Some(pick())), WorkersOffer::Loading(None));
        assert_eq!(chosen(&loading, First, &[Free]), Choice::Worker(pick()));
        assert_eq!(chosen(&full, First, &[Free]), Choice::Wait);
        assert_eq!(chosen(&loading, LoadWaitOver, &[Free]), Choice::Provider(ProviderId(0)));
        assert_eq!(chosen(&loading, LoadWaitOver, &[Full]), Choice::Wait);
        assert_eq!(chosen(&loading, LoadWaitOver, &[Closed]), Choice::Worker(pick()), "better than an error");
        assert_eq!(chosen(&full, LoadWaitOver, &[]), Choice::Wait);
    }

    #[test]
    fn other_providers_come_in_their_order() {
        for (rooms, expected) in [
            (&[Free, Free][..], Choice::Provider(ProviderId(0))),
            (&[Full, Free], Choice::Provider(ProviderId(1))),
            (&[Closed, Free], Choice::Provider(ProviderId(1))),
            (&[Closed, Full], Choice::Wait),
            (&[Closed, Closed], Choice::Nowhere),
            (&[], Choice::Nowhere),
        ] {
            assert_eq!(chosen(&WorkersOffer::Nothing, First, rooms), expected, "{rooms:?}");
            assert_eq!(chosen(&WorkersOffer::Loading(None), Refused, rooms), expected, "{rooms:?}");
        }
    }
}
