//! The server of the control socket.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::handlers::{self, ControlState};
use super::operations::{OPERATIONS, SOCKET_OPERATIONS};
use super::streams::{STREAM_TIME, STREAMS};
use super::{openapi, operations};
use crate::connection;

/// Connections at once beside those of streams; further ones wait in the system's queue.
const CONNECTIONS: usize = 8;
/// The longest body of a request.
pub(crate) const LONGEST_BODY: usize = 4 << 20;
/// Pause after a failed bind or accept.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest time of one connection: a stream, and a minute to end it.
const CONNECTION_TIME: Duration = Duration::from_secs(STREAM_TIME.as_secs() + 60);

/// Serves until dropped. A socket that cannot be made is retried: models are served without it.
pub(crate) async fn listen(path: &Path, state: &ControlState) {
    let mut changes = state.fleet.changes();
    let mut is_logged = false;
    loop {
        match Socket::bind(path) {
            // An engine's start makes a removed runtime directory again, and is a change.
            Ok(socket) => socket.serve(state, &mut changes).await,
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
    operations::routes(OPERATIONS)
        .route("/openapi.json", get(async move || Json(openapi::document(&version))))
        .with_state(state.clone())
}

/// All operations.
fn app(state: &ControlState) -> Router {
    let of_socket = operations::routes(SOCKET_OPERATIONS).with_state(state.clone());
    common_routes(state)
        .merge(of_socket)
        .fallback(handlers::not_found)
        .method_not_allowed_fallback(handlers::wrong_method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
}

/// A bound socket; dropping it removes its file.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    fn bind(path: &Path) -> std::io::Result<Self> {
        // The directory is locked by this worker, so a file of this name is a socket that it has lost.
        if let Err(fault) = std::fs::remove_file(path)
            && fault.kind() != std::io::ErrorKind::NotFound
        {
            return Err(fault);
        }
        let listener = UnixListener::bind(path)?;
        let inode = std::fs::symlink_metadata(path)?.ino();
        debug!(path = %path.display(), "listening for commands");
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// Serves until the file is gone.
    async fn serve(self, state: &ControlState, changes: &mut watch::Receiver<u64>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS + STREAMS));
        let mut connections = JoinSet::new();
        // Made for the first connection: it costs nothing while none comes.
        let mut routes = None;
        loop {
            tokio::select! {
                accepted = self.accept(&permits) => match accepted {
                    Some((stream, permit)) => {
                        let app = routes.get_or_insert_with(|| app(state)).clone();
                        let serving = connection::serve(stream, app, CONNECTION_TIME);
                        connections.spawn(async move { serving.await; drop(permit); });
                    }
                    None => tokio::time::sleep(PAUSE).await,
                },
                Some(_) = connections.join_next() => {}
                changed = changes.changed() => {
                    if changed.is_err() || !self.is_there() {
                        return;
                    }
                }
            }
        }
    }

    async fn accept(
        &self,
        permits: &Arc<Semaphore>,
    ) -> Option<(tokio::net::UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(permits).acquire_owned().await.ok()?;
        let (stream, _) = self.listener.accept().await.ok()?;
        Some((stream, permit))
    }

    fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_there() {
            let _already_gone = std::fs::remove_file(&self.path);
        }
    }
}
