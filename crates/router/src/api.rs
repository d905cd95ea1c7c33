//! The API of a client: the form of its errors.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use crate::failure::{Failure, WorkerFault};

/// The API that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    OpenAi,
    Anthropic,
}

impl Api {
    /// The API whose clients use this path of the engine.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") { Self::Anthropic } else { Self::OpenAi }
    }

    /// The response to a request that fails.
    pub(crate) fn response(self, failure: Failure) -> Response {
        match self {
            Self::OpenAi => failure.into_response(),
            Self::Anthropic => failure.into_anthropic_response(),
        }
    }

    /// The last event of a stream that is broken.
    pub(crate) fn error_event(self, failure: &Failure) -> Bytes {
        match self {
            Self::OpenAi => event(self, &serde_json::json!(failure.body())),
            Self::Anthropic => event(self, &failure.anthropic_body()),
        }
    }

    /// The only event of a stream that the engine has refused, in the engine's words: clients know some of them.
    pub(crate) fn refusal_event(self, status: u16, body: &[u8]) -> Bytes {
        let own: Option<Value> = serde_json::from_slice(body).ok();
        match own {
            Some(own) if own["error"].is_object() && (self == Self::OpenAi || own["type"] == "error") => {
                event(self, &own)
            }
            own => {
                let message = own.as_ref().and_then(|own| own["error"]["message"].as_str());
                let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
                self.error_event(&Failure::Worker(WorkerFault::of_engine(status, &text)))
            }
        }
    }
}

/// An event with its name where the API has names: official clients drop an event of Anthropic's without one.
fn event(api: Api, object: &Value) -> Bytes {
    let name = if api == Api::Anthropic { "event: error\n" } else { "" };
    format!("{name}data: {object}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_own_words_stay_in_the_form_of_the_api() {
        let text = |api: Api, body: &str| String::from_utf8(api.refusal_event(400, body.as_bytes()).to_vec()).unwrap();
        let own = r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_ctx":256}}"#;
        assert_eq!(text(Api::OpenAi, own), format!("data: {own}\n\n"));
        let anthropic = text(Api::Anthropic, own);
        assert!(anthropic.starts_with("event: error\ndata: {\"type\":\"error\""), "{anthropic}");
        assert!(anthropic.contains(r#""message":"too long""#), "{anthropic}");
        assert!(text(Api::OpenAi, "oops").contains(r#""message":"oops","type":"invalid_request_error""#));
    }
}
