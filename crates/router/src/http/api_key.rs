//! Requires an API key before anything else of a request is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::failure::Failure;
use crate::shared::RouterState;
use crate::unauthenticated::Unauthenticated;
use auxot_access::CheckUnavailable;
use auxot_access::keys::{Key, KeyKind};

/// The key of a request.
#[derive(Debug, Clone)]
pub(crate) struct ClientKey(pub(crate) Arc<Key>);

/// Passes a request with a good API key on.
pub(crate) async fn require_key(State(shared): State<Arc<RouterState>>, mut request: Request, next: Next) -> Response {
    let Some(unauthenticated) = request.extensions().get::<Arc<Unauthenticated>>().cloned() else {
        return Failure::NoKey.into_response();
    };
    let verdict = match bearer(request.headers()).map(str::to_owned) {
        None => Err(Failure::NoKey),
        Some(key) => check(&shared, &key, &unauthenticated).await,
    };
    match verdict {
        Ok(key) => {
            unauthenticated.authenticate();
            drop(unauthenticated);
            request.extensions_mut().insert(ClientKey(key));
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

async fn check(shared: &RouterState, key: &str, unauthenticated: &Unauthenticated) -> Result<Arc<Key>, Failure> {
    match shared.verifier.check(KeyKind::Api, key, unauthenticated.address).await {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(Failure::BadKey),
        Err(CheckUnavailable::Busy(checks)) => Err(Failure::TooManyChecks(checks)),
        Err(CheckUnavailable::Unreadable) => Err(Failure::KeysUnreadable),
    }
}

/// The token of `Authorization: Bearer …`; the scheme is case-insensitive.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
