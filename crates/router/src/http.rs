//! The HTTP interface for clients: which address has which handler.

mod api_key;
mod body;
mod chat;
mod cors;
mod engine_request;
mod metrics;
mod models;
mod request;

use std::sync::Arc;

use auxot_llama::ApiPath;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router, middleware};

use crate::failure::ErrorBody;
use crate::link;
use crate::log_text::log_text;
use crate::shared::RouterState;
use crate::summary::HealthBody;
pub(crate) use metrics::metrics_routes;

/// All routes.
///
/// The upstream router serves the OpenAI API under `/api/openai` with none, one or two `/v1` after it.
pub(crate) fn routes(shared: Arc<RouterState>) -> Router {
    let key = middleware::from_fn_with_state(shared.clone(), api_key::require_key);
    let limit = DefaultBodyLimit::max(shared.config.max_message);
    let (versioned, plain) = engine_routes();
    let openai = versioned
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::one))
        .layer(limit)
        .layer(key.clone());
    Router::new()
        .route("/ws", get(link::upgrade))
        .route("/health", get(health))
        .nest("/v1", openai.clone())
        .nest("/api/openai/v1/v1", openai.clone())
        .nest("/api/openai/v1", openai.clone())
        .nest("/api/anthropic/v1", openai.clone())
        .nest("/api/openai", openai)
        .merge(plain.layer(limit).layer(key))
        .fallback(unknown_address)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(cors::allowed))
        .with_state(shared)
}

/// The engine's paths for callers: those under `/v1`, without that, and the others.
fn engine_routes() -> (Router<Arc<RouterState>>, Router<Arc<RouterState>>) {
    let (mut versioned, mut plain) = (Router::new(), Router::new());
    for path in ApiPath::all() {
        let serve = move |state, request| engine_request::serve(path, state, request);
        let mut handler = MethodRouter::new();
        if path.get {
            handler = handler.get(serve);
        }
        if path.post {
            handler = handler.post(serve);
        }
        match path.path.strip_prefix("/v1") {
            Some(rest) => versioned = versioned.route(rest, handler),
            None => plain = plain.route(path.path, handler),
        }
    }
    (versioned, plain)
}

async fn health(State(shared): State<Arc<RouterState>>) -> Json<HealthBody> {
    Json(shared.hub.summary().into())
}

/// The client has shown no key here: the answer says only that the address does not exist.
async fn unknown_address(method: Method, uri: Uri) -> Response {
    let message = format!("cannot {method} {}: no such endpoint", log_text(uri.path()));
    (StatusCode::NOT_FOUND, Json(ErrorBody::plain(message, "invalid_request_error", "unknown_url"))).into_response()
}

/// The `Allow` header, which the routes add, lists the allowed methods.
async fn wrong_method(method: Method, uri: Uri) -> Response {
    let message = format!("cannot {method} {}: this endpoint has another method", log_text(uri.path()));
    let body = ErrorBody::plain(message, "invalid_request_error", "method_not_allowed");
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}

/// The address without trailing and doubled slashes; `None` when it has none.
pub(crate) fn normalized(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    if !path.contains("//") && (path.len() <= 1 || !path.ends_with('/')) {
        return None;
    }
    let mut normalized = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        normalized.push('/');
        normalized.push_str(part);
    }
    if normalized.is_empty() {
        normalized.push('/');
    }
    if let Some(query) = uri.query() {
        normalized.push('?');
        normalized.push_str(query);
    }
    normalized.parse().ok()
}
