//! Carries out the operations of the control socket.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use auxot_control_socket::{Failed, PageAccess};
use auxot_fleet::{Fleet, Refusal};
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRef, Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::watch;

use super::api::{
    Accepted, ChatRequest, Devices, Draining, EngineRuns, EventKind, Events, Jobs, LogLevel, LogLines, MetricsStatus,
    ModelDetails, ModelStatus, Models, Reloaded, RouterStatus, Status, WorkerStatus,
};
use super::observer::Observer;
use super::program::Program;
use super::streams::{self, StreamPermits, last_event_id, log_lines};
use super::{chat, views};

/// Models of the folders are counted up to this number.
const MOST_COUNTED: usize = 100_000;
/// Models of the folders that are listed.
const MOST_LISTED: usize = 1000;

/// What the operations need.
#[derive(Debug, Clone)]
pub(crate) struct ControlState {
    pub(crate) fleet: Fleet,
    pub(crate) router: watch::Receiver<Option<&'static str>>,
    pub(crate) metrics: watch::Receiver<MetricsStatus>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) program: Arc<dyn Program>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) started: Instant,
    pub(crate) streams: StreamPermits,
    pub(crate) page: PageAccess,
    /// The path of the socket.
    pub(crate) socket: Arc<Path>,
}

impl FromRef<ControlState> for PageAccess {
    fn from_ref(state: &ControlState) -> Self {
        state.page.clone()
    }
}

/// What the program says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its version.
    pub(crate) version: String,
    /// The router's address, without credentials; `None` where none is configured.
    pub(crate) router_url: Option<String>,
}

type Answer<T> = Result<Json<T>, Failed>;

