//! The shared state of a router behind one mutex: the board, the queues of the links, the answers of the clients.
//!
//! The lock is held for one decision or one look-up, never across an await. Nothing under it blocks: sends are
//! `try_send`, answers are appended to. Log lines are written after the lock is released.

mod admission;
mod engine_answers;
mod entry;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auxot_protocol::{Cancel, Capabilities, Complete, Heartbeat, JobError, NOT_STARTED, Policy, ToWorker, Token};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::answer::{JobAnswer, TooSlow};
use crate::board::{Board, BoardEffect, BoardLimits, JobId, JobRequirements, WorkerId};
use crate::chunks::Channel;
use crate::desired_model::DesiredModel;
use crate::failure::{Failure, WorkerFault};
use crate::resolver::Resolution;
use crate::summary::Summary;
use auxot_access::KeyId;
use entry::AccessLine;
pub(crate) use entry::{AsChat, ChatJob, JobEntry, JobForm, RequestedJob, WholeRequest};

/// A message for a link's writer.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// Serialised by the writer, so that a long prompt is not copied under the lock.
    Job {
        id: JobId,
        request: Arc<RequestedJob>,
        model: Option<String>,
        form: JobForm,
    },
    Message(Box<ToWorker>),
    Close {
        code: u16,
        reason: &'static str,
    },
}

/// The hub's handle of a link.
#[derive(Debug)]
pub(crate) struct LinkHandle {
    pub(crate) gpu_id: Arc<str>,
    /// The key of its `hello`.
    pub(crate) key: KeyId,
    /// Both sides have the `parameters` extension.
    pub(crate) parameters: bool,
    /// Both sides have the `requests` extension.
    pub(crate) requests: bool,
    pub(crate) queue: mpsc::Sender<Outgoing>,
    /// Ends the link without a close frame.
    pub(crate) cut: CancellationToken,
}

impl LinkHandle {
    /// A full queue means that the worker does not read: the link is cut.
    fn send(&self, message: Outgoing) {
        if self.queue.try_send(message).is_err() && !self.cut.is_cancelled() {
            tracing::warn!(gpu_id = %self.gpu_id, "link cut: the worker does not read");
            self.cut.cancel();
        }
    }
}

#[derive(Debug)]
pub(crate) struct Hub {
    inner: Mutex<Inner>,
    summary: watch::Sender<Summary>,
    /// How long a model stays known after its last worker left.
    model_memory: Duration,
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
}

