//! The providers beside the workers: how many jobs each has, and how a job moves on from one that refuses it.

use super::choice::{Cascade, ProviderId, ProviderRoom, WorkersTurn};
use super::offer::Readiness;
use super::{Board, BoardEffect, BoardJob, JobState, WorkerId};

/// What the board knows of one.
#[derive(Debug, Default)]
pub(super) struct ProviderLoad {
    /// Jobs that it may have at once; 0 while its circuit breaker is open.
    limit: u32,
    /// Jobs that it has.
    pub(super) jobs: u32,
}

impl Board {
    /// Sets how many jobs a provider may have at once.
    pub(crate) fn limit_provider(&mut self, provider: ProviderId, limit: u32) {
        if self.providers.len() <= provider.0 {
            self.providers.resize_with(provider.0 + 1, ProviderLoad::default);
        }
        self.providers[provider.0].limit = limit;
        self.dispatch();
    }

    pub(super) fn room(&self, provider: ProviderId) -> ProviderRoom {
        match self.providers.get(provider.0) {
            None | Some(ProviderLoad { limit: 0, .. }) => ProviderRoom::Closed,
            Some(load) if load.jobs < load.limit => ProviderRoom::Free,
            Some(_) => ProviderRoom::Full,
        }
    }

    /// Whether `job` is with this provider.
    pub(crate) fn is_provided_by(&self, provider: ProviderId, job: &str) -> bool {
        self.state(job) == Some(JobState::Provided(provider))
    }

    /// Whether the job could move on: another provider takes jobs and has not refused it.
    pub(crate) fn has_alternative(&self, job: &str) -> bool {
        let Some(entry) = self.jobs.get(job) else { return false };
        let is_refused = entry.cascade.as_ref().is_some_and(|cascade| cascade.workers == WorkersTurn::Refused);
        if is_refused && entry.state == JobState::Waiting {
            // It waits for the others already.
            return false;
        }
        let open = |id: &ProviderId| self.room(*id) != ProviderRoom::Closed && !self.is_provided_by(*id, job);
        entry.cascade.as_ref().is_some_and(|cascade| cascade.others.iter().any(open))
    }

    /// Whether the job waits for a model that loads, before the wait for that is over.
    pub(crate) fn awaits_load(&self, job: &str) -> bool {
        let Some(entry) = self.jobs.get(job) else { return false };
        let is_first = entry.cascade.as_ref().is_some_and(|cascade| cascade.workers == WorkersTurn::First);
        is_first
            && match entry.state {
                JobState::Waiting => true,
                JobState::Running(worker) => !self.has_loaded(worker, job),
                JobState::Provided(_) => false,
            }
    }

    fn has_loaded(&self, worker: WorkerId, job: &str) -> bool {
        let Some(worker) = self.workers.get(&worker) else { return false };
        let model = worker.jobs.get(job).and_then(Option::as_deref);
        model.is_none_or(|model| worker.readiness(model) == Some(Readiness::Ready))
    }

    /// The wait for a model that loads is over: other providers come before workers that have it not loaded.
    pub(crate) fn end_load_wait(&mut self, job: &str) {
        let waits = self.awaits_load(job);
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let Some(cascade) = entry.cascade.as_mut().filter(|cascade| cascade.workers == WorkersTurn::First) else {
            return;
        };
        cascade.workers = WorkersTurn::LoadWaitOver;
        if waits && self.has_alternative(job) {
            self.take_back(job, true);
        }
        self.dispatch();
    }

    /// The provider that has the job refuses it, or the workers do while it waits for them: it moves on. A worker that
    /// still runs it gets a cancel.
    pub(crate) fn refuse(&mut self, job: &str, still_runs: bool) {
        let Some(entry) = self.jobs.get_mut(job) else { return };
        let Some(cascade) = &mut entry.cascade else { return };
        match entry.state {
            JobState::Provided(provider) => cascade.others.retain(|other| *other != provider),
            JobState::Waiting | JobState::Running(_) => cascade.workers = WorkersTurn::Refused,
        }
        self.take_back(job, still_runs);
        self.dispatch();
    }

    /// The client has a part of a worker's answer: only a worker can go on with it.
    pub(crate) fn keep_to_workers(&mut self, job: &str) {
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.cascade = None;
        }
        self.take_back(job, false);
        self.dispatch();
    }

    /// A provider ends a job; returns whether that ends it here.
    pub(crate) fn finish_provided(&mut self, provider: ProviderId, job: &str) -> bool {
        let counts = self.is_provided_by(provider, job);
        if counts {
            self.forget(job);
            self.dispatch();
        }
        counts
    }

    /// Puts a job that a provider has back into the queue.
    fn take_back(&mut self, job: &str, still_runs: bool) {
        let Some((id, entry)) = self.jobs.remove_entry(job) else { return };
        self.release(&id, &entry);
        if let JobState::Running(worker) = entry.state
            && still_runs
            && self.workers.contains_key(&worker)
        {
            self.effects.push(BoardEffect::Cancel { worker, job: id.clone() });
        }
        self.jobs.insert(id.clone(), BoardJob { state: JobState::Waiting, ..entry });
        self.put_back(id);
    }

    /// Whether a job that has lost its last worker moves on to another provider.
    pub(super) fn leaves_workers(cascade: &mut Option<Cascade>) -> bool {
        let moves = cascade.as_ref().is_some_and(|cascade| !cascade.others.is_empty());
        if moves && let Some(cascade) = cascade {
            cascade.workers = WorkersTurn::Refused;
        }
        moves
    }
}
