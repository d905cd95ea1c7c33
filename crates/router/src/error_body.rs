//! Errors in the form of a client's API.

use auxot_llama::Api;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use crate::failure::{Failure, WorkerFault};

/// The response to a request that fails.
pub(crate) fn response(api: Api, failure: Failure) -> Response {
    match api {
        Api::OpenAi => failure.into_response(),
        Api::Anthropic => failure.into_anthropic_response(),
    }
}

/// The last event of a stream that is broken.
pub(crate) fn event(api: Api, failure: &Failure) -> Bytes {
    let error = match api {
        Api::OpenAi => serde_json::json!(failure.body()),
        Api::Anthropic => failure.anthropic_body(),
    };
    api.error_event(&error).into()
}

/// The only event of a stream that the engine has refused, in the engine's words where they have the API's form.
pub(crate) fn engine_event(api: Api, status: u16, body: &[u8]) -> Bytes {
    let own: Option<Value> = serde_json::from_slice(body).ok();
    match own {
        Some(own) if api.has_form(&own) => api.error_event(&own).into(),
        own => {
            let message = own.as_ref().and_then(|own| own["error"]["message"].as_str());
            let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
            event(api, &Failure::Worker(WorkerFault::of_engine(status, &text)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_own_words_stay_in_the_form_of_the_api() {
        let text = |api: Api, body: &str| String::from_utf8(engine_event(api, 400, body.as_bytes()).to_vec()).unwrap();
        let own = r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_ctx":256}}"#;
        assert_eq!(text(Api::OpenAi, own), format!("data: {own}\n\n"));
        let anthropic = text(Api::Anthropic, own);
        assert!(anthropic.starts_with("event: error\ndata: {\"type\":\"error\""), "{anthropic}");
        assert!(anthropic.contains(r#""message":"too long""#), "{anthropic}");
        assert!(text(Api::OpenAi, "oops").contains(r#""message":"oops","type":"invalid_request_error""#));
    }
}
