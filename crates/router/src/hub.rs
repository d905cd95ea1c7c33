//! The shared state of a router behind one mutex: the board, the queues of the links, the answers of the clients.
//!
//! The lock is held for one decision or one look-up, never across an await. Nothing under it blocks: sends are
//! `try_send`, answers are appended to. Log lines are written after the lock is released.

mod access_line;
mod admission;
mod control;
mod engine_answers;
mod entry;
mod key_terms;
mod link_handle;
mod link_report;
mod providers;
mod recent_times;
mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auxot_access::keys::Key;
use auxot_protocol::{Cancel, Capabilities, Complete, Heartbeat, JobError, NOT_STARTED, Policy, ToWorker, Token};
use tokio::sync::watch;

use crate::answer::{JobAnswer, TooSlow};
use crate::board::{Board, BoardEffect, BoardLimits, JobId, JobRequirements, JobState, WorkerId};
use crate::chunks::Channel;
use crate::desired_model::DesiredModel;
use crate::failure::{Failure, WorkerFault};
use crate::metrics::Metrics;
use crate::resolver::Resolution;
use crate::summary::Summary;
use access_line::AccessLine;
pub(crate) use entry::{AsChat, ChatJob, JobEntry, ModelPlace, RequestedJob, WORKERS, WholeRequest};
pub(crate) use link_handle::{LinkHandle, Outgoing};
pub(crate) use link_report::LinkReport;
use providers::cascade;
pub use providers::{BreakerState, ProviderKind};
pub(crate) use providers::{ChatUse, ProviderForm, ProviderHandle, ProviderJob, ProviderLimit};
pub use recent_times::Times;
pub(crate) use snapshot::{HubSnapshot, ProviderSnapshot, WorkerSnapshot};

#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    summary: watch::Sender<Summary>,
    /// How long a model stays known after its last worker left.
    model_memory: Duration,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Inner {
    board: Board,
    links: HashMap<WorkerId, LinkHandle>,
    entries: HashMap<JobId, JobEntry>,
    /// Models of workers that left, with the time: a reconnecting worker must not turn its model into a 404.
    recent: HashMap<String, Instant>,
    desired: DesiredModel,
    policy: Option<Policy>,
    last_worker: WorkerId,
    stopping: bool,
    access_lines: Vec<AccessLine>,
    /// In their order.
    providers: Vec<ProviderHandle>,
}

/// A job that the hub has accepted.
#[derive(Debug)]
pub(crate) struct SubmittedJob {
    pub(crate) id: JobId,
    pub(crate) answer: Arc<JobAnswer>,
    /// There are other providers than workers for it.
    pub(crate) cascades: bool,
}

/// What follows for a job whose deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expired {
    Ended,
    /// Another provider gets it.
    MovedOn,
}

