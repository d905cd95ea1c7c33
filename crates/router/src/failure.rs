//! Why a client gets no answer, and how that is reported over HTTP.

use std::borrow::Cow;

use auxot_llama::{PathTask, anthropic_error_type};
use auxot_names::list;
use auxot_protocol::JobError;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::key_refusal::KeyRefusal;
use crate::provider_fault::ProviderFault;

/// Official clients read this first to decide whether to repeat a request.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// A longer message of a worker is cut.
const MAX_MESSAGE: usize = 8192;
const MAX_FIELD: usize = 128;
/// A worker's longer `retry_after` is cut to a day.
const MAX_RETRY_AFTER: u32 = 24 * 3600;

/// A fault in the client's request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BadRequest {
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl BadRequest {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), param: None, code: None }
    }

    /// Names the field that is at fault.
    pub(crate) fn of(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }

    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// The error of a job as its worker reports it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct WorkerFault {
    message: String,
    status: Option<u16>,
    code: Option<String>,
    param: Option<String>,
    retry_after: Option<u32>,
}

impl WorkerFault {
    /// The refusal of an engine.
    pub(crate) fn of_engine(status: u16, message: &str) -> Self {
        Self::of(&JobError { error: message.into(), status: Some(status), ..JobError::default() })
    }

    /// Whether another provider may do better: the worker is at fault, or busy.
    pub(crate) fn is_workers(&self) -> bool {
        self.status.is_none_or(is_providers)
    }

    pub(crate) fn of(error: &JobError<'_>) -> Self {
        let cut = |text: &str, longest: usize| text.chars().take(longest).collect::<String>();
        let word = |text: &Option<Cow<'_, str>>| {
            text.as_deref().filter(|text| !text.is_empty()).map(|text| cut(text, MAX_FIELD))
        };
        Self {
            message: cut(&error.error, MAX_MESSAGE),
            status: error.status.filter(|status| (400..600).contains(status)),
            code: word(&error.code),
            param: word(&error.param),
            retry_after: error.retry_after.map(|seconds| seconds.min(MAX_RETRY_AFTER)),
        }
    }
}

/// The reason why one job or request fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    #[error("cannot read the request: it is longer than {0} bytes")]
    TooLarge(usize),
    #[error("cannot read the request: its body did not come within {0} s")]
    SlowBody(u64),
    #[error("cannot take the request: the current requests hold {0} bytes already")]
    BodiesFull(usize),
    #[error("cannot find model `{requested}`; {}", known_models(known))]
    UnknownModel { requested: String, known: Vec<String> },
    #[error("cannot choose a model for `{requested}`: it may be {}", list(candidates))]
    Ambiguous { requested: String, candidates: Vec<String> },
    #[error("cannot {} with model `{model}`: it is for {}", verb(*task), list(tasks))]
    OtherTask { model: String, task: PathTask, tasks: Vec<String> },
    #[error("cannot {0}: the request names no model, and none of the models here can {0}: {list}", verb(*task), list = list(models))]
    NoModelForTask { task: PathTask, models: Vec<String> },
    #[error("cannot pass on `{0}`: no provider that has the model supports it")]
    Unsupported(String),
    #[error("cannot serve model `{0}`: it failed to load on every worker that has it")]
    ModelFailed(String),
    #[error("cannot queue the job: {0} are waiting already")]
    QueueFull(usize),
    #[error("no worker with a model is connected; waited {0} s")]
    NoWorker(u64),
    #[error("every worker is busy; waited {0} s")]
    Busy(u64),
    #[error("job timed out after {0} s without a message from its worker")]
    TimedOut(u64),
    #[error(transparent)]
    Worker(WorkerFault),
    #[error(transparent)]
    Provider(ProviderFault),
    #[error(transparent)]
    Key(KeyRefusal),
    #[error("cannot serve the model now: no worker has it, and every other provider of it has failed lately")]
    NoProvider(Option<u32>),
    #[error("the worker was lost {0} times while it ran this job")]
    Lost(u32),
    #[error("the worker was lost and the answer of its next run differs from what was already sent")]
    Changed,
    #[error("cannot pass on the answer: bytes of it are missing")]
    Broken,
    #[error("the client reads too slowly")]
    TooSlow,
    #[error("the client left")]
    ClientLeft,
    #[error("the router is stopping")]
    Stopping,
    #[error("cannot get random bytes from the system")]
    NoRandomness,
}

