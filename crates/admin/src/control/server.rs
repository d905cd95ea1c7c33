//! The server of the control socket.

use std::path::Path;
use std::time::Duration;

use auxot_control_socket::{ConnectionLimits, ControlSocket, no_such_operation, routes as routes_of, wrong_method};
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use tracing::warn;

use super::handlers::ControlState;
use super::openapi;
use super::operations::{OPERATIONS, SOCKET_OPERATIONS};
use super::streams::{STREAM_TIME, STREAMS};

/// Connections at once beside those of streams; further ones wait in the system's queue.
const CONNECTIONS: usize = 8;
/// The longest body of a request.
pub(crate) const LONGEST_BODY: usize = 4 << 20;
/// Pause after a failed bind.
const PAUSE: Duration = Duration::from_secs(5);
const LIMITS: ConnectionLimits = ConnectionLimits {
    at_once: CONNECTIONS + STREAMS,
    // A stream, and a minute to end it.
    longest: Duration::from_secs(STREAM_TIME.as_secs() + 60),
};

/// Serves until dropped. A socket that cannot be made is retried: models are served without it.
pub(crate) async fn listen(path: &Path, state: &ControlState) {
    let mut changes = state.fleet.changes();
    let mut is_logged = false;
    loop {
        match ControlSocket::bind(path) {
            Ok(socket) => {
                // An engine's start makes a removed runtime directory again, and is a change.
                let removed = async { while changes.changed().await.is_ok() && socket.is_there() {} };
                tokio::select! {
                    () = socket.serve(LIMITS, || app(state)) => {}
                    () = removed => {}
                }
            }
            Err(fault) => {
                if !std::mem::replace(&mut is_logged, true) {
                    warn!(path = %path.display(), %fault, "cannot listen for commands; retrying");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The operations that the page has too.
pub(crate) fn common_routes(state: &ControlState) -> Router {
    let version = state.identity.version.clone();
    routes_of(OPERATIONS)
        .route("/openapi.json", get(async move || Json(openapi::document(&version))))
        .with_state(state.clone())
}

/// All operations.
fn app(state: &ControlState) -> Router {
    let of_socket = routes_of(SOCKET_OPERATIONS).with_state(state.clone());
    common_routes(state)
        .merge(of_socket)
        .fallback(no_such_operation)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
}