impl Hub {
    pub(crate) fn new(limits: BoardLimits, desired: DesiredModel, model_memory: Duration) -> Self {
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
        };
        Self { inner: Mutex::new(inner), summary: watch::Sender::new(Summary::default()), model_memory }
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
            line.write();
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
        self.update(|inner| inner.board.update_capabilities(worker, capabilities));
    }

    /// Returns whether the worker was marked silent.
    pub(crate) fn heartbeat(&self, worker: WorkerId, heartbeat: Heartbeat) -> bool {
        self.update(|inner| inner.board.heartbeat(worker, heartbeat))
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
            if counts && let Some((id, entry)) = inner.entries.remove_entry(&*complete.job_id) {
                let mut line = AccessLine::of(&id, &entry).counts(&complete);
                // The worker keeps an engine's answer until it knows that all of it is here.
                if let (Some(received), Some(link)) = (entry.answer.received(), inner.links.get(&worker)) {
                    link.send_read(&id, received, true);
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
            let counts = inner.board.finish(worker, job, false);
            if counts {
                inner.fail_job(job, Failure::Worker(WorkerFault::of(&error)));
            }
            counts
        })
    }

    // --- clients -------------------------------------------------------------------------------

    /// Accepts a job, or returns why it cannot be accepted.
    pub(crate) fn submit(&self, id: &JobId, request: RequestedJob, answer: Arc<JobAnswer>) -> Result<(), Failure> {
        self.update(|inner| {
            if inner.stopping {
                return Err(Failure::Stopping);
            }
            inner.check(&request, self.model_memory)?;
            inner.board.has_room().map_err(Failure::QueueFull)?;
            let requirements =
                JobRequirements { model: request.model.clone(), task: request.task, extension: request.extension() };
            inner.entries.insert(id.clone(), JobEntry::new(request, answer));
            inner.board.submit(id.clone(), requirements);
            Ok(())
        })
    }

    /// The client has left.
    pub(crate) fn client_left(&self, job: &str) {
        self.end_early(job, |_| Failure::ClientLeft);
    }

    /// The deadline of the job has passed.
    pub(crate) fn expire(&self, job: &str) {
        self.end_early(job, |inner| inner.timeout_failure(job));
    }

    /// Ends a job before its worker does.
    fn end_early(&self, job: &str, failure: impl FnOnce(&Inner) -> Failure) {
        self.update(|inner| {
            let failure = failure(inner);
            inner.board.remove(job);
            inner.fail_job(job, failure);
        });
    }

    /// Whether every worker takes whole requests, so that no job needs another form.
    pub(crate) fn all_take_requests(&self) -> bool {
        self.lock().board.all_take_requests()
    }

    pub(crate) fn models(&self) -> Vec<String> {
        self.lock().board.models()
    }

    pub(crate) fn resolve(&self, requested: &str) -> Resolution {
        self.lock().board.resolve(requested)
    }

    // --- the router itself -----------------------------------------------------------------------

    pub(crate) fn summary(&self) -> Summary {
        *self.summary.borrow()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Summary> {
        self.summary.subscribe()
    }

    /// Sends the policy to every connected worker and keeps it for later ones.
    pub(crate) fn policy_update(&self, policy: Policy) {
        self.update(|inner| {
            for link in inner.links.values() {
                link.send(Outgoing::Message(Box::new(ToWorker::PolicyUpdate {
                    policy: Some(Box::new(policy.clone())),
                })));
            }
            inner.policy = Some(policy);
        });
    }

    /// Ends the links and the jobs of keys that are no longer good.
    pub(crate) fn revoke(&self, is_good: impl Fn(&str) -> bool) {
        self.update(|inner| {
            for link in inner.links.values().filter(|link| !is_good(&link.key)) {
                tracing::warn!(gpu_id = %link.gpu_id, "link cut: its key is revoked");
                link.cut.cancel();
            }
            let gone = inner.entries.iter().filter(|(_, entry)| !is_good(&entry.request.key));
            for job in gone.map(|(job, _)| job.clone()).collect::<Vec<_>>() {
                inner.board.remove(&job);
                inner.fail_job(&job, Failure::BadKey);
            }
        });
    }

    /// Accepts no more jobs.
    pub(crate) fn stop(&self) {
        self.update(|inner| inner.stopping = true);
    }

    /// Ends every job.
    pub(crate) fn end_all(&self) {
        self.update(|inner| {
            for job in inner.entries.keys().cloned().collect::<Vec<_>>() {
                inner.board.remove(&job);
                inner.fail_job(&job, Failure::Stopping);
            }
        });
    }

    /// Sends a close frame on every link.
    pub(crate) fn close_links(&self, code: u16, reason: &'static str) {
        for link in self.lock().links.values() {
            link.send(Outgoing::Close { code, reason });
        }
    }

    /// Cuts every link.
    pub(crate) fn cut_links(&self) {
        for link in self.lock().links.values() {
            link.cut.cancel();
        }
    }
}

impl Inner {
    /// Performs the actions that the board returned.
    fn apply_effects(&mut self) {
        for effect in self.board.effects() {
            match effect {
                BoardEffect::Dispatch { worker, job, model, reported_model, attempt } => {
                    let (Some(link), Some(entry)) = (self.links.get(&worker), self.entries.get_mut(&job)) else {
                        continue;
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
            }
        }
    }

    /// Ends a job with a failure after the board has removed it; no effect on a job that has ended.
    fn fail_job(&mut self, job: &str, failure: Failure) {
        if let Some((id, entry)) = self.entries.remove_entry(job) {
            self.access_lines.push(AccessLine::of(&id, &entry).failed(&failure));
            entry.answer.fail(failure);
        }
    }
}
