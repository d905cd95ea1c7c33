//! The client of the control socket, for the operator's commands.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::SOCKET_NAME;
use super::api::{
    Accepted, Devices, Draining, Events, Failure, Jobs, LogLevel, LogLines, ModelDetails, Models, PageLink, PageToken,
    Reloaded, Status,
};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 16 << 20;
/// The longest wait for an answer: no command waits for a load.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No worker runs that this user can reach.
    #[error(
        "cannot find a running worker of this user in {}; start one with `auxot-worker`, run this as the worker's user, or set \
         AUXOT_RUNTIME_DIR as the worker has it",
        list(looked_in)
    )]
    NoWorker {
        /// Where its runtime directory could be.
        looked_in: Vec<PathBuf>,
    },
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

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The control socket of the first worker that answers, of those with a runtime directory in one of these bases.
///
/// # Errors
/// Where no worker answers.
pub async fn find(bases: &[PathBuf]) -> Result<PathBuf, ControlError> {
    let mut fault = ControlError::NoWorker { looked_in: bases.to_owned() };
    for path in sockets(bases) {
        match UnixStream::connect(&path).await {
            Ok(_) => return Ok(path),
            Err(reason) => fault = ControlError::Unreachable { path, reason: reason.to_string() },
        }
    }
    Err(fault)
}

/// The control sockets below these bases; some may be of workers that are gone.
fn sockets(bases: &[PathBuf]) -> Vec<PathBuf> {
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
    get(socket, "/v1/status").await
}

/// The devices.
///
/// # Errors
/// Where the worker does not answer.
pub async fn devices(socket: &Path) -> Result<Devices, ControlError> {
    get(socket, "/v1/devices").await
}

/// A model and its history.
///
/// # Errors
/// Where the worker does not answer, or has no such model.
pub async fn model(socket: &Path, model: &str) -> Result<ModelDetails, ControlError> {
    get(socket, &format!("/v1/models/{}", path_part(model))).await
}

/// The models.
///
/// # Errors
/// Where the worker does not answer.
pub async fn models(socket: &Path) -> Result<Models, ControlError> {
    get(socket, "/v1/models").await
}

/// The jobs that run, and the newest that have ended.
///
/// # Errors
/// Where the worker does not answer.
pub async fn jobs(socket: &Path) -> Result<Jobs, ControlError> {
    get(socket, "/v1/jobs").await
}

/// The newest events.
///
/// # Errors
/// Where the worker does not answer.
pub async fn events(socket: &Path) -> Result<Events, ControlError> {
    get(socket, "/v1/events").await
}

/// The newest lines of a model's engines.
///
/// # Errors
/// Where the worker does not answer, or has no such model.
pub async fn log(socket: &Path, model: &str, lines: usize) -> Result<LogLines, ControlError> {
    get(socket, &format!("/v1/models/{}/log?lines={lines}", path_part(model))).await
}

/// Sends a command for a model: `load`, `unload`, `pin`, `unpin` or `reset`; `reset` without a model is for all that have
/// failed.
///
/// # Errors
/// Where the worker does not answer, or refuses the command.
pub async fn command(socket: &Path, verb: &str, model: Option<&str>) -> Result<Accepted, ControlError> {
    match model {
        Some(model) => post(socket, &format!("/v1/models/{}/{verb}", path_part(model))).await,
        None => post(socket, &format!("/v1/{verb}")).await,
    }
}

/// Lets the worker finish its jobs and end.
///
/// # Errors
/// Where the worker does not answer.
pub async fn drain(socket: &Path) -> Result<Draining, ControlError> {
    post(socket, "/v1/drain").await
}

/// Lets the worker read its settings again.
///
/// # Errors
/// Where the worker does not answer, or cannot use them.
pub async fn reload(socket: &Path) -> Result<Reloaded, ControlError> {
    post(socket, "/v1/reload").await
}

/// How much the worker logs.
///
/// # Errors
/// Where the worker does not answer.
pub async fn log_level(socket: &Path) -> Result<LogLevel, ControlError> {
    get(socket, "/v1/log-level").await
}

/// Changes how much the worker logs.
///
/// # Errors
/// Where the worker does not answer, or the text is no level.
pub async fn set_log_level(socket: &Path, level: &LogLevel) -> Result<LogLevel, ControlError> {
    call(socket, Method::PUT, "/v1/log-level", Some(level)).await
}

/// A link to the page.
///
/// # Errors
/// Where the worker does not answer, or cannot open the page.
pub async fn page(socket: &Path) -> Result<PageLink, ControlError> {
    post(socket, "/v1/page").await
}

/// A token for programs that use the page's address.
///
/// # Errors
/// Where the worker does not answer, or cannot open the page.
pub async fn token(socket: &Path) -> Result<PageToken, ControlError> {
    post(socket, "/v1/token").await
}

async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ControlError> {
    call(socket, Method::GET, path, None::<&()>).await
}

async fn post<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ControlError> {
    call(socket, Method::POST, path, None::<&()>).await
}

/// A part of a path: a name may hold any sign.
pub(super) fn path_part(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => part.push(char::from(byte)),
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}

async fn call<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<T, ControlError> {
    let unreachable = |reason: String| ControlError::Unreachable { path: socket.to_owned(), reason };
    let asking = async {
        let (mut sender, connection) = connect(socket).await?;
        let exchange = async {
            let answer = sender.send_request(request(method, path, body)?).await.map_err(|fault| fault.to_string())?;
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
    Err(refused(status, &bytes))
}

/// A connection to the socket: what sends requests, and the future that must be polled meanwhile.
pub(super) async fn connect(
    socket: &Path,
) -> Result<(SendRequest<Full<Bytes>>, impl Future<Output = hyper::Result<()>>), String> {
    let stream = UnixStream::connect(socket).await.map_err(|fault| fault.to_string())?;
    http1::handshake(TokioIo::new(stream)).await.map_err(|fault| fault.to_string())
}

pub(super) fn request(
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<Request<Full<Bytes>>, String> {
    let body = body.map(serde_json::to_vec).transpose().map_err(|fault| fault.to_string())?.unwrap_or_default();
    let request = Request::builder().method(method).uri(path).header("host", "worker");
    let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(body)));
    request.map_err(|fault| fault.to_string())
}

/// The error of an answer that is none.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> ControlError {
    let failure = serde_json::from_slice::<Failure>(body).map(|failure| failure.error);
    ControlError::Refused(failure.unwrap_or_else(|_| format!("the worker answers {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_any_sign_is_one_part_of_a_path() {
        assert_eq!(path_part("owner/Some Repo:Q8_0?"), "owner%2FSome%20Repo%3AQ8_0%3F");
        assert_eq!(path_part("ä-1.5~x"), "%C3%A4-1.5~x");
    }
}
