//! The hub's record of one job, and its line in the access log.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_llama::PathTask;
use auxot_protocol::{Complete, Job};
use bytes::Bytes;

use crate::answer::JobAnswer;
use crate::board::RequiredExtension;
use crate::failure::Failure;
use crate::log_text::log_text;
use auxot_access::BudgetShare;
use auxot_access::KeyId;

/// The job that a client requests.
#[derive(Debug)]
pub(crate) struct RequestedJob {
    /// The job for a worker, without its id and the worker's name of the model.
    pub(crate) job: Job,
    /// What the model must be for.
    pub(crate) task: PathTask,
    pub(crate) stream: bool,
    /// The part of the request that needs an extension of the protocol.
    pub(crate) needs: Needs,
    /// Id of the client's key.
    pub(crate) key: KeyId,
    /// Its part of the bound over all bodies.
    pub(crate) _body_bytes: BudgetShare,
}

/// The part of a request that needs an extension of the protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Needs {
    #[default]
    Nothing,
    /// The first parameter that changes the answer.
    Parameter(String),
    /// The whole request; where its body names a model.
    Request { path: String, model: Option<Range<usize>> },
}

impl Needs {
    pub(crate) fn extension(&self) -> RequiredExtension {
        match self {
            Self::Nothing => RequiredExtension::None,
            Self::Parameter(_) => RequiredExtension::Parameters,
            Self::Request { .. } => RequiredExtension::Requests,
        }
    }
}

impl RequestedJob {
    /// The requested model; `None` for any.
    pub(crate) fn requested_model(&self) -> Option<&str> {
        self.job.model.as_deref()
    }

    /// The job for one worker; `parameters` are left out for a worker without that extension.
    pub(crate) fn for_worker(&self, model: Option<String>, parameters: bool) -> Job {
        let mut job = Job { model, ..self.job.clone() };
        match &self.needs {
            Needs::Request { model: place, .. } => {
                let http = job.request.as_mut().and_then(|request| request.http.as_mut());
                if let (Some(http), Some(place), Some(model)) = (http, place, &job.model) {
                    http.body = with_model(&http.body, place, model);
                }
            }
            Needs::Nothing | Needs::Parameter(_) if !parameters => job.request = None,
            Needs::Nothing | Needs::Parameter(_) => {}
        }
        job
    }
}

/// The body with another name of the model; the engine repeats that name in its answer.
fn with_model(body: &Bytes, place: &Range<usize>, model: &str) -> Bytes {
    let name = serde_json::Value::from(model).to_string();
    match (body.get(..place.start), body.get(place.clone()), body.get(place.end..)) {
        (Some(before), Some(known), Some(after)) if known != name.as_bytes() => {
            [before, name.as_bytes(), after].concat().into()
        }
        _ => body.clone(),
    }
}

/// One job in the hub.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub(crate) request: Arc<RequestedJob>,
    pub(crate) answer: Arc<JobAnswer>,
    accepted: Instant,
    dispatched: Option<Instant>,
    gpu_id: Option<Arc<str>>,
    attempts: u32,
}

impl JobEntry {
    pub(super) fn new(request: RequestedJob, answer: Arc<JobAnswer>) -> Self {
        Self {
            request: Arc::new(request),
            answer,
            accepted: Instant::now(),
            dispatched: None,
            gpu_id: None,
            attempts: 0,
        }
    }

    /// The job goes to a worker.
    pub(super) fn dispatched(&mut self, gpu_id: Arc<str>, attempt: u32, reported_model: &str) {
        self.dispatched.get_or_insert_with(Instant::now);
        self.gpu_id = Some(gpu_id);
        self.attempts = attempt;
        self.answer.dispatched(attempt, reported_model);
    }

    pub(super) fn age(&self) -> Duration {
        self.accepted.elapsed()
    }
}

/// The access line of one job: ids, counts and times; no text and no key.
#[derive(Debug)]
pub(super) struct AccessLine {
    job: Arc<str>,
    model: Option<String>,
    gpu_id: Option<Arc<str>>,
    ending: &'static str,
    stream: bool,
    attempts: u32,
    input: u64,
    cached: u64,
    output: u64,
    queued_ms: Option<u128>,
    first_ms: Option<u128>,
    total_ms: u128,
}

impl AccessLine {
    pub(super) fn of(job: &Arc<str>, entry: &JobEntry) -> Self {
        let since = |moment: Instant| moment.duration_since(entry.accepted).as_millis();
        Self {
            job: job.clone(),
            model: entry.request.requested_model().map(log_text),
            gpu_id: entry.gpu_id.clone(),
            ending: "completed",
            stream: entry.request.stream,
            attempts: entry.attempts,
            input: 0,
            cached: 0,
            output: 0,
            queued_ms: entry.dispatched.map(since),
            first_ms: entry.answer.first_text().map(since),
            total_ms: entry.age().as_millis(),
        }
    }

    pub(super) fn counts(mut self, complete: &Complete<'_>) -> Self {
        self.input = complete.input_tokens.unwrap_or(0);
        self.cached = complete.cache_tokens.unwrap_or(0);
        self.output = complete.output_tokens.unwrap_or(0);
        self
    }

    pub(super) fn failed(mut self, failure: &Failure) -> Self {
        self.ending = failure.label();
        self
    }

    pub(super) fn write(self) {
        tracing::info!(
            job = %self.job,
            model = self.model.as_deref().unwrap_or("-"),
            gpu_id = self.gpu_id.as_deref().unwrap_or("-"),
            ending = self.ending,
            stream = self.stream,
            attempts = self.attempts,
            input_tokens = self.input,
            cache_tokens = self.cached,
            output_tokens = self.output,
            queued_ms = self.queued_ms,
            first_text_ms = self.first_ms,
            total_ms = self.total_ms,
            "job ended"
        );
    }
}
