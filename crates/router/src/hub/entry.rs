//! The hub's record of one job, and its line in the access log.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_llama::PathTask;
use auxot_protocol::{Complete, HttpRequest, Job, JobRequest};
use bytes::Bytes;

use super::LinkHandle;
use crate::answer::JobAnswer;
use crate::board::RequiredExtension;
use crate::failure::Failure;
use crate::log_text::log_text;
use auxot_access::BudgetShare;
use auxot_access::KeyId;

/// The job that a client requests.
#[derive(Debug)]
pub(crate) struct RequestedJob {
    /// The model as the client names it; `None` for any.
    pub(crate) model: Option<String>,
    /// What the model must be for.
    pub(crate) task: PathTask,
    pub(crate) stream: bool,
    /// The request as it came.
    pub(crate) whole: WholeRequest,
    /// The same for workers that take no whole requests.
    pub(crate) chat: AsChat,
    /// Id of the client's key.
    pub(crate) key: KeyId,
    /// Its part of the bound over all bodies.
    pub(crate) _body_bytes: BudgetShare,
}

/// A client's request as it came.
#[derive(Debug)]
pub(crate) struct WholeRequest {
    pub(crate) http: HttpRequest,
    /// Where the body names a model.
    pub(crate) model: Option<Range<usize>>,
}

/// A request as a chat job.
#[derive(Debug)]
pub(crate) enum AsChat {
    /// It is no chat, or every worker takes whole requests.
    Unneeded,
    Job(ChatJob),
    /// It asks for what no chat job can carry.
    Impossible(Failure),
}

/// A chat in the job's own fields.
#[derive(Debug)]
pub(crate) struct ChatJob {
    /// Without its id and the worker's name of the model.
    pub(crate) job: Job,
    /// The first parameter that changes the answer and needs an extension.
    pub(crate) required_parameter: Option<String>,
}

/// The form in which a worker gets a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobForm {
    /// The request as it came.
    Whole,
    /// A chat; without its parameters for a worker that does not know them.
    Chat { parameters: bool },
}

impl RequestedJob {
    /// The extension that a worker needs.
    pub(crate) fn extension(&self) -> RequiredExtension {
        match &self.chat {
            AsChat::Job(ChatJob { required_parameter: None, .. }) => RequiredExtension::None,
            AsChat::Job(ChatJob { required_parameter: Some(_), .. }) => RequiredExtension::Parameters,
            AsChat::Impossible(_) | AsChat::Unneeded => RequiredExtension::Requests,
        }
    }

    /// Why workers without that extension cannot have the job.
    pub(crate) fn without_extension(&self) -> Failure {
        match &self.chat {
            AsChat::Impossible(failure) => failure.clone(),
            AsChat::Job(ChatJob { required_parameter: Some(name), .. }) => Failure::Unsupported(name.clone()),
            AsChat::Job(_) | AsChat::Unneeded => Failure::Unsupported(self.whole.http.path.clone()),
        }
    }

    /// The job for one worker.
    pub(crate) fn for_worker(&self, id: &str, model: Option<String>, form: JobForm) -> Job {
        match (form, &self.chat) {
            (JobForm::Chat { parameters }, AsChat::Job(chat)) => {
                let request = chat.job.request.clone().filter(|_| parameters);
                Job { job_id: id.to_owned(), model, request, ..chat.job.clone() }
            }
            (JobForm::Whole | JobForm::Chat { .. }, _) => {
                let mut http = self.whole.http.clone();
                if let (Some(place), Some(model)) = (&self.whole.model, &model) {
                    http.body = with_model(&http.body, place, model);
                }
                let request = Some(JobRequest { http: Some(Box::new(http)), ..JobRequest::default() });
                Job { job_id: id.to_owned(), model, request, ..Job::default() }
            }
        }
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

    /// The job goes to a worker, in the form that this returns.
    pub(super) fn dispatched(&mut self, link: &LinkHandle, attempt: u32, reported_model: &str) -> JobForm {
        self.dispatched.get_or_insert_with(Instant::now);
        self.gpu_id = Some(link.gpu_id.clone());
        self.attempts = attempt;
        let is_whole = link.requests || matches!(self.request.chat, AsChat::Unneeded);
        match self.answer.dispatched(attempt, reported_model, is_whole) {
            true => JobForm::Whole,
            false => JobForm::Chat { parameters: link.parameters },
        }
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
            model: entry.request.model.as_deref().map(log_text),
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
