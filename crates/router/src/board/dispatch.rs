//! Assigns waiting jobs to workers.

use super::pick::{Pick, pick};
use super::{Board, BoardEffect, ConnectedWorker, JobRequirements, JobState, ResolvedRequirements, WorkerId};
use crate::resolver::{Resolution, Resolver};

impl Board {
    /// Assigns every job that a worker can take now, oldest first. A job that must wait does not hold up others.
    pub(super) fn dispatch(&mut self) {
        let mut stuck: Vec<JobRequirements> = Vec::new();
        let mut index = 0;
        while let Some(job) = self.waiting.get(index) {
            let Some(entry) = self.jobs.get_mut(job) else {
                self.waiting.remove(index);
                continue;
            };
            if stuck.contains(&entry.requirements) {
                index += 1;
                continue;
            }
            let workers = self.workers.iter().map(|(&id, worker)| (id, worker));
            let picked = chosen(&entry.requirements, &self.resolver, workers);
            let Some(Pick { worker, model, reported_model }) = picked else {
                stuck.push(entry.requirements.clone());
                index += 1;
                continue;
            };
            entry.state = JobState::Running(worker);
            entry.attempts += 1;
            let previous_worker = entry.previous_worker.take().filter(|&previous_worker| previous_worker != worker);
            if let Some(previous_worker) =
                previous_worker.filter(|previous_worker| self.workers.contains_key(previous_worker))
            {
                self.effects.push(BoardEffect::Cancel { worker: previous_worker, job: job.clone() });
            }
            let attempt = entry.attempts;
            self.effects.push(BoardEffect::Dispatch {
                worker,
                job: job.clone(),
                model: model.clone(),
                reported_model,
                attempt,
            });
            if let Some(chosen) = self.workers.get_mut(&worker) {
                self.dispatch_count += 1;
                chosen.last_dispatch = self.dispatch_count;
                chosen.jobs.insert(job.clone(), model);
            }
            self.waiting.remove(index);
        }
    }
}

/// The worker for a job with these requirements, if one can take it now.
fn chosen<'a>(
    requirements: &JobRequirements,
    resolver: &Resolver,
    workers: impl Iterator<Item = (WorkerId, &'a ConnectedWorker)>,
) -> Option<Pick> {
    let named = match &requirements.model {
        Some(requested) => match resolver.resolve(requested) {
            Resolution::Model(model) => Some(model),
            Resolution::Ambiguous(_) | Resolution::Unknown => return None,
        },
        None => None,
    };
    let JobRequirements { task, extension, .. } = *requirements;
    pick(workers, ResolvedRequirements { model: named.as_deref(), task, extension })
}
