//! The server of the control socket.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use auxot_fleet::{Fleet, ModelView, Refusal, Report};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::SOCKET_NAME;
use super::api::{
    CommandDone, CommandFailed, DeviceStatus, ModelCommand, ModelStatus, RouterStatus, Status, WorkerStatus,
};
use crate::connection;

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS: usize = 8;
/// The longest body of a command: a name.
const LONGEST_BODY: usize = 64 << 10;
/// Models of the folders are counted up to this number.
const MOST_COUNTED: usize = 100_000;
/// Pause after a failed bind or accept.
const PAUSE: Duration = Duration::from_secs(5);

/// What the program says about itself.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Its version.
    pub version: String,
    /// The router's address, without credentials; `None` where none is configured.
    pub router_url: Option<String>,
}

/// The server of the control socket.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    identity: Identity,
}

#[derive(Debug, Clone)]
struct ControlState {
    fleet: Fleet,
    router: watch::Receiver<Option<&'static str>>,
    identity: Arc<Identity>,
    started: Instant,
}

impl ControlServer {
    /// A server whose socket is in the worker's runtime directory.
    #[must_use]
    pub fn new(runtime_dir: &Path, version: String, router_url: Option<String>) -> Self {
        Self { path: runtime_dir.join(SOCKET_NAME), identity: Identity { version, router_url } }
    }

    /// Serves until dropped. A socket that cannot be made is retried: models are served without it.
    pub async fn serve(self, fleet: Fleet, router: watch::Receiver<Option<&'static str>>) {
        let mut changes = fleet.changes();
        let state = ControlState { fleet, router, identity: Arc::new(self.identity), started: Instant::now() };
        let app = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/models/{verb}", post(command))
            .layer(axum::extract::DefaultBodyLimit::max(LONGEST_BODY))
            .with_state(state);
        let mut is_logged = false;
        loop {
            match Socket::bind(&self.path) {
                // An engine's start makes a removed runtime directory again, and is a change.
                Ok(socket) => socket.serve(&app, &mut changes).await,
                Err(fault) => {
                    if !std::mem::replace(&mut is_logged, true) {
                        warn!(path = %self.path.display(), %fault, "cannot listen for commands; retrying");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
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
    async fn serve(self, app: &Router, changes: &mut watch::Receiver<u64>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept(&permits) => match accepted {
                    Some((stream, permit)) => {
                        let serving = connection::serve(stream, app.clone());
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

async fn status(State(state): State<ControlState>) -> Json<Status> {
    let report = state.fleet.report();
    Json(Status {
        worker: WorkerStatus {
            version: state.identity.version.clone(),
            pid: std::process::id(),
            uptime_seconds: state.started.elapsed().as_secs(),
        },
        router: state
            .identity
            .router_url
            .clone()
            .map(|url| RouterStatus { url, trouble: state.router.borrow().map(str::to_owned) }),
        devices: devices(&report),
        models: report.models.iter().map(model).collect(),
        other_models: state.fleet.unloaded_models(MOST_COUNTED).len(),
        unmet: report.unmet,
    })
}

fn devices(report: &Report) -> Vec<DeviceStatus> {
    let held = |id: &str| {
        let of_model = |view: &ModelView| view.memory.iter().find(|(device, _)| device == id).map(|(_, bytes)| *bytes);
        // A model whose memory is unknown makes the sum unknown.
        let running = report.models.iter().filter(|view| view.status.pid.is_some());
        running.map(|view| if view.memory.is_empty() { None } else { Some(of_model(view).unwrap_or(0)) }).sum()
    };
    let all = report.devices.devices.iter();
    all.map(|device| DeviceStatus {
        id: device.id.clone(),
        name: device.name.clone(),
        total_bytes: device.total,
        used_bytes: device.used,
        models_bytes: held(&device.id),
        usable: !report.unusable_devices.contains(&device.id),
    })
    .collect()
}

fn model(view: &ModelView) -> ModelStatus {
    ModelStatus {
        name: view.model.name.clone(),
        task: view.model.task.to_string(),
        state: view.state.name().to_owned(),
        slots: view.slots,
        slots_busy: view.slots_busy,
        waiting: view.waiting,
        ctx_size: view.ctx_size,
        memory_bytes: view.memory_bytes(),
        place: view.estimated.clone(),
        pid: view.status.pid,
        restarts: view.status.restarts,
        pinned: view.pinned,
        last_error: view.status.last_error.as_ref().map(ToString::to_string),
    }
}

async fn command(
    State(state): State<ControlState>,
    UrlPath(verb): UrlPath<String>,
    body: Result<Json<ModelCommand>, JsonRejection>,
) -> Response {
    let Json(ModelCommand { model }) = match body {
        Ok(body) => body,
        Err(fault) => return failed(fault.status(), fault.body_text()),
    };
    let fleet = &state.fleet;
    let done = match (verb.as_str(), &model) {
        ("load", Some(model)) => fleet.load(model),
        ("unload", Some(model)) => fleet.unload(model),
        ("pin", Some(model)) => fleet.pin(model, true),
        ("unpin", Some(model)) => fleet.pin(model, false),
        ("reset", Some(model)) => fleet.reset(Some(model)).map(|()| model.clone()),
        ("reset", None) => {
            let count = fleet.reset_failed();
            return Json(CommandDone { models: vec![format!("{count} models")] }).into_response();
        }
        ("load" | "unload" | "pin" | "unpin", None) => {
            return failed(StatusCode::BAD_REQUEST, format!("cannot {verb} without a model"));
        }
        _ => return failed(StatusCode::NOT_FOUND, format!("cannot {verb}: there is no such command")),
    };
    match done {
        Ok(name) => Json(CommandDone { models: vec![name] }).into_response(),
        Err(refusal) => {
            let status = match refusal {
                Refusal::UnknownModel { .. } | Refusal::AmbiguousModel { .. } => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            failed(status, refusal.to_string())
        }
    }
}

fn failed(status: StatusCode, error: String) -> Response {
    (status, Json(CommandFailed { error })).into_response()
}
