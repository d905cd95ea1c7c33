//! The two APIs in whose words errors are written.

use serde_json::Value;

/// The API of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// OpenAI's, whose errors llama-server's own endpoints have too.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Api {
    /// The API of an engine's path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") { Self::Anthropic } else { Self::OpenAi }
    }

    /// An event with an error, the last of a stream. It has its name where the API has names: official clients drop an event of
    /// Anthropic's without one.
    #[must_use]
    pub fn error_event(self, error: &Value) -> String {
        let name = match self {
            Self::OpenAi => "",
            Self::Anthropic => "event: error\n",
        };
        format!("{name}data: {error}\n\n")
    }

    /// Whether an error of the engine has this API's form, so that its own words can stay: clients know some of them.
    #[must_use]
    pub fn has_form(self, error: &Value) -> bool {
        error["error"].is_object() && (self == Self::OpenAi || error["type"] == "error")
    }
}

/// The type of Anthropic's errors with this status.
#[must_use]
pub fn anthropic_error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        503 => "overloaded_error",
        _ => "api_error",
    }
}