impl Hub {
    pub(crate) fn new(
        limits: BoardLimits,
        desired: DesiredModel,
        model_memory: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let inner = Inner {
            board: Board::new(limits),
            links: HashMap::new(),
            entries: HashMap::new(),
            recent: HashMap::new(),
            desired,
            policy: None,
            last_worker: 0,
            stopping: false,
            access_lines: Vec::new(),
            providers: Vec::new(),
        };
        let summary = watch::Sender::new(Summary::default());
        Self { inner: Mutex::new(inner), summary, model_memory, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies one change to the state, then everything that follows from it.
    fn update<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = change(&mut inner);
        inner.apply_effects();
        let summary = inner.board.summary();
        let access_lines = std::mem::take(&mut inner.access_lines);
        drop(inner);
        self.summary.send_if_modified(|known| std::mem::replace(known, summary) != summary);
        for line in access_lines {
            line.write(&self.metrics);
        }
        result
    }

    // --- links ---------------------------------------------------------------------------------

    /// The policy for a worker that announced `capabilities`.
    pub(crate) fn policy_for(&self, capabilities: &Capabilities) -> Policy {
        let inner = self.lock();
        inner.policy.clone().unwrap_or_else(|| inner.desired.policy(capabilities))
    }

    /// Registers a worker after its handshake; jobs may go out through `link` before this returns.
    pub(crate) fn join(&self, capabilities: &Capabilities, link: LinkHandle) -> WorkerId {
        self.update(|inner| {
            inner.last_worker += 1;
            let worker = inner.last_worker;
            inner.links.insert(worker, link);
            inner.board.join(worker, capabilities);
            worker
        })
    }

    /// A connection has ended: its jobs go to others.
    pub(crate) fn leave(&self, worker: WorkerId) {
        self.update(|inner| {
            inner.links.remove(&worker);
            let now = Instant::now();
            inner.recent.retain(|_, left| now.duration_since(*left) < self.model_memory);
            for model in inner.board.models() {
                inner.recent.insert(model, now);
            }
            inner.board.leave(worker);
        });
    }

    pub(crate) fn update_capabilities(&self, worker: WorkerId, capabilities: &Capabilities) {
        self.update(|inner| {
            if let Some(link) = inner.links.get_mut(&worker) {
                link.report.update(capabilities);
            }
            inner.board.update_capabilities(worker, capabilities);
        });
    }

    /// Returns whether the worker was marked silent.
    pub(crate) fn heartbeat(&self, worker: WorkerId, heartbeat: Heartbeat) -> bool {
        self.update(|inner| {
            if let Some(link) = inner.links.get_mut(&worker) {
                link.report.heartbeat(&heartbeat);
            }
            inner.board.heartbeat(worker, heartbeat)
        })
    }

    pub(crate) fn mark_silent(&self, worker: WorkerId) {
        self.update(|inner| inner.board.mark_silent(worker));
    }

    /// Text for a job. The hot path: one look-up under the lock.
    pub(crate) fn token(&self, worker: WorkerId, token: &Token<'_>) {
        let inner = self.lock();
        if !inner.board.is_running_on(worker, &token.job_id) {
            return;
        }
        let Some(answer) = inner.entries.get(&*token.job_id).map(|entry| entry.answer.clone()) else { return };
        drop(inner);
        let channel = if token.reasoning { Channel::Reasoning } else { Channel::Answer };
        if let Err(TooSlow) = answer.text(channel, &token.token, token.logprobs.as_ref()) {
            self.end_early(&token.job_id, |_| Failure::TooSlow);
        }
    }

    /// A worker reports that it still runs a job, without text.
    pub(crate) fn touch(&self, worker: WorkerId, job: &str) {
        let inner = self.lock();
        if inner.board.is_running_on(worker, job)
            && let Some(entry) = inner.entries.get(job)
        {
            entry.answer.touch();
        }
    }

    /// Returns whether the job was running on this worker.
    pub(crate) fn complete(&self, worker: WorkerId, complete: Complete<'static>) -> bool {
        self.update(|inner| {
            let counts = inner.board.finish(worker, &complete.job_id, true);
            if counts && let Some((id, mut entry)) = inner.entries.remove_entry(&*complete.job_id) {
                entry.count(&complete);
                let mut line = entry.access_line(&id).counts(&complete);
                // The worker keeps an engine's answer until it knows that all of it is here.
                if let Some(link) = inner.links.get_mut(&worker) {
                    link.report.times.add(line.first_byte, line.total);
                    if let Some(received) = entry.answer.received() {
                        link.send_read(&id, received, true);
                    }
                }
                if let Err(failure) = entry.answer.complete(complete) {
                    line = line.failed(&failure);
                }
                inner.access_lines.push(line);
            }
            counts
        })
    }

    /// Returns whether the job was running on this worker.
    pub(crate) fn job_error(&self, worker: WorkerId, error: JobError<'static>) -> bool {
        self.update(|inner| {
            let Some(job) = &error.job_id else { return false };
            if error.code.as_deref() == Some(NOT_STARTED) && inner.board.return_job(worker, job) {
                return true;
            }
            let fault = WorkerFault::of(&error);
            if inner.board.is_running_on(worker, job)
                && fault.is_workers()
                && inner.move_on(job, &Failure::Worker(fault.clone()), false)
            {
                return true;
            }
            let counts = inner.board.finish(worker, job, false);
            if counts {
                inner.fail_job(job, Failure::Worker(fault));
            }
            counts
        })
    }

    // --- clients -------------------------------------------------------------------------------

    /// Whether there is more than one worker to choose from.
    pub(crate) fn has_choice(&self) -> bool {
        self.lock().board.has_choice()
    }

    /// Accepts a job, or returns why it cannot be accepted.
    pub(crate) fn submit(
        &self,
        id: JobId,
        mut request: RequestedJob,
        answer: Arc<JobAnswer>,
    ) -> Result<SubmittedJob, Failure> {
        let submitted = self.update(|inner| {
            if inner.stopping {
                return Err(Failure::Stopping);
            }
            let upstream = inner.allowed_providers(&request)?;
            let cascade = cascade(&upstream, &request.key);
            let cascades = cascade.is_some();
            if !cascades {
                inner.check(&request, self.model_memory)?;
            }
            inner.board.has_room().map_err(Failure::QueueFull)?;
            let requirements =
                JobRequirements { model: request.model.clone(), task: request.task, extension: request.extension() };
            let conversation = std::mem::take(&mut request.conversation);
            inner.entries.insert(id.clone(), JobEntry::new(request, answer.clone(), upstream));
            inner.board.submit(id.clone(), requirements, conversation, cascade);
            Ok(SubmittedJob { id, answer, cascades })
        });
        submitted.inspect_err(|failure: &Failure| self.turned_away(failure))
    }

    /// The client has left.
    pub(crate) fn client_left(&self, job: &str) {
        self.end_early(job, |_| Failure::ClientLeft);
    }

    /// The deadline of the job has passed.
    pub(crate) fn expire(&self, job: &str) -> Expired {
        self.update(|inner| {
            let failure = inner.timeout_failure(job);
            // Of a provider beside the workers only its own run takes a job away: it has shorter limits of its own.
            if !matches!(inner.board.state(job), Some(JobState::Provided(_))) && inner.move_on(job, &failure, true) {
                return Expired::MovedOn;
            }
            inner.board.remove(job);
            inner.fail_job(job, failure);
            Expired::Ended
        })
    }

    /// Ends a job before its worker does.
    fn end_early(&self, job: &str, failure: impl FnOnce(&Inner) -> Failure) {
        self.update(|inner| {
            let failure = failure(inner);
            inner.board.remove(job);
            inner.fail_job(job, failure);
        });
    }

    /// Every model that clients with this key can use, once each, sorted.
    pub(crate) fn models(&self, key: &Key) -> Vec<String> {
        self.lock().models_for(key)
    }

    /// A request was not accepted.
    pub(crate) fn turned_away(&self, failure: &Failure) {
        self.metrics.turned_away(failure.label());
    }

    pub(crate) fn resolve(&self, requested: &str) -> Resolution {
        self.lock().board.resolve(requested)
    }
}

impl Inner {
    /// Performs the actions that the board returned, and those that follow from them.
    fn apply_effects(&mut self) {
        loop {
            let effects = self.board.effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.apply(effect);
            }
        }
    }

