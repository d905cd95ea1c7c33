//! Requires an API key before anything else of a request is read.

use std::sync::Arc;

use auxot_llama::Api;
use axum::extract::{OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::error_body;
use crate::failure::Failure;
use crate::key_refusal::KeyRefusal;
use crate::shared::RouterState;
use crate::unauthenticated::Unauthenticated;
use auxot_access::keys::{Key, KeyKind};
use auxot_access::{CheckUnavailable, shown_key};

/// The key of a request.
#[derive(Debug, Clone)]
pub(crate) struct ClientKey(pub(crate) Arc<Key>);

/// Passes a request with a good API key on.
pub(crate) async fn require_key(State(shared): State<Arc<RouterState>>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<OriginalUri>().map_or(request.uri(), |address| &address.0);
    let api = api_of(address.path());
    let Some(unauthenticated) = request.extensions().get::<Arc<Unauthenticated>>().cloned() else {
        return error_body::response(api, Failure::Key(KeyRefusal::Missing));
    };
    let verdict = match shown_key(request.headers()).map(str::to_owned) {
        None => Err(Failure::Key(KeyRefusal::Missing)),
        Some(key) => check(&shared, &key, &unauthenticated).await,
    };
    match verdict {
        Ok(key) => {
            unauthenticated.authenticate();
            drop(unauthenticated);
            request.extensions_mut().insert(ClientKey(key));
            next.run(request).await
        }
        Err(failure) => error_body::response(api, failure),
    }
}

async fn check(shared: &RouterState, key: &str, unauthenticated: &Unauthenticated) -> Result<Arc<Key>, Failure> {
    match shared.verifier.check(KeyKind::Api, key, unauthenticated.address).await {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(Failure::Key(KeyRefusal::Invalid)),
        Err(CheckUnavailable::Busy(checks)) => Err(Failure::Key(KeyRefusal::TooManyChecks(checks))),
        Err(CheckUnavailable::Unreadable) => Err(Failure::Key(KeyRefusal::Unreadable)),
    }
}

/// The form of errors at an address.
pub(super) fn api_of(path: &str) -> Api {
    if path.starts_with("/api/anthropic") { Api::Anthropic } else { Api::of(path.trim_start_matches("/api/openai")) }
}