/// The answer to a command that the fleet refuses.
fn refused(refusal: Refusal) -> Failed {
    let status = match refusal {
        Refusal::UnknownModel { .. } | Refusal::AmbiguousModel { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    Failed(status, refusal.to_string())
}

/// The name of a model in the path.
type ModelName = Result<UrlPath<String>, PathRejection>;

pub(crate) async fn status(State(state): State<ControlState>) -> Json<Status> {
    let report = state.fleet.report();
    let router = state.identity.router_url.clone();
    Json(Status {
        worker: WorkerStatus {
            version: state.identity.version.clone(),
            pid: std::process::id(),
            uptime_seconds: state.started.elapsed().as_secs(),
            draining: state.program.is_draining(),
        },
        router: router.map(|url| RouterStatus { url, trouble: state.router.borrow().map(str::to_owned) }),
        metrics: state.metrics.borrow().clone(),
        devices: views::devices(&report),
        models: model_list(&state, &report),
        downloads: report.downloads.iter().map(views::download).collect(),
        other_models: state.fleet.unloaded_models(MOST_COUNTED).len(),
        unmet: report.unmet,
    })
}

fn model_list(state: &ControlState, report: &auxot_fleet::Report) -> Vec<ModelStatus> {
    let jobs = state.fleet.jobs().ended();
    report.models.iter().map(|view| views::model(view, &jobs)).collect()
}

pub(crate) async fn devices(State(state): State<ControlState>) -> Json<Devices> {
    Json(Devices { devices: views::devices(&state.fleet.report()) })
}

pub(crate) async fn models(State(state): State<ControlState>) -> Json<Models> {
    let others = state.fleet.unloaded_models(MOST_LISTED).into_iter().map(|model| model.name).collect();
    Json(Models { models: model_list(&state, &state.fleet.report()), others })
}

pub(crate) async fn model(State(state): State<ControlState>, model: ModelName) -> Answer<ModelDetails> {
    let (name, _) = state.fleet.engine_log(&model?.0).map_err(refused)?;
    let history = state.observer.history(&name);
    let status = model_list(&state, &state.fleet.report()).into_iter().find(|model| model.name == name);
    Ok(Json(ModelDetails { status, states: history.states.into(), runs: history.runs.into() }))
}

/// Records a command for one model, and answers it.
fn accepted(state: &ControlState, command: &str, model: String) -> Answer<Accepted> {
    state.observer.events.push(EventKind::Command { command: command.to_owned(), model: Some(model.clone()) });
    Ok(Json(Accepted { models: vec![model] }))
}

pub(crate) async fn load(State(state): State<ControlState>, model: ModelName) -> Answer<Accepted> {
    let model = state.fleet.load(&model?.0).map_err(refused)?;
    accepted(&state, "load", model)
}

pub(crate) async fn unload(State(state): State<ControlState>, model: ModelName) -> Answer<Accepted> {
    let model = state.fleet.unload(&model?.0).map_err(refused)?;
    accepted(&state, "unload", model)
}

pub(crate) async fn pin(State(state): State<ControlState>, model: ModelName) -> Answer<Accepted> {
    let model = state.fleet.pin(&model?.0, true).map_err(refused)?;
    accepted(&state, "pin", model)
}

pub(crate) async fn unpin(State(state): State<ControlState>, model: ModelName) -> Answer<Accepted> {
    let model = state.fleet.pin(&model?.0, false).map_err(refused)?;
    accepted(&state, "unpin", model)
}

pub(crate) async fn reset(State(state): State<ControlState>, model: ModelName) -> Answer<Accepted> {
    let (model, _) = state.fleet.engine_log(&model?.0).map_err(refused)?;
    state.fleet.reset(Some(&model)).map_err(refused)?;
    accepted(&state, "reset", model)
}

pub(crate) async fn reset_failed(State(state): State<ControlState>) -> Json<Accepted> {
    let report = state.fleet.report();
    let failed = report.models.iter().filter(|view| matches!(view.state, auxot_fleet::ModelState::Failed));
    let models = failed.map(|view| view.model.name.clone()).collect();
    state.fleet.reset_failed();
    state.observer.events.push(EventKind::Command { command: "reset".to_owned(), model: None });
    Json(Accepted { models })
}

/// How much of a log is wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct LogQuery {
    lines: Option<usize>,
}

type LogParameters = Result<Query<LogQuery>, QueryRejection>;

pub(crate) async fn log(
    State(state): State<ControlState>,
    model: ModelName,
    parameters: LogParameters,
) -> Answer<LogLines> {
    let limit = parameters?.lines.unwrap_or(usize::MAX);
    let (model, log) = state.fleet.engine_log(&model?.0).map_err(refused)?;
    let lines = log.map(|log| log_lines(&log, 0, limit)).unwrap_or_default();
    Ok(Json(LogLines { model, lines }))
}

pub(crate) async fn log_stream(
    State(state): State<ControlState>,
    model: ModelName,
    parameters: LogParameters,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let newest = parameters?.lines.unwrap_or(usize::MAX);
    let (model, _) = state.fleet.engine_log(&model?.0).map_err(refused)?;
    let permit = state.streams.take().ok_or_else(too_many_streams)?;
    let after = last_event_id(&headers);
    // A stream that goes on leaves no line out.
    let newest = if after.is_some() { usize::MAX } else { newest };
    Ok(streams::log(state.fleet.clone(), model, after.unwrap_or(0), newest, permit))
}

fn too_many_streams() -> Failed {
    Failed(StatusCode::SERVICE_UNAVAILABLE, format!("cannot open a stream: {} are open already", streams::STREAMS))
}

pub(crate) async fn engines(State(state): State<ControlState>) -> Json<EngineRuns> {
    Json(EngineRuns { runs: state.observer.runs() })
}

pub(crate) async fn jobs(State(state): State<ControlState>) -> Json<Jobs> {
    let jobs = state.fleet.jobs();
    Json(Jobs {
        running: jobs.running().iter().map(views::job).collect(),
        ended: jobs.ended().iter().map(views::job).collect(),
    })
}

pub(crate) async fn events(State(state): State<ControlState>) -> Json<Events> {
    Json(Events { events: state.observer.events.after(None) })
}

pub(crate) async fn event_stream(State(state): State<ControlState>, headers: HeaderMap) -> Result<Response, Failed> {
    let permit = state.streams.take().ok_or_else(too_many_streams)?;
    Ok(streams::events(Arc::clone(&state.observer), last_event_id(&headers), permit))
}

pub(crate) async fn drain(State(state): State<ControlState>) -> Json<Draining> {
    state.observer.events.push(EventKind::Command { command: "drain".to_owned(), model: None });
    state.program.drain();
    Json(Draining { jobs: state.fleet.jobs().running().len() })
}

pub(crate) async fn reload(State(state): State<ControlState>) -> Answer<Reloaded> {
    state.observer.events.push(EventKind::Command { command: "reload".to_owned(), model: None });
    let reloaded = state.program.reload().await;
    reloaded.map(Json).map_err(|faults| Failed(StatusCode::UNPROCESSABLE_ENTITY, faults))
}

pub(crate) async fn log_level(State(state): State<ControlState>) -> Json<LogLevel> {
    Json(LogLevel { level: state.program.log_level() })
}

pub(crate) async fn set_log_level(
    State(state): State<ControlState>,
    body: Result<Json<LogLevel>, JsonRejection>,
) -> Answer<LogLevel> {
    let Json(LogLevel { level }) = body?;
    let set = state.program.set_log_level(&level);
    set.map_err(|fault| Failed(StatusCode::UNPROCESSABLE_ENTITY, fault))?;
    Ok(Json(LogLevel { level }))
}

pub(crate) async fn chat(
    State(state): State<ControlState>,
    model: ModelName,
    body: Result<Json<ChatRequest>, JsonRejection>,
) -> Result<Response, Failed> {
    let Json(request) = body?;
    let (model, _) = state.fleet.engine_log(&model?.0).map_err(refused)?;
    let permit = state.streams.take().ok_or_else(too_many_streams)?;
    Ok(chat::answer(state.fleet.clone(), model, request, permit))
}
