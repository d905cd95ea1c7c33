//! Errors as the client's API writes them: a body with a status, or an event at the end of a stream.

use auxot_llama::{Api, anthropic_error_type};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::failure::{ErrorClass, Failure, Retry};

/// Read by the official clients, which repeat many errors otherwise.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The answer to a request that gets none of an engine.
pub(crate) fn response(api: Api, failure: &Failure) -> Response<Bytes> {
    let class = failure.class();
    let mut response = Response::new(Bytes::from(object(api, class, &failure.to_string()).to_string()));
    *response.status_mut() = class.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    match class.retry {
        Retry::After(pause) => drop(headers.insert(RETRY_AFTER, pause.as_secs().max(1).into())),
        Retry::Never => drop(headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"))),
    }
    if let Failure::WrongMethod(allowed) = failure {
        headers.insert(ALLOW, HeaderValue::from_static(allowed));
    }
    response
}

/// The last event of a stream that is broken.
pub(crate) fn event(api: Api, failure: &Failure) -> Bytes {
    api.error_event(&object(api, failure.class(), &failure.to_string())).into()
}

/// The last event of a stream that the engine has refused, in the engine's words: clients know some of them.
pub(crate) fn engine_event(api: Api, status: u16, body: &[u8]) -> Bytes {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let class = ErrorClass { status, code: None, param: None, retry: Retry::Never };
    match serde_json::from_slice::<Value>(body) {
        Ok(own) if api.has_form(&own) => api.error_event(&own).into(),
        Ok(own) => {
            let message = own["error"]["message"].as_str().or_else(|| own["error"].as_str()).unwrap_or_default();
            api.error_event(&object(api, class, message)).into()
        }
        Err(_) => api.error_event(&object(api, class, &String::from_utf8_lossy(body))).into(),
    }
}

fn object(api: Api, class: ErrorClass, message: &str) -> Value {
    match api {
        Api::OpenAi => json!({"error": {
            "message": message, "type": openai_type(class.status), "param": class.param, "code": class.code,
        }}),
        Api::Anthropic => json!({"type": "error", "error": {
            "type": anthropic_error_type(class.status.as_u16()), "message": message, "code": class.code,
        }}),
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_error_has_the_shape_of_its_api() {
        let failure = Failure::EngineGone { model: "m".into() };
        let openai = response(Api::OpenAi, &failure);
        assert_eq!((openai.status().as_u16(), &openai.headers()["retry-after"]), (503, &HeaderValue::from(5)));
        let want = r#"{"error":{"message":"cannot run the request: the process of m went away","type":"server_error","param":null,"code":"model_server_lost"}}"#;
        assert_eq!(text(openai.body()), want);
        assert_eq!(text(&event(Api::OpenAi, &failure)), format!("data: {want}\n\n"));
        let anthropic = text(&event(Api::Anthropic, &failure)).to_owned();
        assert!(
            anthropic.starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"")
        );
        let never = response(Api::OpenAi, &Failure::WrongMethod("POST"));
        assert_eq!(
            (&never.headers()["x-should-retry"], &never.headers()["allow"]),
            (&"false".parse().unwrap(), &"POST".parse().unwrap())
        );
    }

    #[test]
    fn the_engine_s_own_words_stay() {
        let own = r#"{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_ctx":256}}"#;
        assert_eq!(text(&engine_event(Api::OpenAi, 400, own.as_bytes())), format!("data: {own}\n\n"));
        let anthropic = engine_event(Api::Anthropic, 400, own.as_bytes());
        assert!(text(&anthropic).contains(r#""type":"invalid_request_error","message":"too long""#));
        assert!(text(&engine_event(Api::OpenAi, 500, b"oops")).contains(r#""message":"oops","type":"server_error""#));
    }
}
