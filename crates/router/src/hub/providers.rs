//! The providers beside the workers: which jobs they may get, and how a job goes from one to the next.

use std::sync::Arc;
use std::time::Duration;

use auxot_access::keys::Key;
use auxot_protocol::{Capabilities, Complete};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::entry::JobHolder;
use super::recent_times::RecentTimes;
use super::{Hub, Inner, RequestedJob, WORKERS};
use crate::answer::JobAnswer;
use crate::board::{Cascade, JobId, JobState, ProviderId, WorkersTurn};
use crate::failure::Failure;
use crate::provider_fault::seconds;
use crate::resolver::{Resolution, Resolver, WorkerModels};

/// The hub's handle of a provider.
#[derive(Debug)]
pub(crate) struct ProviderHandle {
    pub(crate) name: Arc<str>,
    pub(super) form: ProviderForm,
    /// The models, each with the provider's own name for it.
    models: Vec<(String, String)>,
    resolver: Resolver,
    queue: mpsc::Sender<ProviderJob>,
    pub(super) breaker: BreakerState,
    /// While its circuit breaker is open: until when.
    pub(super) closed_until: Option<Instant>,
    /// Why it has refused a job last.
    pub(super) last_refusal: Option<&'static str>,
    /// Its completed jobs.
    pub(super) times: RecentTimes,
}

/// What a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// A program that runs once for each request.
    Cli,
    /// A server with an API of a cloud.
    Cloud,
}

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Breaker")]
pub enum BreakerState {
    /// The provider gets requests.
    Closed,
    /// It gets none.
    Open,
    /// It gets one as a trial.
    HalfOpen,
}

/// How many jobs a provider may have, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProviderLimit {
    /// Jobs at once.
    pub(crate) jobs: u32,
    pub(crate) breaker: BreakerState,
    /// While the circuit breaker is open: until when.
    pub(crate) closed_until: Option<Instant>,
}

/// Which requests a provider takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ProviderForm {
    /// Chats, and requests for these paths; it answers with text.
    Text(&'static [&'static str]),
    /// Whole requests for these paths.
    Whole(&'static [&'static str]),
}

/// What gets a chat in another form than the whole request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChatUse {
    /// Workers that take no whole requests, and programs.
    Workers,
    /// Programs.
    Programs,
    Unneeded,
}

/// A job for a provider.
#[derive(Debug)]
pub(crate) struct ProviderJob {
    pub(crate) id: JobId,
    pub(crate) request: Arc<RequestedJob>,
    pub(crate) answer: Arc<JobAnswer>,
    /// The provider's name of the model.
    pub(crate) model: String,
    /// The job is no longer here: its client has left, or it has ended otherwise.
    pub(crate) ended: CancellationToken,
}

impl ProviderHandle {
    pub(crate) fn new(
        name: Arc<str>,
        form: ProviderForm,
        models: Vec<(String, String)>,
        queue: mpsc::Sender<ProviderJob>,
    ) -> Self {
        let listed = models.iter().map(|(name, _)| name.as_str());
        let mut resolver = Resolver::default();
        resolver.add(&WorkerModels::of(listed, None, &Capabilities::default()));
        let (breaker, times) = (BreakerState::Closed, RecentTimes::default());
        Self { name, form, models, resolver, queue, breaker, closed_until: None, last_refusal: None, times }
    }

    pub(super) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.iter().map(|(name, _)| name.as_str())
    }

    /// What a name means among its models.
    pub(super) fn resolve(&self, requested: &str) -> Resolution {
        self.resolver.resolve(requested)
    }

    /// The model that a request names.
    pub(super) fn model(&self, requested: &str) -> Option<&str> {
        self.named(requested).map(|(name, _)| name.as_str())
    }

    /// The provider's name of the model that a request names.
    fn own_name(&self, requested: &str) -> Option<&str> {
        self.named(requested).map(|(_, own)| own.as_str())
    }

    fn named(&self, requested: &str) -> Option<&(String, String)> {
        let Resolution::Model(model) = self.resolve(requested) else { return None };
        self.models.iter().find(|(name, _)| *name == model)
    }

    fn takes(&self, request: &RequestedJob) -> bool {
        match self.form {
            ProviderForm::Text(paths) => request.is_chat() || paths.contains(&request.whole.path()),
            ProviderForm::Whole(paths) => paths.contains(&request.whole.path()),
        }
    }
}

