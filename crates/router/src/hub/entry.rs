//! The hub's record of one job.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_llama::PathTask;
use auxot_protocol::{Complete, HttpRequest, Job, JobRequest};
use bytes::Bytes;
use tokio_util::sync::DropGuard;

use super::access_line::AccessLine;
use crate::answer::JobAnswer;
use crate::board::{Conversation, ProviderId, RequiredExtension};
use crate::failure::Failure;
use crate::log_text::log_text;
use auxot_access::keys::{self, Key};
use auxot_access::{BudgetShare, CountedRequest};

/// The name of the workers, as a provider.
pub(crate) const WORKERS: &str = keys::WORKERS;

/// The job that a client requests.
#[derive(Debug)]
pub(crate) struct RequestedJob {
    /// The model as the client names it; `None` for any.
    pub(crate) model: Option<String>,
    /// What the model must be for.
    pub(crate) task: PathTask,
    pub(crate) stream: bool,
    /// Its messages, where there is a choice of workers.
    pub(crate) conversation: Conversation,
    /// The request as it came.
    pub(crate) whole: WholeRequest,
    /// The same for workers that take no whole requests.
    pub(crate) chat: AsChat,
    /// The client's key.
    pub(crate) key: Arc<Key>,
    /// It counts towards the limits of the key.
    pub(crate) counted: CountedRequest,
    /// Its part of the bound over all bodies.
    pub(crate) _body_bytes: BudgetShare,
}

/// A client's request as it came.
#[derive(Debug)]
pub(crate) struct WholeRequest {
    pub(crate) http: HttpRequest,
    /// Where the body names a model.
    pub(crate) model: Option<ModelPlace>,
}

/// Where a body names a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelPlace {
    /// There is its JSON string, with the quotes.
    Json(Range<usize>),
    /// There is the value of the form's field.
    Form(Range<usize>),
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
    /// Whether it is read as a chat.
    pub(crate) fn is_chat(&self) -> bool {
        !matches!(self.chat, AsChat::Unneeded)
    }

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
                if let Some(model) = &model {
                    http.body = self.whole.body_for(model);
                }
                let request = Some(JobRequest { http: Some(Box::new(http)), ..JobRequest::default() });
                Job { job_id: id.to_owned(), model, request, ..Job::default() }
            }
        }
    }
}

impl WholeRequest {
    /// The path without its query.
    pub(crate) fn path(&self) -> &str {
        self.http.path.split('?').next().unwrap_or_default()
    }

    /// The body for a provider, with its name of the model.
    pub(crate) fn body_for(&self, model: &str) -> Bytes {
        match &self.model {
            Some(place) => with_model(&self.http.body, place, model),
            None => self.http.body.clone(),
        }
    }
}

/// The body with another name of the model; the engine repeats that name in its answer.
fn with_model(body: &Bytes, place: &ModelPlace, model: &str) -> Bytes {
    let (place, name) = match place {
        ModelPlace::Json(place) => (place, serde_json::Value::from(model).to_string()),
        ModelPlace::Form(place) => (place, model.to_owned()),
    };
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
    /// The providers beside the workers that have the model, each with its own name for it.
    pub(super) upstream: Vec<(ProviderId, String)>,
    /// Why the last provider has refused it.
    pub(super) refusal: Option<Failure>,
    accepted: Instant,
    dispatched: Option<Instant>,
    holder: JobHolder,
    attempts: u32,
    /// Its tokens, where they are counted.
    tokens: Option<u64>,
}

impl Drop for JobEntry {
    /// Takes its tokens from those of its key, however it has ended: a client that leaves before the counts come has used some.
    fn drop(&mut self) {
        let tokens = self.tokens.unwrap_or_else(|| self.answer.estimated_tokens());
        self.request.counted.spend(tokens, Instant::now());
    }
}

/// Where a job was last.
#[derive(Debug)]
pub(super) enum JobHolder {
    Queue,
    Worker {
        gpu_id: Arc<str>,
    },
    Provider {
        name: Arc<str>,
        /// Ends the run when the job is no longer there.
        _run: DropGuard,
    },
}

impl JobEntry {
    pub(super) fn new(request: RequestedJob, answer: Arc<JobAnswer>, upstream: Vec<(ProviderId, String)>) -> Self {
        Self {
            request: Arc::new(request),
            answer,
            upstream,
            refusal: None,
            accepted: Instant::now(),
            dispatched: None,
            holder: JobHolder::Queue,
            attempts: 0,
            tokens: None,
        }
    }

    /// The job goes to a worker or to another provider.
    pub(super) fn held_by(&mut self, holder: JobHolder, attempt: u32) {
        self.dispatched.get_or_insert_with(Instant::now);
        self.attempts = attempt;
        self.holder = holder;
    }

    pub(super) fn age(&self) -> Duration {
        self.accepted.elapsed()
    }

    /// The tokens of its answer are counted.
    pub(super) fn count(&mut self, complete: &Complete<'_>) {
        let known = [complete.input_tokens, complete.cache_tokens, complete.output_tokens];
        self.tokens = known.into_iter().flatten().reduce(u64::saturating_add);
    }

    /// Its times and places for the access log.
    pub(super) fn access_line(&self, job: &Arc<str>) -> AccessLine {
        let since = |moment: Instant| moment.duration_since(self.accepted);
        let (provider, gpu_id) = match &self.holder {
            JobHolder::Queue => (None, None),
            JobHolder::Worker { gpu_id } => (Some(WORKERS.into()), Some(gpu_id.clone())),
            JobHolder::Provider { name, .. } => (Some(name.clone()), None),
        };
        AccessLine {
            job: job.clone(),
            key_name: self.request.key.name.clone(),
            model: self.request.model.as_deref().map(log_text),
            provider,
            gpu_id,
            stream: self.request.stream,
            attempts: self.attempts,
            queued: self.dispatched.map(since),
            first_byte: self.answer.first_text().map(since),
            total: self.age(),
            ..AccessLine::default()
        }
    }
}
