//! The client's door: which address is answered by what.

mod body;
pub(crate) mod chat;
mod gate;
mod models;
mod request;
pub(crate) mod shapes;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};

use crate::failure::ErrorBody;
use crate::link;
use crate::server::Shared;
use crate::summary::Health;

/// All routes.
///
/// The upstream router serves the OpenAI API under `/api/openai` with none, one or two `/v1` after it.
pub(crate) fn routes(shared: Shared) -> Router {
    let openai = Router::new()
        .route("/chat/completions", post(chat::completions))
        .route("/models", get(models::list))
        .route("/models/{*id}", get(models::one))
        .layer(DefaultBodyLimit::max(shared.config.max_message))
        .layer(middleware::from_fn_with_state(shared.clone(), gate::with_key));
    Router::new()
        .route("/ws", get(link::upgrade))
        .route("/health", get(health))
        .nest("/v1", openai.clone())
        .nest("/api/openai/v1/v1", openai.clone())
        .nest("/api/openai/v1", openai.clone())
        .nest("/api/openai", openai)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .with_state(shared)
}

async fn health(State(shared): State<Shared>) -> Json<Health> {
    Json(shared.hub.summary().into())
}

async fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, Json(ErrorBody::plain("endpoint not found", "not_found"))).into_response()
}

async fn wrong_method() -> Response {
    let body = ErrorBody::plain("this endpoint has another method", "invalid_request_error");
    (StatusCode::METHOD_NOT_ALLOWED, Json(body)).into_response()
}
