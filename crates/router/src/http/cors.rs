//! Pages of other origins: a key is asked for all the same, and nothing is sent that a browser adds by itself.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// What a page may read of an answer beside its body.
const READABLE: HeaderValue = HeaderValue::from_static("retry-after, x-should-retry");
/// What it may send when it does not say.
const SENDABLE: HeaderValue = HeaderValue::from_static("authorization, content-type");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// How long a browser may remember it.
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Answers a browser's question before the request, and says on each answer that the page may read it.
pub(crate) async fn allowed(request: Request, next: Next) -> Response {
    // No page has to know of this router's workers without a key.
    if matches!(request.uri().path(), "/health" | "/ws") {
        return next.run(request).await;
    }
    let from_page = request.headers().contains_key(header::ORIGIN);
    if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        let wanted = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        return preflight(wanted);
    }
    let mut response = next.run(request).await;
    if from_page {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
    }
    response
}

fn preflight(wanted: Option<HeaderValue>) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.unwrap_or(SENDABLE)),
        (header::ACCESS_CONTROL_MAX_AGE, A_DAY),
    ];
    (StatusCode::NO_CONTENT, HeaderMap::from_iter(headers)).into_response()
}
