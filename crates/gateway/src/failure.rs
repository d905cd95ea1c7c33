//! Why a request gets no answer of an engine, and the error that its client gets.

use std::time::Duration;

use auxot_fleet::Refusal;
use auxot_llama::PeekError;
use bytesize::ByteSize;
use http::StatusCode;

/// A pause after which another attempt may succeed. Clients honour at most a minute.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a request gets no answer of an engine.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot answer under the host name {0}; add it to gateway.allowed_hosts (AUXOT_GATEWAY__ALLOWED_HOSTS)")]
    Host(String),
    #[error("cannot answer a page of {0}; add it to gateway.allowed_origins (AUXOT_GATEWAY__ALLOWED_ORIGINS)")]
    Origin(String),
    #[error("cannot serve a request without a key; send `Authorization: Bearer …` or `x-api-key`")]
    NoKey,
    #[error("cannot serve a request with this key: it is not a key of this host")]
    BadKey,
    #[error("cannot go on with the request: its key is revoked")]
    KeyRevoked,
    #[error("cannot check the key now: {0} others are being checked")]
    TooManyChecks(usize),
    #[error("cannot check the key now: the key file cannot be read")]
    KeysUnreadable,
    #[error("cannot find {0}: this gateway has no such path")]
    NotFound(String),
    #[error("cannot use this method here: {0} are allowed")]
    WrongMethod(&'static str),
    #[error("cannot read the request: its body is cut short")]
    CutBody,
    #[error("cannot take a body of more than {}: set gateway.max_body (AUXOT_GATEWAY__MAX_BODY)", ByteSize(*.0 as u64))]
    TooLarge(usize),
    #[error("cannot wait for the rest of the body: it took longer than {:.0} s", .0.as_secs_f64())]
    SlowBody(Duration),
    #[error("cannot hold the request now: the bodies of all requests together may have {}", ByteSize(*.0 as u64))]
    BodiesFull(usize),
    #[error(transparent)]
    Body(PeekError),
    #[error("{0}")]
    Refused(#[source] Refusal),
    #[error("cannot run the request: two processes of {model} crashed while they had it")]
    CrashesModel { model: String },
    #[error("cannot run the request: {model} was unloaded meanwhile, to make room")]
    MadeRoom { model: String },
    #[error("cannot run the request: the process of {model} went away")]
    EngineGone { model: String },
    #[error("cannot pass on the answer of {model}: {reason}")]
    Unreadable { model: String, reason: String },
    #[error("the worker is shutting down")]
    Stopping,
}

/// What an error is to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorClass {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<&'static str>,
    /// The field of the request that is the cause.
    pub(crate) param: Option<&'static str>,
    pub(crate) retry: Retry,
}

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// After a pause.
    After(Duration),
    /// Never: official clients repeat many errors by themselves unless `x-should-retry` forbids it.
    Never,
}

