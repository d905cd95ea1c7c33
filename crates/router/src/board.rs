//! The state of all workers and jobs: which job waits and which runs where. No I/O, no clock, no text.
//!
//! ```text
//!            submit                 a provider has room
//!   ────────────────▶ Waiting ─────────────────────────▶ Running(worker), Provided(provider)
//!                        ▲                                    │
//!                        └── worker silent or gone; refused ──┘
//! ```
//!
//! A job leaves by `finish` and `finish_provided` (its provider ended it), by `remove` (the client left or a deadline
//! passed), by [`BoardEffect::GiveUp`] (it lost too many workers) or by [`BoardEffect::Refuse`] (no provider takes it).
//! After that its id is unknown here.

mod choice;
mod conversations;
mod dispatch;
mod effect;
mod offer;
mod pick;
mod providers;
mod ranking;
mod requirements;
mod totals;
mod view;
mod worker;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use auxot_llama::PathTask;
use auxot_protocol::{Capabilities, Heartbeat};

use crate::resolver::{Resolution, Resolver, WorkerModels};
pub(crate) use choice::{Cascade, ProviderId, WorkersTurn};
pub(crate) use conversations::Conversation;
use conversations::Conversations;
pub(crate) use effect::BoardEffect;
use providers::ProviderLoad;
use ranking::{Ranking, Ranks};
pub(crate) use requirements::{JobRequirements, RequiredExtension, ResolvedRequirements};
use totals::WorkerTotals;
pub(crate) use worker::{Availability, ConnectedWorker, WorkerView};

/// One connection of a worker; a number is not used twice.
pub(crate) type WorkerId = u64;
/// Id of one job, the same through all its runs.
pub(crate) type JobId = Arc<str>;

/// The limits of the configuration that decisions use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoardLimits {
    pub(crate) max_waiting: usize,
    pub(crate) max_attempts: u32,
    pub(crate) default_slots: u32,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    Waiting,
    Running(WorkerId),
    Provided(ProviderId),
}

#[derive(Debug)]
struct BoardJob {
    requirements: JobRequirements,
    conversation: Conversation,
    /// Grows with each job; the queue is in this order.
    number: u64,
    state: JobState,
    attempts: u32,
    /// `None` for workers only.
    cascade: Option<Cascade>,
    /// The worker that lost the job and may still compute it.
    previous_worker: Option<WorkerId>,
}

/// The state of all workers and jobs.
#[derive(Debug)]
pub(crate) struct Board {
    limits: BoardLimits,
    workers: HashMap<WorkerId, ConnectedWorker>,
    totals: WorkerTotals,
    ranking: Ranking,
    /// By [`ProviderId`].
    providers: Vec<ProviderLoad>,
    jobs: HashMap<JobId, BoardJob>,
    waiting: VecDeque<JobId>,
    resolver: Resolver,
    conversations: Conversations,
    dispatch_count: u64,
    submitted: u64,
    effects: Vec<BoardEffect>,
}

impl Board {
    pub(crate) fn new(limits: BoardLimits) -> Self {
        Self {
            limits,
            workers: HashMap::new(),
            totals: WorkerTotals::default(),
            ranking: Ranking::default(),
            providers: Vec::new(),
            jobs: HashMap::new(),
            waiting: VecDeque::new(),
            resolver: Resolver::default(),
            conversations: Conversations::default(),
            dispatch_count: 0,
            submitted: 0,
            effects: Vec::new(),
        }
    }

    fn forget_worker(&mut self, gone: &ConnectedWorker) {
        self.totals.subtract(gone.totals());
        self.ranking.replace(gone.ranks(), &Ranks::default());
        self.resolver.remove(gone.named());
    }

    /// The names of a worker's models have changed from these.
    fn rename(&mut self, worker: WorkerId, before: Option<WorkerModels>) {
        if let (Some(before), Some(entry)) = (before, self.workers.get(&worker)) {
            self.resolver.remove(&before);
            self.resolver.add(entry.named());
        }
    }

    /// Changes a worker, and with it the totals and its ranks.
    fn change<T>(&mut self, worker: WorkerId, change: impl FnOnce(&mut ConnectedWorker) -> T) -> Option<T> {
        let entry = self.workers.get_mut(&worker)?;
        self.totals.subtract(entry.totals());
        let changed = change(entry);
        self.totals.add(entry.totals());
        let before = entry.update_ranks();
        self.ranking.replace(&before, entry.ranks());
        Some(changed)
    }

