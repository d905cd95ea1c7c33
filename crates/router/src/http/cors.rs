//! Cross-origin requests: a key is required all the same, and a browser adds no credentials by itself.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Response headers that a page may read.
const READABLE: HeaderValue = HeaderValue::from_static("retry-after, x-should-retry, x-auxot-provider");
/// Request headers that a page may send when the preflight names none.
const SENDABLE: HeaderValue = HeaderValue::from_static("authorization, content-type");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// How long a browser may cache the preflight.
const A_DAY: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Answers preflights, and marks each answer as readable by pages.
pub(crate) async fn allowed(request: Request, next: Next) -> Response {
    // Pages without a key must not learn about the workers of this router.
    if matches!(request.uri().path(), "/health" | "/ws") {
        return next.run(request).await;
    }
    let from_page = request.headers().contains_key(header::ORIGIN);
    if request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        let requested_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        return preflight(requested_headers);
    }
    let mut response = next.run(request).await;
    if from_page {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READABLE);
    }
    response
}

fn preflight(requested_headers: Option<HeaderValue>) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, requested_headers.unwrap_or(SENDABLE)),
        (header::ACCESS_CONTROL_MAX_AGE, A_DAY),
    ];
    (StatusCode::NO_CONTENT, HeaderMap::from_iter(headers)).into_response()
}