impl Failure {
    pub(crate) fn class(&self) -> ErrorClass {
        let class = |status, code, param, retry| ErrorClass { status, code, param, retry };
        let caller = |status, code, param| class(status, code, param, Retry::Never);
        let later = |status, code| class(status, code, None, Retry::After(RETRY_AFTER));
        match self {
            Self::Host(_) => caller(StatusCode::MISDIRECTED_REQUEST, Some("host_not_allowed"), None),
            Self::Origin(_) => caller(StatusCode::FORBIDDEN, Some("origin_not_allowed"), None),
            Self::NoKey => caller(StatusCode::UNAUTHORIZED, Some("no_api_key"), None),
            Self::BadKey | Self::KeyRevoked => caller(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), None),
            Self::TooManyChecks(_) => later(StatusCode::TOO_MANY_REQUESTS, Some("overloaded")),
            Self::KeysUnreadable => later(StatusCode::SERVICE_UNAVAILABLE, Some("keys_unreadable")),
            Self::NotFound(_) => caller(StatusCode::NOT_FOUND, Some("unknown_url"), None),
            Self::WrongMethod(_) => caller(StatusCode::METHOD_NOT_ALLOWED, Some("method_not_allowed"), None),
            Self::CutBody => caller(StatusCode::BAD_REQUEST, None, None),
            Self::TooLarge(_) => caller(StatusCode::PAYLOAD_TOO_LARGE, Some("request_too_large"), None),
            Self::SlowBody(_) => caller(StatusCode::REQUEST_TIMEOUT, Some("timeout"), None),
            Self::BodiesFull(_) => later(StatusCode::TOO_MANY_REQUESTS, Some("overloaded")),
            Self::Body(PeekError::NotJson { .. }) => caller(StatusCode::BAD_REQUEST, Some("invalid_json"), None),
            Self::Body(_) => caller(StatusCode::BAD_REQUEST, Some("invalid_value"), None),
            Self::Refused(refusal) => of_refusal(refusal),
            // Not a 5xx: clients repeat those.
            Self::CrashesModel { .. } => caller(StatusCode::BAD_REQUEST, Some("request_crashes_model"), None),
            Self::MadeRoom { .. } => later(StatusCode::SERVICE_UNAVAILABLE, Some("overloaded")),
            Self::EngineGone { .. } => later(StatusCode::SERVICE_UNAVAILABLE, Some("model_server_lost")),
            Self::Unreadable { .. } => caller(StatusCode::BAD_GATEWAY, None, None),
            Self::Stopping => later(StatusCode::SERVICE_UNAVAILABLE, Some("stopping")),
        }
    }

    /// The label of metrics and the log.
    pub(crate) fn ending(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::CrashesModel { .. } => "crashes_engines",
            Self::MadeRoom { .. } => "made_room",
            Self::EngineGone { .. } => "engine_gone",
            Self::Unreadable { .. } => "unreadable",
            Self::Stopping => "shutting_down",
            Self::KeyRevoked => "key_revoked",
            _ => "bad_job",
        }
    }
}

fn of_refusal(refusal: &Refusal) -> ErrorClass {
    let class = |status, code, param, retry| ErrorClass { status, code: Some(code), param, retry };
    let (later, unavailable) = (Retry::After(RETRY_AFTER), StatusCode::SERVICE_UNAVAILABLE);
    match refusal {
        Refusal::UnknownModel { .. } | Refusal::AmbiguousModel { .. } => {
            class(StatusCode::NOT_FOUND, "model_not_found", Some("model"), Retry::Never)
        }
        Refusal::WrongTask { .. } | Refusal::NoModelForTask { .. } => {
            class(StatusCode::BAD_REQUEST, "model_not_supported", Some("model"), Retry::Never)
        }
        Refusal::QueueFull { .. } => class(StatusCode::TOO_MANY_REQUESTS, "overloaded", None, later),
        Refusal::WaitTimeout { .. } => class(unavailable, "overloaded", None, later),
        Refusal::NoModel { .. } | Refusal::Stopped { .. } => class(unavailable, "no_model", None, later),
        Refusal::Failed { .. } => class(unavailable, "model_failed", None, Retry::Never),
        Refusal::DoesNotFit { .. } => class(unavailable, "model_too_large", None, Retry::Never),
        Refusal::Draining => class(unavailable, "stopping", None, later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_another_attempt_may_cure_says_when_and_the_others_say_never() {
        let model = || "m".to_owned();
        let name = || Refusal::UnknownModel { name: model(), serves: Vec::new() };
        for (failure, status, code, retries) in [
            (Failure::Refused(name()), 404, "model_not_found", false),
            (Failure::Refused(Refusal::QueueFull { model: model(), waiting: 3 }), 429, "overloaded", true),
            (Failure::Refused(Refusal::Draining), 503, "stopping", true),
            (Failure::EngineGone { model: model() }, 503, "model_server_lost", true),
            (Failure::CrashesModel { model: model() }, 400, "request_crashes_model", false),
            (Failure::TooLarge(1), 413, "request_too_large", false),
            (Failure::BodiesFull(1), 429, "overloaded", true),
        ] {
            let class = failure.class();
            let retry = if let Retry::After(pause) = class.retry { Some(pause.as_secs()) } else { None };
            assert_eq!((class.status.as_u16(), class.code), (status, Some(code)), "{failure}");
            assert!(retry.is_some() == retries && retry.is_none_or(|pause| (1..=60).contains(&pause)), "{failure}");
        }
    }
}
