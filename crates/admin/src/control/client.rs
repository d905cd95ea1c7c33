//! The client of the control socket, for the operator's commands.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use auxot_control_socket::ControlClient;
pub use auxot_control_socket::ControlError;
use auxot_control_socket::path_part;
use hyper::Method;
use serde::de::DeserializeOwned;

use super::api::{
    Accepted, Devices, Draining, Events, Jobs, LogLevel, LogLines, ModelDetails, Models, PageLink, PageToken, Reloaded,
    Status,
};
use super::{NAMES, SOCKET_NAME};

/// The control socket of the first worker that answers, of those with a runtime directory in one of these bases.
///
/// # Errors
/// Where no worker answers.
pub async fn find(bases: &[PathBuf]) -> Result<PathBuf, ControlError> {
    let found = ControlClient::find(&NAMES, sockets(bases), bases).await?;
    Ok(found.socket().to_owned())
}

/// The client of a worker's socket.
pub(super) fn of(socket: &Path) -> ControlClient {
    ControlClient::new(&NAMES, socket)
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
    of(socket).call(Method::PUT, "/v1/log-level", Some(level)).await
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
    of(socket).get(path).await
}

async fn post<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, ControlError> {
    of(socket).post(path).await
}