    /// Returns the actions of the changes since the last call, in order.
    pub(crate) fn effects(&mut self) -> Vec<BoardEffect> {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn join(&mut self, worker: WorkerId, capabilities: &Capabilities) {
        if let Some(before) = self.workers.remove(&worker) {
            self.forget_worker(&before);
        }
        let mut joined = ConnectedWorker::new(worker, capabilities, &self.limits);
        self.totals.add(joined.totals());
        let before = joined.update_ranks();
        self.ranking.replace(&before, joined.ranks());
        self.resolver.add(joined.named());
        self.workers.insert(worker, joined);
        self.dispatch();
    }

    /// A worker reports new capabilities.
    pub(crate) fn update_capabilities(&mut self, worker: WorkerId, capabilities: &Capabilities) {
        let Some(before) = self.change(worker, |entry| entry.update_capabilities(capabilities)) else { return };
        self.rename(worker, before);
        self.dispatch();
    }

    /// A heartbeat; returns whether the worker was marked silent.
    pub(crate) fn heartbeat(&mut self, worker: WorkerId, heartbeat: Heartbeat) -> bool {
        let change = |entry: &mut ConnectedWorker| {
            let revived = !std::mem::replace(&mut entry.alive, true);
            (revived, entry.heartbeat(heartbeat))
        };
        let Some((revived, before)) = self.change(worker, change) else { return false };
        self.rename(worker, before);
        self.dispatch();
        revived
    }

    /// A worker sent no heartbeat for the threshold: its jobs go to others.
    pub(crate) fn mark_silent(&mut self, worker: WorkerId) {
        let change = |entry: &mut ConnectedWorker| {
            entry.alive = false;
            entry.jobs.drain().map(|(job, _)| job).collect()
        };
        let Some(lost) = self.change(worker, change) else { return };
        self.requeue(worker, lost);
        self.dispatch();
    }

    /// A connection has ended: its jobs go to others.
    pub(crate) fn leave(&mut self, worker: WorkerId) {
        let Some(gone) = self.workers.remove(&worker) else { return };
        self.forget_worker(&gone);
        self.requeue(worker, gone.jobs.into_keys().collect());
        self.dispatch();
    }

    /// A worker returns a job that it has not started, and gets no other until it reports that it accepts jobs. Returns
    /// whether the job was running on this worker.
    pub(crate) fn return_job(&mut self, worker: WorkerId, job: &str) -> bool {
        let Some((id, entry)) = self.jobs.get_key_value(job) else { return false };
        let (JobState::Running(holder), id) = (entry.state, id.clone()) else { return false };
        if holder != worker {
            return false;
        }
        if let Some(entry) = self.jobs.get_mut(job) {
            entry.state = JobState::Waiting;
            entry.attempts = entry.attempts.saturating_sub(1);
        }
        self.change(worker, |worker| {
            worker.draining = true;
            worker.jobs.remove(job);
        });
        self.put_back(id);
        self.dispatch();
        true
    }

    /// Whether one more job may wait; if not, the number of waiting jobs.
    pub(crate) fn has_room(&self) -> Result<(), usize> {
        let waiting = self.waiting.len();
        if waiting < self.limits.max_waiting { Ok(()) } else { Err(waiting) }
    }

    pub(crate) fn submit(
        &mut self,
        job: JobId,
        requirements: JobRequirements,
        conversation: Conversation,
        cascade: Option<Cascade>,
    ) {
        self.submitted += 1;
        let (number, state) = (self.submitted, JobState::Waiting);
        let entry = BoardJob { requirements, conversation, number, state, attempts: 0, cascade, previous_worker: None };
        self.jobs.insert(job.clone(), entry);
        self.waiting.push_back(job);
        self.dispatch();
    }

    pub(crate) fn state(&self, job: &str) -> Option<JobState> {
        self.jobs.get(job).map(|entry| entry.state)
    }

    /// Whether `job` runs on `worker`: only then a message about it is valid.
    pub(crate) fn is_running_on(&self, worker: WorkerId, job: &str) -> bool {
        self.state(job) == Some(JobState::Running(worker))
    }

    /// A worker ended a job; returns whether that ends it here.
    ///
    /// A whole answer for a job that waits for its next run is accepted from any worker: it is what the client waits
    /// for.
    pub(crate) fn finish(&mut self, worker: WorkerId, job: &str, whole: bool) -> bool {
        let counts = self.is_running_on(worker, job) || (whole && self.state(job) == Some(JobState::Waiting));
        if counts {
            self.forget(job);
            self.dispatch();
        }
        counts
    }

    /// The client no longer waits for the job.
    pub(crate) fn remove(&mut self, job: &str) {
        let Some((id, entry)) = self.forget(job) else { return };
        let holder = if let JobState::Running(worker) = entry.state { Some(worker) } else { None };
        for worker in holder.into_iter().chain(entry.previous_worker) {
            if self.workers.contains_key(&worker) {
                self.effects.push(BoardEffect::Cancel { worker, job: id.clone() });
            }
        }
        self.dispatch();
    }

    /// Whether there is more than one worker to choose from.
    pub(crate) fn has_choice(&self) -> bool {
        self.workers.len() > 1
    }

    /// Every model that clients can use on a live worker, once each, sorted.
    pub(crate) fn models(&self) -> Vec<String> {
        let mut names: Vec<String> = self.alive().flat_map(|(_, worker)| worker.usable().map(str::to_owned)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether no worker has any model.
    pub(crate) fn has_none(&self) -> bool {
        self.workers.values().all(|worker| worker.named().names().next().is_none())
    }

    /// Resolves a client's name for a model among the models of all workers, silent workers included.
    pub(crate) fn resolve(&self, requested: &str) -> Resolution {
        self.resolver.resolve(requested)
    }

    /// The tasks of a model that no worker can use for this one.
    pub(crate) fn other_task(&self, model: &str, task: PathTask) -> Option<Vec<String>> {
        let mut tasks = self.having(model).map(|worker| worker.other_task(model, task));
        let first = tasks.next()??.to_vec();
        tasks.all(|task| task.is_some()).then_some(first)
    }

    /// Whether the model has failed on every worker that has it.
    pub(crate) fn failed_everywhere(&self, model: &str) -> bool {
        let mut having = self.having(model).peekable();
        having.peek().is_some() && !having.any(|worker| worker.may_load(model))
    }

    /// What is available for a job that names no model.
    pub(crate) fn availability(&self, task: PathTask) -> Availability {
        let (mut failed, mut others) = (None, BTreeSet::new());
        for worker in self.workers.values() {
            match worker.availability(task) {
                Availability::MayServe => return Availability::MayServe,
                Availability::Failed(model) => failed = failed.or(Some(model)),
                Availability::OtherTasks(models) => others.extend(models),
            }
        }
        match failed {
            Some(model) => Availability::Failed(model),
            None if others.is_empty() => Availability::MayServe,
            None => Availability::OtherTasks(others.into_iter().collect()),
        }
    }

    /// Whether workers have the model (`None`: any model for the task) and none of them has the extension.
    pub(crate) fn lacks(&self, extension: RequiredExtension, model: Option<&str>, task: PathTask) -> bool {
        let has = |worker: &&ConnectedWorker| match model {
            Some(model) => worker.has(model),
            None => worker.names(task).next().is_some(),
        };
        let mut having = self.workers.values().filter(has).peekable();
        having.peek().is_some() && !having.any(|worker| worker.has_extension(extension))
    }

    /// Whether there are workers, and all of them take whole requests.
    pub(crate) fn all_take_requests(&self) -> bool {
        !self.workers.is_empty()
            && self.workers.values().all(|worker| worker.has_extension(RequiredExtension::Requests))
    }

    fn having(&self, model: &str) -> impl Iterator<Item = &ConnectedWorker> {
        self.workers.values().filter(move |worker| worker.has(model))
    }

    fn alive(&self) -> impl Iterator<Item = (WorkerId, &ConnectedWorker)> {
        self.workers.iter().filter(|(_, worker)| worker.alive).map(|(&id, worker)| (id, worker))
    }

    fn forget(&mut self, job: &str) -> Option<(JobId, BoardJob)> {
        let (id, entry) = self.jobs.remove_entry(job)?;
        self.release(job, &entry);
        Some((id, entry))
    }

    /// Frees the place that a job has.
    fn release(&mut self, job: &str, entry: &BoardJob) {
        match entry.state {
            JobState::Running(worker) => {
                self.change(worker, |worker| worker.jobs.remove(job));
            }
            JobState::Provided(provider) => {
                if let Some(provider) = self.providers.get_mut(provider.0) {
                    provider.jobs = provider.jobs.saturating_sub(1);
                }
            }
            JobState::Waiting => self.waiting.retain(|waiting| &**waiting != job),
        }
    }

    /// Puts lost jobs back into the queue by their age, so that they run before later jobs.
    fn requeue(&mut self, previous_worker: WorkerId, lost: Vec<JobId>) {
        for job in lost {
            let Some(entry) = self.jobs.get_mut(&job) else { continue };
            if entry.attempts >= self.limits.max_attempts && !Self::leaves_workers(&mut entry.cascade) {
                let attempts = entry.attempts;
                self.jobs.remove(&job);
                if self.workers.contains_key(&previous_worker) {
                    self.effects.push(BoardEffect::Cancel { worker: previous_worker, job: job.clone() });
                }
                self.effects.push(BoardEffect::GiveUp { job, attempts });
                continue;
            }
            entry.state = JobState::Waiting;
            entry.previous_worker = Some(previous_worker);
            self.put_back(job);
        }
    }

    /// Inserts the job among the waiting jobs in the order of arrival.
    fn put_back(&mut self, job: JobId) {
        let number = |job: &JobId| self.jobs.get(job).map_or(0, |entry| entry.number);
        let mine = number(&job);
        let at = self.waiting.iter().position(|other| number(other) > mine).unwrap_or(self.waiting.len());
        self.waiting.insert(at, job);
    }
}

#[cfg(test)]
mod tests;
