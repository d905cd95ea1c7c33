//! A request that was not carried out.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::messages::Failure;

/// The status of the answer, and why the request was not carried out.
#[derive(Debug)]
pub struct Failed(pub StatusCode, pub String);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (self.0, Json(Failure { error: self.1 })).into_response()
    }
}

impl From<JsonRejection> for Failed {
    fn from(rejection: JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Failed {
    fn from(rejection: PathRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Failed {
    fn from(rejection: QueryRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

/// For a path without an operation.
pub async fn no_such_operation() -> Failed {
    Failed(StatusCode::NOT_FOUND, "there is no such operation; GET /openapi.json lists all".to_owned())
}

/// For an operation with another method.
pub async fn wrong_method() -> Failed {
    Failed(StatusCode::METHOD_NOT_ALLOWED, "the operation has another method; see GET /openapi.json".to_owned())
}
