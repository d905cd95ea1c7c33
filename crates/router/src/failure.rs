//! Why a client gets no answer, and how that is said over HTTP.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One reason for one job or request to end badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    BadRequest(String),
    #[error("cannot read the request: it is longer than {0} bytes")]
    TooLarge(usize),
    #[error("missing Bearer token")]
    NoKey,
    #[error("invalid API key")]
    BadKey,
    #[error("cannot check the key now: {0} other checks are under way")]
    TooManyChecks(usize),
    #[error("cannot find model `{asked}`; there is: {}", known.join(", "))]
    UnknownModel { asked: String, known: Vec<String> },
    #[error("cannot serve model `{0}`: it failed to load on every worker that has it")]
    ModelFailed(String),
    #[error("cannot queue the job: {0} are waiting already")]
    QueueFull(usize),
    #[error("no worker with a model is connected; waited {0} s")]
    NoWorker(u64),
    #[error("every worker is busy; waited {0} s")]
    Busy(u64),
    #[error("job timed out after {0} s")]
    TimedOut(u64),
    #[error("{0}")]
    Worker(String),
    #[error("the worker was lost {0} times while it ran this job")]
    Lost(u32),
    #[error("the worker was lost and the answer of another run differs from what was sent already")]
    Changed,
    #[error("the client reads too slowly")]
    TooSlow,
    #[error("the client left")]
    ClientLeft,
    #[error("the router is stopping")]
    Stopping,
    #[error("the router has no randomness")]
    NoRandomness,
}

impl Failure {
    /// HTTP status, OpenAI error type, code, seconds to wait before another try.
    fn shape(&self) -> (StatusCode, &'static str, Option<&'static str>, Option<u32>) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request_error", None, None),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", None, None),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "authentication_error", None, None),
            Self::BadKey => (StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"), None),
            Self::UnknownModel { .. } => (StatusCode::NOT_FOUND, "not_found_error", Some("model_not_found"), None),
            Self::TooManyChecks(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("overloaded"), Some(1)),
            Self::ModelFailed(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("model_failed"), Some(30)),
            Self::QueueFull(_) | Self::Busy(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("overloaded"), Some(5))
            }
            Self::NoWorker(_) => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("no_worker"), Some(5)),
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("stopping"), Some(10)),
            Self::TimedOut(_) => (StatusCode::GATEWAY_TIMEOUT, "server_error", Some("timeout"), Some(5)),
            Self::Lost(_) | Self::Changed => (StatusCode::BAD_GATEWAY, "server_error", Some("worker_lost"), Some(1)),
            Self::Worker(_) | Self::TooSlow | Self::ClientLeft | Self::NoRandomness => {
                (StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, None)
            }
        }
    }

    /// One word for the access log.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::BadRequest(_) | Self::TooLarge(_) => "bad_request",
            Self::NoKey | Self::BadKey | Self::TooManyChecks(_) => "refused_key",
            Self::UnknownModel { .. } => "unknown_model",
            Self::ModelFailed(_) => "model_failed",
            Self::QueueFull(_) => "queue_full",
            Self::NoWorker(_) => "no_worker",
            Self::Busy(_) => "busy",
            Self::TimedOut(_) => "timed_out",
            Self::Worker(_) => "worker_error",
            Self::Lost(_) => "worker_lost",
            Self::Changed => "answer_changed",
            Self::TooSlow => "client_too_slow",
            Self::ClientLeft => "client_left",
            Self::Stopping => "stopping",
            Self::NoRandomness => "no_randomness",
        }
    }

    /// The error object of the OpenAI API.
    pub(crate) fn body(&self) -> ErrorBody {
        let (_, kind, code, _) = self.shape();
        ErrorBody { error: ErrorText { message: self.to_string(), kind, code } }
    }
}

/// `{"error":{…}}`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    error: ErrorText,
}

#[derive(Debug, Serialize)]
struct ErrorText {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl ErrorBody {
    /// For what is no [`Failure`] of a job: an address that does not exist.
    pub(crate) fn plain(message: &str, kind: &'static str) -> Self {
        Self { error: ErrorText { message: message.to_owned(), kind, code: None } }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, _, _, retry_after) = self.shape();
        let mut response = (status, axum::Json(self.body())).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
