//! Why a request is refused because of its key: there is none, it is bad, it may not use this, or its limit is reached.

use auxot_access::LimitReached;
use auxot_names::list;
use axum::http::StatusCode;

use crate::provider_fault::seconds;

/// The longest `Retry-After` of a limit.
const LONGEST_WAIT: u32 = 60;

/// Why a request is refused because of its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRefusal {
    #[error("missing Bearer token")]
    Missing,
    #[error("invalid API key")]
    Invalid,
    #[error("cannot check the key now: {0} other checks are running")]
    TooManyChecks(usize),
    #[error("cannot check the key now: the router cannot read its key file")]
    Unreadable,
    #[error("cannot use model `{model}` with this key: it may use {}", list(allowed))]
    Model { model: String, allowed: Vec<String> },
    #[error("cannot choose a model for this key: the request names none, and the key may use {}", list(allowed))]
    NoModel { allowed: Vec<String> },
    #[error("cannot use provider `{provider}` with this key: it may use {}", list(allowed))]
    Provider { provider: String, allowed: Vec<String> },
    #[error("cannot take the request: {0}")]
    Limit(LimitReached),
}

impl KeyRefusal {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Invalid => StatusCode::UNAUTHORIZED,
            Self::TooManyChecks(_) | Self::Unreadable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Model { .. } | Self::NoModel { .. } | Self::Provider { .. } => StatusCode::FORBIDDEN,
            Self::Limit(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The type in the form of OpenAI's API.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid => "authentication_error",
            Self::TooManyChecks(_) | Self::Unreadable => "server_error",
            Self::Model { .. } | Self::NoModel { .. } | Self::Provider { .. } => "permission_error",
            Self::Limit(_) => "rate_limit_error",
        }
    }

    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Missing => None,
            Self::Invalid => Some("invalid_api_key"),
            Self::TooManyChecks(_) => Some("overloaded"),
            Self::Unreadable => Some("keys_unreadable"),
            Self::Model { .. } | Self::NoModel { .. } => Some("model_not_allowed"),
            Self::Provider { .. } => Some("provider_not_allowed"),
            Self::Limit(_) => Some("rate_limit_exceeded"),
        }
    }

    /// The field of the request that is at fault.
    pub(crate) fn param(&self) -> Option<&'static str> {
        matches!(self, Self::Model { .. } | Self::NoModel { .. }).then_some("model")
    }

    /// Seconds after which another attempt makes sense.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyChecks(_) => Some(1),
            Self::Unreadable => Some(5),
            Self::Limit(limit) => Some(seconds(limit.retry_after()).min(LONGEST_WAIT)),
            Self::Missing | Self::Invalid | Self::Model { .. } | Self::NoModel { .. } | Self::Provider { .. } => None,
        }
    }

    /// The label in the access log and in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Missing | Self::Invalid | Self::TooManyChecks(_) | Self::Unreadable => "refused_key",
            Self::Model { .. } | Self::NoModel { .. } | Self::Provider { .. } => "key_scope",
            Self::Limit(_) => "key_limit",
        }
    }
}