/// The HTTP form of a failure.
struct ErrorResponse<'a> {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'a str>,
    param: Option<&'a str>,
    /// Seconds before another attempt.
    retry_after: Option<u32>,
    /// Value of `x-should-retry`; absent where the status decides.
    should_retry: Option<bool>,
}

impl Failure {
    fn response_parts(&self) -> ErrorResponse<'_> {
        let caller = |status, code, param| ErrorResponse {
            status,
            kind: "invalid_request_error",
            code,
            param,
            retry_after: None,
            should_retry: Some(false),
        };
        let server = |status, code, retry_after| ErrorResponse {
            status,
            kind: "server_error",
            code,
            param: None,
            retry_after,
            should_retry: None,
        };
        let later = |code, seconds| server(StatusCode::SERVICE_UNAVAILABLE, Some(code), Some(seconds));
        match self {
            Self::BadRequest(fault) => caller(StatusCode::BAD_REQUEST, fault.code, fault.param.as_deref()),
            Self::TooLarge(_) => caller(StatusCode::PAYLOAD_TOO_LARGE, Some("request_too_large"), None),
            Self::SlowBody(_) => caller(StatusCode::REQUEST_TIMEOUT, Some("timeout"), None),
            Self::UnknownModel { .. } => ErrorResponse {
                kind: "not_found_error",
                ..caller(StatusCode::NOT_FOUND, Some("model_not_found"), Some("model"))
            },
            Self::Ambiguous { .. } => caller(StatusCode::BAD_REQUEST, Some("ambiguous_model"), Some("model")),
            Self::OtherTask { .. } | Self::NoModelForTask { .. } => {
                caller(StatusCode::BAD_REQUEST, Some("unsupported_model"), Some("model"))
            }
            Self::Unsupported(name) => caller(StatusCode::BAD_REQUEST, Some("unsupported_parameter"), Some(name)),
            Self::BodiesFull(_) => later("overloaded", 1),
            Self::ModelFailed(_) => later("model_failed", 30),
            Self::QueueFull(_) | Self::Busy(_) => later("overloaded", 5),
            Self::NoWorker(_) => later("no_worker", 5),
            Self::Stopping => later("stopping", 10),
            Self::TimedOut(_) => server(StatusCode::GATEWAY_TIMEOUT, Some("timeout"), Some(5)),
            // All attempts are used up: automatic repeats of the client would multiply them.
            Self::Lost(_) | Self::Changed | Self::Broken => ErrorResponse {
                should_retry: Some(false),
                ..server(StatusCode::BAD_GATEWAY, Some("worker_lost"), None)
            },
            Self::Worker(fault) => worker_response(fault),
            Self::Provider(fault) => {
                let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_GATEWAY);
                server(status, Some("provider_failed"), fault.retry_after())
            }
            Self::Key(refusal) => ErrorResponse {
                status: refusal.status(),
                kind: refusal.kind(),
                code: refusal.code(),
                param: refusal.param(),
                retry_after: refusal.retry_after(),
                should_retry: refusal.retry_after().is_none().then_some(false),
            },
            Self::NoProvider(seconds) => later("no_provider", seconds.unwrap_or(5)),
            Self::TooSlow | Self::ClientLeft | Self::NoRandomness => {
                server(StatusCode::INTERNAL_SERVER_ERROR, None, None)
            }
        }
    }

    /// The label of the failure in the access log.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::TooLarge(_) | Self::SlowBody(_) | Self::Unsupported(_) => "bad_request",
            Self::BodiesFull(_) => "bodies_full",
            Self::UnknownModel { .. }
            | Self::Ambiguous { .. }
            | Self::OtherTask { .. }
            | Self::NoModelForTask { .. } => "unknown_model",
            Self::ModelFailed(_) => "model_failed",
            Self::QueueFull(_) => "queue_full",
            Self::NoWorker(_) => "no_worker",
            Self::Busy(_) => "busy",
            Self::TimedOut(_) => "timed_out",
            Self::Worker(_) => "worker_error",
            Self::Provider(_) => "provider_failed",
            Self::Key(refusal) => refusal.label(),
            Self::NoProvider(_) => "no_provider",
            Self::Lost(_) => "worker_lost",
            Self::Changed => "answer_changed",
            Self::Broken => "answer_broken",
            Self::TooSlow => "client_too_slow",
            Self::ClientLeft => "client_left",
            Self::Stopping => "stopping",
            Self::NoRandomness => "no_randomness",
        }
    }

    /// The label of its reason in metrics, where a provider has refused a job.
    pub(crate) fn reason(&self) -> &'static str {
        if let Self::Provider(fault) = self { fault.label() } else { self.label() }
    }

    /// The error object of the Anthropic API.
    pub(crate) fn anthropic_body(&self) -> serde_json::Value {
        let ErrorResponse { status, code, .. } = self.response_parts();
        let kind = anthropic_error_type(status.as_u16());
        serde_json::json!({"type": "error", "error": {"type": kind, "message": self.to_string(), "code": code}})
    }

    /// The response in the form of the Anthropic API.
    pub(crate) fn into_anthropic_response(self) -> Response {
        let body = axum::Json(self.anthropic_body()).into_response().into_body();
        let (mut parts, _) = self.into_response().into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, body)
    }

    /// The error object of the OpenAI API.
    pub(crate) fn body(&self) -> ErrorBody<'_> {
        let ErrorResponse { kind, code, param, .. } = self.response_parts();
        ErrorBody { error: ErrorText { message: self.to_string(), kind, param, code } }
    }
}

