//! Nobody passes without a key, and nothing of a request is read before that.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::{Door, NotNow};
use crate::failure::Failure;
use crate::server::Shared;

/// Lets a request with a good API key through.
pub(crate) async fn with_key(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let verdict = match bearer(request.headers()) {
        None => Err(Failure::NoKey),
        Some(key) => match shared.verifier.check(Door::Client, key).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::BadKey),
            Err(NotNow::Busy(checks)) => Err(Failure::TooManyChecks(checks)),
            Err(NotNow::Unreadable) => Err(Failure::KeysUnreadable),
        },
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// The token of `Authorization: Bearer …`, with the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
