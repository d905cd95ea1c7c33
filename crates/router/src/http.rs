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

use auxot_llama::{Api, ApiPath, anthropic_error_type};
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router, middleware};
use serde_json::json;

use crate::failure::{ErrorBody, SHOULD_RETRY};
use crate::link;
use crate::log_text::log_text;
use crate::shared::RouterState;
use crate::summary::HealthBody;
pub(crate) use metrics::metrics_routes;

/// All routes.
///
/// The upstream router serves the OpenAI API under `/api/openai`, and Anthropic's under `/api/anthropic`, each with none, one
/// or two `/v1` after it. Below these prefixes an endpoint that is not there is not implemented; `docs/upstream.md` compares
/// both routers.
pub(crate) fn routes(shared: Arc<RouterState>) -> Router {
    let key = middleware::from_fn_with_state(shared.clone(), api_key::require_key);
    let limit = DefaultBodyLimit::max(shared.config.max_message);
    let guarded = |routes: Router<Arc<RouterState>>| routes.layer(limit).layer(key.clone());
    let (versioned, plain) = engine_routes();
    let own = versioned.route("/models", get(models::list)).route("/models/{*id}", get(models::one));
    let openai = guarded(own.clone().fallback(not_implemented));
    let anthropic = guarded(anthropic_routes().fallback(not_implemented));
    Router::new()
        .route("/ws", get(link::upgrade))
        .route("/health", get(health))
        .nest("/v1", guarded(own))
        .nest("/api/openai/v1/v1", openai.clone())
        .nest("/api/openai/v1", openai.clone())
        .nest("/api/openai", openai)
        .nest("/api/anthropic/v1/v1", anthropic.clone())
        .nest("/api/anthropic/v1", anthropic.clone())
        .nest("/api/anthropic", anthropic)
        .merge(guarded(plain))
        .fallback(unknown_address)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(cors::allowed))
        .with_state(shared)
}

/// The API of Anthropic.
fn anthropic_routes() -> Router<Arc<RouterState>> {
    let mut routes =
        Router::new().route("/models", get(models::anthropic_list)).route("/models/{*id}", get(models::anthropic_one));
    for path in ApiPath::all().filter(|path| Api::of(path.path) == Api::Anthropic) {
        let serve = move |state, request| engine_request::serve(path, state, request);
        routes = routes.route(path.path.trim_start_matches("/v1"), post(serve));
    }
    routes
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

/// An endpoint of an API that the router has not. Its client has shown a key, and need not ask again.
async fn not_implemented(method: Method, OriginalUri(uri): OriginalUri) -> Response {
    let message = format!("cannot {method} {}: this endpoint is not implemented", log_text(uri.path()));
    let status = StatusCode::NOT_IMPLEMENTED;
    let body = match api_key::api_of(uri.path()) {
        Api::OpenAi => Json(ErrorBody::plain(message, "not_implemented", "not_implemented")).into_response(),
        Api::Anthropic => {
            let error = json!({ "type": anthropic_error_type(status.as_u16()), "message": message });
            Json(json!({ "type": "error", "error": error })).into_response()
        }
    };
    (status, [(SHOULD_RETRY, "false")], body).into_response()
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