/// Where a job may go besides workers.
pub(super) fn cascade(upstream: &[(ProviderId, String)], key: &Key) -> Option<Cascade> {
    let others: Vec<ProviderId> = upstream.iter().map(|(id, _)| *id).collect();
    let workers = if key.terms().allow_provider(WORKERS) { WorkersTurn::First } else { WorkersTurn::Refused };
    (!others.is_empty()).then_some(Cascade { workers, others })
}

impl Hub {
    /// Adds a provider behind all others.
    pub(crate) fn add_provider(&self, provider: ProviderHandle) -> ProviderId {
        self.update(|inner| {
            inner.providers.push(provider);
            ProviderId(inner.providers.len() - 1)
        })
    }

    /// Sets how many jobs a provider may have at once.
    pub(crate) fn limit_provider(&self, provider: ProviderId, limit: ProviderLimit) {
        self.update(|inner| {
            if let Some(handle) = inner.providers.get_mut(provider.0) {
                handle.breaker = limit.breaker;
                handle.closed_until = limit.closed_until;
            }
            inner.board.limit_provider(provider, limit.jobs);
        });
    }

    /// A provider has answered a job.
    pub(crate) fn provider_completed(&self, provider: ProviderId, complete: Complete<'static>) {
        self.update(|inner| {
            if inner.board.finish_provided(provider, &complete.job_id)
                && let Some((id, mut entry)) = inner.entries.remove_entry(&*complete.job_id)
            {
                entry.count(&complete);
                let line = entry.access_line(&id).counts(&complete);
                if let Some(handle) = inner.providers.get_mut(provider.0) {
                    handle.times.add(line.first_byte, line.total);
                }
                let line = match entry.answer.complete(complete) {
                    Ok(()) => line,
                    Err(failure) => line.failed(&failure),
                };
                inner.access_lines.push(line);
            }
        });
    }

    /// A provider gives no answer, or no more of it. Another one gets the job if the client has nothing yet.
    pub(crate) fn provider_failed(&self, provider: ProviderId, job: &str, failure: &Failure) {
        self.update(|inner| {
            if let Some(handle) = inner.providers.get_mut(provider.0) {
                handle.last_refusal = Some(failure.reason());
            }
            let is_committed = inner.entries.get(job).is_none_or(|entry| entry.answer.is_committed());
            if !is_committed && inner.board.is_provided_by(provider, job) {
                inner.set_refusal(job, failure);
                inner.board.refuse(job, false);
            } else if inner.board.finish_provided(provider, job) {
                inner.fail_job(job, failure.clone());
            }
        });
    }

    /// The wait for a worker that loads the model is over.
    pub(crate) fn end_load_wait(&self, job: &str) {
        self.update(|inner| {
            if inner.entries.get(job).is_some_and(|entry| !entry.answer.is_committed()) {
                inner.board.end_load_wait(job);
            }
        });
    }

    /// What gets a chat in another form than the whole request.
    pub(crate) fn chat_use(&self, model: Option<&str>) -> ChatUse {
        let inner = self.lock();
        match (inner.board.all_take_requests(), inner.has_program(model)) {
            (false, _) => ChatUse::Workers,
            (true, true) => ChatUse::Programs,
            (true, false) => ChatUse::Unneeded,
        }
    }

    /// Whether another provider may still answer, in a while.
    pub(crate) fn may_move_on(&self, job: &str) -> bool {
        let inner = self.lock();
        let is_open = inner.entries.get(job).is_some_and(|entry| !entry.answer.is_committed());
        let waits_for_first_byte = matches!(inner.board.state(job), Some(JobState::Provided(_)));
        is_open && (inner.board.awaits_load(job) || (waits_for_first_byte && inner.board.has_alternative(job)))
    }
}