    fn apply(&mut self, effect: BoardEffect) {
        match effect {
            BoardEffect::Dispatch { worker, job, model, reported_model, attempt } => {
                if let Some(failure) = self.out_of_scope(&job, &reported_model) {
                    self.board.remove(&job);
                    return self.fail_job(&job, failure);
                }
                let (Some(link), Some(entry)) = (self.links.get(&worker), self.entries.get_mut(&job)) else {
                    return;
                };
                let form = entry.dispatched(link, attempt, &reported_model);
                link.send(Outgoing::Job { id: job, request: entry.request.clone(), model, form });
            }
            BoardEffect::Cancel { worker, job } => {
                if let Some(link) = self.links.get(&worker) {
                    link.send(Outgoing::Message(Box::new(ToWorker::Cancel(Cancel { job_id: (*job).to_owned() }))));
                }
            }
            BoardEffect::GiveUp { job, attempts } => self.fail_job(&job, Failure::Lost(attempts)),
            BoardEffect::Provide { provider, job, attempt } => self.provide(provider, &job, attempt),
            BoardEffect::Refuse { job } => self.refuse(&job),
        }
    }

    /// Ends a job with a failure after the board has removed it; no effect on a job that has ended.
    fn fail_job(&mut self, job: &str, failure: Failure) {
        if let Some((id, entry)) = self.entries.remove_entry(job) {
            self.access_lines.push(entry.access_line(&id).failed(&failure));
            entry.answer.fail(failure);
        }
    }
}
