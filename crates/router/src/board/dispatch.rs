//! Which waiting job goes where.

use super::pick::{Pick, pick};
use super::{Board, Effect, Place, Target, Wanted, Worker, WorkerId};
use crate::resolver::{Meaning, Resolver};

impl Board {
    /// Gives out what can be given out, oldest first; a job that must wait does not hold up others.
    pub(super) fn dispatch(&mut self) {
        let mut stuck: Vec<Wanted> = Vec::new();
        let mut index = 0;
        while let Some(job) = self.waiting.get(index) {
            let Some(entry) = self.jobs.get_mut(job) else {
                self.waiting.remove(index);
                continue;
            };
            if stuck.contains(&entry.wanted) {
                index += 1;
                continue;
            }
            let workers = self.workers.iter().map(|(&id, worker)| (id, worker));
            let picked = chosen(&entry.wanted, &self.resolver, workers);
            let Some(Pick { worker, model, called }) = picked else {
                stuck.push(entry.wanted.clone());
                index += 1;
                continue;
            };
            entry.place = Place::Running(worker);
            entry.attempts += 1;
            let former = entry.former.take().filter(|&former| former != worker);
            if let Some(former) = former.filter(|former| self.workers.contains_key(former)) {
                self.effects.push(Effect::Cancel { worker: former, job: job.clone() });
            }
            let attempt = entry.attempts;
            self.effects.push(Effect::Dispatch { worker, job: job.clone(), model: model.clone(), called, attempt });
            if let Some(chosen) = self.workers.get_mut(&worker) {
                self.given += 1;
                chosen.last_given = self.given;
                chosen.jobs.insert(job.clone(), model);
            }
            self.waiting.remove(index);
        }
    }
}

/// Who gets a job that asks for this, if anybody can take it now.
fn chosen<'a>(
    wanted: &Wanted,
    resolver: &Resolver,
    workers: impl Iterator<Item = (WorkerId, &'a Worker)>,
) -> Option<Pick> {
    let named = match &wanted.model {
        Some(asked) => match resolver.meaning(asked) {
            Meaning::Model(model) => Some(model),
            Meaning::Several(_) | Meaning::Nothing => return None,
        },
        None => None,
    };
    pick(workers, Target { model: named.as_deref(), parameters: wanted.parameters })
}