/// A worker's fault. The worker decides its status and whether a repeat makes sense.
fn worker_response(fault: &WorkerFault) -> ErrorResponse<'_> {
    let status_of_worker = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status_of_worker.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let transient = fault.retry_after.is_some() || matches!(status.as_u16(), 408 | 409 | 429);
    ErrorResponse {
        status,
        kind: if status.is_client_error() { "invalid_request_error" } else { "server_error" },
        code: fault.code.as_deref(),
        param: fault.param.as_deref(),
        retry_after: fault.retry_after,
        // A worker that sets a status knows the kind of fault; without one it may be any.
        should_retry: (status_of_worker.is_some() && !transient).then_some(false),
    }
}

/// Whether a status says that the provider is at fault, or busy, and not the request.
pub(crate) fn is_providers(status: u16) -> bool {
    status >= 500 || matches!(status, 408 | 425 | 429)
}

/// The verb of a refusal.
fn verb(task: PathTask) -> &'static str {
    match task {
        PathTask::Chat => "chat",
        PathTask::Embedding => "make embeddings",
        PathTask::Rerank => "rerank",
        PathTask::Any => "serve requests",
    }
}

fn known_models(known: &[String]) -> String {
    if known.is_empty() { "no model here can chat".to_owned() } else { format!("the models here are {}", list(known)) }
}

/// `{"error":{…}}`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    error: ErrorText<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorText<'a> {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ErrorBody<'static> {
    /// An error that is not a [`Failure`] of a job: an unknown address.
    pub(crate) fn plain(message: impl Into<String>, kind: &'static str, code: &'static str) -> Self {
        Self { error: ErrorText { message: message.into(), kind, param: None, code: Some(code) } }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let ErrorResponse { status, retry_after, should_retry, .. } = self.response_parts();
        let mut response = (status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(should) = should_retry {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static(if should { "true" } else { "false" }));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_decides_the_status_and_all_its_texts_are_bounded() {
        let error = JobError {
            error: "x".repeat(100_000).into(),
            code: Some("context_length_exceeded".into()),
            param: Some("messages".into()),
            status: Some(400),
            ..JobError::default()
        };
        let failure = Failure::Worker(WorkerFault::of(&error));
        let body = serde_json::to_value(failure.body()).unwrap();
        assert_eq!(body["error"]["code"], "context_length_exceeded");
        assert_eq!(body["error"]["message"].as_str().map(str::len), Some(MAX_MESSAGE));
        let response = failure.into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (400, &"false".parse().unwrap())
        );

        let lost = JobError { status: Some(502), ..JobError::default() };
        let response = Failure::Worker(WorkerFault::of(&lost)).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-should-retry"]),
            (502, &"false".parse().unwrap())
        );

        let transient = JobError { status: Some(503), retry_after: Some(u32::MAX), ..JobError::default() };
        let response = Failure::Worker(WorkerFault::of(&transient)).into_response();
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"86400".parse().unwrap()));
        assert!(!response.headers().contains_key("x-should-retry"));

        for status in [None, Some(200), Some(999)] {
            let odd = Failure::Worker(WorkerFault::of(&JobError { status, ..JobError::default() })).into_response();
            assert_eq!(odd.status(), 500, "{status:?}");
            assert!(!odd.headers().contains_key("x-should-retry"), "the kind of fault is unknown");
        }
    }
}
