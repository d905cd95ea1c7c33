//! The client of the control socket, for the operator's commands.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::SOCKET_NAME;
use super::api::{CommandDone, CommandFailed, ModelCommand, Status};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// The longest wait for an answer: no command waits for a load.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The worker does not answer.
    #[error("cannot reach the worker at {}: {reason}", path.display())]
    Unreachable {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The worker refuses the command.
    #[error("{0}")]
    Refused(String),
}

/// The control sockets of the workers that have a runtime directory in one of these bases; some may be dead.
#[must_use]
pub fn sockets(bases: &[PathBuf]) -> Vec<PathBuf> {
    let folders = bases.iter().filter_map(|base| std::fs::read_dir(base).ok()).flatten().flatten();
    let of_workers = folders.filter(|entry| entry.file_name().as_bytes().starts_with(b"w-"));
    let mut sockets: Vec<PathBuf> = of_workers.map(|entry| entry.path().join(SOCKET_NAME)).collect();
    sockets.retain(|socket| socket.exists());
    sockets.sort();
    sockets.dedup();
    sockets
}

/// The state of the worker.
///
/// # Errors
/// Where the worker does not answer.
pub async fn status(socket: &Path) -> Result<Status, ControlError> {
    call(socket, Method::GET, "/v1/status", None::<&()>).await
}

/// Sends a command: `load`, `unload`, `pin`, `unpin` or `reset`.
///
/// # Errors
/// Where the worker does not answer, or refuses the command.
pub async fn command(socket: &Path, verb: &str, model: Option<String>) -> Result<CommandDone, ControlError> {
    call(socket, Method::POST, &format!("/v1/models/{verb}"), Some(&ModelCommand { model })).await
}

async fn call<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, ControlError> {
    let unreachable = |reason: String| ControlError::Unreachable { path: socket.to_owned(), reason };
    let asking = async {
        let stream = UnixStream::connect(socket).await.map_err(|fault| fault.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())?;
        let body = body.map(serde_json::to_vec).transpose().map_err(|fault| fault.to_string())?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "worker")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|fault| fault.to_string())?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|fault| fault.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            Ok::<_, String>((status, body.map_err(|fault| fault.to_string())?.to_bytes()))
        };
        // The connection makes progress only while it is polled.
        tokio::pin!(exchange);
        tokio::select! {
            result = &mut exchange => result,
            _ended = connection => exchange.await,
        }
    };
    let (status, bytes) = match tokio::time::timeout(TIMEOUT, asking).await {
        Ok(result) => result.map_err(unreachable)?,
        Err(_) => return Err(unreachable(format!("no answer within {} s", TIMEOUT.as_secs()))),
    };
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(|fault| unreachable(format!("cannot read the answer: {fault}")));
    }
    let failed = serde_json::from_slice::<CommandFailed>(&bytes).map(|failed| failed.error);
    Err(ControlError::Refused(failed.unwrap_or_else(|_| format!("the worker answers {status}"))))
}