impl Inner {
    /// The providers beside the workers for a request: those that name its model. A name that means several models of the
    /// workers means none of theirs.
    pub(super) fn upstream(&self, request: &RequestedJob) -> Vec<(ProviderId, String)> {
        let Some(requested) = request.model.as_deref() else { return Vec::new() };
        if self.providers.is_empty() || matches!(self.board.resolve(requested), Resolution::Ambiguous(_)) {
            return Vec::new();
        }
        let named = |(at, provider): (usize, &ProviderHandle)| {
            let own = provider.own_name(requested).filter(|_| provider.takes(request))?;
            Some((ProviderId(at), own.to_owned()))
        };
        self.providers.iter().enumerate().filter_map(named).collect()
    }

    /// Whether a program may get a chat with this model.
    fn has_program(&self, model: Option<&str>) -> bool {
        let programs = || self.providers.iter().filter(|provider| matches!(provider.form, ProviderForm::Text(_)));
        model.is_some_and(|model| programs().any(|provider| provider.own_name(model).is_some()))
    }

    /// Gives a job to a provider.
    pub(super) fn provide(&mut self, provider: ProviderId, job: &JobId, attempt: u32) {
        let (Some(handle), Some(entry)) = (self.providers.get(provider.0), self.entries.get_mut(job)) else { return };
        if entry.answer.is_committed() {
            self.board.keep_to_workers(job);
            return;
        }
        // Its own name of the model, from the settings: a client's text is no part of a command.
        let Some((_, own)) = entry.upstream.iter().find(|(id, _)| *id == provider) else {
            self.board.refuse(job, false);
            return;
        };
        let (name, ended) = (handle.name.clone(), CancellationToken::new());
        let shown = entry.request.model.clone().unwrap_or_default();
        let is_whole = matches!(handle.form, ProviderForm::Whole(_)) || !entry.request.is_chat();
        entry.answer.provided(&name, &shown, is_whole);
        let given = ProviderJob {
            id: job.clone(),
            request: entry.request.clone(),
            answer: entry.answer.clone(),
            model: own.clone(),
            ended: ended.clone(),
        };
        entry.held_by(JobHolder::Provider { name, _run: ended.drop_guard() }, attempt);
        // The queue has room for all jobs that the board gives. Those of the last moments may still be in it.
        if handle.queue.try_send(given).is_err() {
            self.board.refuse(job, false);
        }
    }

    /// Ends a job that every provider has refused.
    pub(super) fn refuse(&mut self, job: &str) {
        let refusal = self.entries.get_mut(job).and_then(|entry| entry.refusal.take());
        let failure = refusal.unwrap_or_else(|| Failure::NoProvider(self.reopens_in(job).map(seconds)));
        self.fail_job(job, failure);
    }

    /// Time until the first provider of a job takes jobs again.
    fn reopens_in(&self, job: &str) -> Option<Duration> {
        let upstream = &self.entries.get(job)?.upstream;
        let closed = |(id, _): &(ProviderId, String)| self.providers.get(id.0)?.closed_until;
        let first = upstream.iter().filter_map(closed).min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    /// Gives a job that the workers refuse to another provider, if there is one and the client has nothing yet.
    pub(super) fn move_on(&mut self, job: &str, failure: &Failure, still_runs: bool) -> bool {
        let is_open = self.entries.get(job).is_some_and(|entry| !entry.answer.is_committed());
        if !is_open || !self.board.has_alternative(job) {
            return false;
        }
        tracing::info!(provider = WORKERS, job = %job, reason = failure.label(), "a provider has refused a job");
        self.set_refusal(job, failure);
        self.board.refuse(job, still_runs);
        true
    }

    fn set_refusal(&mut self, job: &str, failure: &Failure) {
        if let Some(entry) = self.entries.get_mut(job) {
            entry.refusal = Some(failure.clone());
        }
    }
}
