//! Assigns waiting jobs to workers and to other providers.

use super::choice::{Cascade, Choice, ProviderId, choose};
use super::pick::{Pick, WorkersOffer, pick};
use super::{Board, BoardEffect, Conversation, JobId, JobRequirements, JobState, ResolvedRequirements, WorkerId};
use crate::resolver::Resolution;

impl Board {
    /// Assigns every job that a provider can take now, oldest first. A job that must wait does not hold up others.
    pub(super) fn dispatch(&mut self) {
        let mut stuck: Vec<(JobRequirements, Option<Cascade>)> = Vec::new();
        let mut index = 0;
        while let Some(job) = self.waiting.get(index).cloned() {
            let Some(entry) = self.jobs.get(&job) else {
                self.waiting.remove(index);
                continue;
            };
            if stuck.iter().any(|(needs, cascade)| *needs == entry.requirements && *cascade == entry.cascade) {
                index += 1;
                continue;
            }
            let offer = self.offer(&entry.requirements, &entry.conversation);
            match choose(offer, entry.cascade.as_ref(), |id| self.room(id)) {
                Choice::Worker(pick) => self.assign(&job, pick),
                Choice::Provider(provider) => self.provide(&job, provider),
                Choice::Nowhere => {
                    let previous = self.jobs.remove(&job).and_then(|entry| entry.previous_worker);
                    self.cancel(previous, &job);
                    self.effects.push(BoardEffect::Refuse { job });
                }
                Choice::Wait => {
                    stuck.push((entry.requirements.clone(), entry.cascade.clone()));
                    index += 1;
                    continue;
                }
            }
            self.waiting.remove(index);
        }
    }

    /// What the workers offer for a job.
    fn offer(&self, requirements: &JobRequirements, conversation: &Conversation) -> WorkersOffer {
        let named = match &requirements.model {
            Some(requested) => match self.resolver.resolve(requested) {
                Resolution::Model(model) => Some(model),
                Resolution::Ambiguous(_) | Resolution::Unknown => return WorkersOffer::Nothing,
            },
            None => None,
        };
        let JobRequirements { task, extension, .. } = *requirements;
        let ranked = self.ranking.workers(named.as_deref(), task).filter_map(|id| self.workers.get(&id));
        let warm = self.conversations.worker(conversation).and_then(|id| self.workers.get(&id));
        pick(ranked, ResolvedRequirements { model: named.as_deref(), task, extension }, warm)
    }

    fn assign(&mut self, job: &JobId, pick: Pick) {
        let Pick { worker, model, reported_model } = pick;
        let Some(attempt) = self.begin(job, JobState::Running(worker)) else { return };
        self.effects.push(BoardEffect::Dispatch {
            worker,
            job: job.clone(),
            model: model.clone(),
            reported_model,
            attempt,
        });
        if let Some(entry) = self.jobs.get(job) {
            self.conversations.record(&entry.conversation, worker);
        }
        self.dispatch_count += 1;
        let number = self.dispatch_count;
        self.change(worker, |chosen| chosen.begin(job.clone(), model, number));
    }

    fn provide(&mut self, job: &JobId, provider: ProviderId) {
        let Some(attempt) = self.begin(job, JobState::Provided(provider)) else { return };
        self.effects.push(BoardEffect::Provide { provider, job: job.clone(), attempt });
        if let Some(chosen) = self.providers.get_mut(provider.0) {
            chosen.jobs += 1;
        }
    }

    /// Sets the state of a job that goes to a provider, and ends its run on the worker that lost it.
    fn begin(&mut self, job: &JobId, state: JobState) -> Option<u32> {
        let entry = self.jobs.get_mut(job)?;
        entry.state = state;
        entry.attempts += 1;
        let previous = entry.previous_worker.take().filter(|&previous| state != JobState::Running(previous));
        let attempt = entry.attempts;
        self.cancel(previous, job);
        Some(attempt)
    }

    fn cancel(&mut self, worker: Option<WorkerId>, job: &JobId) {
        if let Some(worker) = worker.filter(|worker| self.workers.contains_key(worker)) {
            self.effects.push(BoardEffect::Cancel { worker, job: job.clone() });
        }
    }
}
