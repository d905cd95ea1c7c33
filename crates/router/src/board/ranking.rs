//! The workers for each model and each task, the best for a job first.
//!
//! A choice among a thousand workers looks at the first of them. Each change of a worker replaces those of its ranks that are
//! different afterwards: with a job these are the ranks for its model alone.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use auxot_llama::PathTask;

use super::WorkerId;
use super::offer::{LoadCost, ModelOffer, Readiness};

/// The place of a worker among those for one model; the better one sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    readiness: Readiness,
    load: LoadCost,
    /// The share of used slots, in parts of 2^32.
    used: u64,
    /// The number of its last job for the model: the smaller one is longer ago.
    last_dispatch: u64,
    pub(super) worker: WorkerId,
}

impl Rank {
    pub(super) fn of(worker: WorkerId, offer: &ModelOffer<'_>, last_dispatch: u64) -> Self {
        let used = (u64::from(offer.used) << 32) / u64::from(offer.slots.max(1));
        Self { readiness: offer.readiness, load: offer.load, used, last_dispatch, worker }
    }
}

/// All ranks of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranks {
    /// The names of its models; the same list as long as they do not change.
    pub(super) names: Arc<[Arc<str>]>,
    /// By the same places; `None` where it offers nothing.
    pub(super) models: Vec<Option<Rank>>,
    /// For jobs that name no model, by task.
    pub(super) tasks: [Option<Rank>; TASKS.len()],
}

/// All tasks, in the order of [`Ranks::tasks`].
pub(super) const TASKS: [PathTask; 4] = [PathTask::Chat, PathTask::Embedding, PathTask::Rerank, PathTask::Any];

/// The ranks of all workers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ranking {
    models: HashMap<Arc<str>, BTreeSet<Rank>>,
    tasks: [BTreeSet<Rank>; TASKS.len()],
}

impl Ranking {
    /// The workers for a model, or for any model for the task.
    pub(super) fn workers(&self, model: Option<&str>, task: PathTask) -> impl Iterator<Item = WorkerId> {
        let ranks = match model {
            Some(model) => self.models.get(model),
            None => TASKS.iter().position(|known| *known == task).map(|place| &self.tasks[place]),
        };
        ranks.into_iter().flatten().map(|rank| rank.worker)
    }

    /// A worker has other ranks than before.
    pub(super) fn replace(&mut self, before: &Ranks, after: &Ranks) {
        for (ranks, (before, after)) in self.tasks.iter_mut().zip(before.tasks.iter().zip(&after.tasks)) {
            exchange(ranks, *before, *after);
        }
        let is_same = Arc::ptr_eq(&before.names, &after.names);
        let places = before.names.iter().zip(&before.models).enumerate();
        for (place, (name, before)) in places {
            let after = after.models.get(place).copied().flatten().filter(|_| is_same);
            self.exchange(name, *before, after);
        }
        for (name, after) in after.names.iter().zip(&after.models).filter(|_| !is_same) {
            self.exchange(name, None, *after);
        }
    }

    fn exchange(&mut self, name: &Arc<str>, before: Option<Rank>, after: Option<Rank>) {
        if before == after {
            return;
        }
        let ranks = self.models.entry(Arc::clone(name)).or_default();
        exchange(ranks, before, after);
        if ranks.is_empty() {
            self.models.remove(name);
        }
    }
}

fn exchange(ranks: &mut BTreeSet<Rank>, before: Option<Rank>, after: Option<Rank>) {
    if before != after {
        if let Some(before) = before {
            ranks.remove(&before);
        }
        ranks.extend(after);
    }
}
