//! Carries out the operations of the control socket.

use std::sync::Arc;

use auxot_access::keys::{FileError, Key, KeyFile, KeyTerms, NewKeys};
use auxot_control_socket::{Failed, PageAccess};
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRef, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::api::{
    CreatedKey, KeyStatus, KeyUse, Keys, NewKey, ProviderStatus, Providers, Revoked, RouterStatus, Status,
    WorkerStatus, Workers,
};
use super::faults::faults;
use super::view::{self, Moment};
use crate::hub::HubSnapshot;
use crate::shared::RouterState;
use crate::unix_time::now;

/// Keys that are listed: the newest.
const MOST_KEYS: usize = 200;

/// What the operations need.
#[derive(Debug, Clone)]
pub(super) struct ControlState {
    pub(super) router: Arc<RouterState>,
    /// The address that the router listens on.
    pub(super) address: Arc<str>,
    pub(super) page: PageAccess,
}

impl FromRef<ControlState> for PageAccess {
    fn from_ref(state: &ControlState) -> Self {
        state.page.clone()
    }
}

type Answer<T> = Result<Json<T>, Failed>;

pub(super) async fn status(State(state): State<ControlState>) -> Result<Response, Failed> {
    let (stored, others) = state.router.verifier.newest(MOST_KEYS).await;
    let (snapshot, moment) = (state.router.hub.snapshot(), Moment::now());
    large(move || {
        let mut status = Status {
            faults: Vec::new(),
            router: RouterStatus {
                version: env!("AUXOT_VERSION").to_owned(),
                pid: std::process::id(),
                uptime_seconds: now().saturating_sub(state.router.started),
                address: state.address.to_string(),
                tls: state.router.config.tls.is_some(),
                stopping: snapshot.stopping,
            },
            queue: view::queue(&snapshot, state.router.config.max_waiting),
            workers: all_workers(&snapshot, moment),
            providers: all_providers(&snapshot, moment),
            keys: stored_keys(&state, &stored, &snapshot, moment),
            other_keys: others,
        };
        status.faults = faults(&status);
        status
    })
    .await
}

pub(super) async fn workers(State(state): State<ControlState>) -> Result<Response, Failed> {
    let (snapshot, moment) = (state.router.hub.snapshot(), Moment::now());
    large(move || Workers { workers: all_workers(&snapshot, moment) }).await
}

pub(super) async fn providers(State(state): State<ControlState>) -> Json<Providers> {
    Json(Providers { providers: all_providers(&state.router.hub.snapshot(), Moment::now()) })
}

pub(super) async fn keys(State(state): State<ControlState>) -> Json<Keys> {
    let (stored, others) = state.router.verifier.newest(MOST_KEYS).await;
    let (snapshot, moment) = (state.router.hub.snapshot(), Moment::now());
    Json(Keys { keys: stored_keys(&state, &stored, &snapshot, moment), others })
}

fn all_workers(snapshot: &HubSnapshot, moment: Moment) -> Vec<WorkerStatus> {
    snapshot.workers.iter().map(|worker| view::worker(worker, moment)).collect()
}

fn all_providers(snapshot: &HubSnapshot, moment: Moment) -> Vec<ProviderStatus> {
    snapshot.providers.iter().map(|provider| view::provider(provider, moment)).collect()
}

fn stored_keys(state: &ControlState, stored: &[Arc<Key>], snapshot: &HubSnapshot, moment: Moment) -> Vec<KeyStatus> {
    let uses = state.router.verifier.last_uses();
    stored.iter().map(|key| view::key(key, snapshot, uses, moment)).collect()
}

/// An answer that may be megabytes, made on the blocking pool: the router's one thread passes tokens on meanwhile.
async fn large<T: Serialize>(make: impl FnOnce() -> T + Send + 'static) -> Result<Response, Failed> {
    // These messages are texts, numbers and lists: they can always be serialised.
    let made = tokio::task::spawn_blocking(move || serde_json::to_vec(&make()).unwrap_or_default()).await;
    let stopped = |_| Failed(StatusCode::SERVICE_UNAVAILABLE, "cannot answer: the router ends".to_owned());
    Ok(([(CONTENT_TYPE, "application/json")], made.map_err(stopped)?).into_response())
}

pub(super) async fn create_key(
    State(state): State<ControlState>,
    body: Result<Json<NewKey>, JsonRejection>,
) -> Answer<CreatedKey> {
    let Json(NewKey { name, kind }) = body?;
    let file = key_file(&state)?;
    let made = name.clone();
    let created = blocking(move || {
        // As the command does: nothing leaves this host for a program or a cloud.
        let keys = match kind {
            KeyUse::Worker => NewKeys::Worker,
            KeyUse::Api => NewKeys::Api(KeyTerms::workers_only()),
        };
        file.create(&made, &keys, None)
    });
    let created = created.await?;
    let (label, key) = match kind {
        KeyUse::Worker => ("worker", created.worker),
        KeyUse::Api => ("api", created.api),
    };
    tracing::info!(name, kind = label, "key created by the operator");
    Ok(Json(CreatedKey { name, kind, key: key.unwrap_or_default() }))
}

pub(super) async fn revoke_key(
    State(state): State<ControlState>,
    name: Result<UrlPath<String>, PathRejection>,
) -> Answer<Revoked> {
    let UrlPath(name) = name?;
    let file = key_file(&state)?;
    let revoked = name.clone();
    let keys = blocking(move || file.revoke(&revoked)).await?;
    tracing::info!(name, keys, "keys revoked by the operator");
    Ok(Json(Revoked { name, keys }))
}

/// The file that keys are added to.
fn key_file(state: &ControlState) -> Result<KeyFile, Failed> {
    let without = || {
        let why = "the router has no key file, only hashes of its environment; set AUXOT_ROUTER_KEYS_FILE to have one";
        Failed(StatusCode::CONFLICT, why.to_owned())
    };
    state.router.config.keys.file.as_ref().map(KeyFile::of_router).ok_or_else(without)
}

async fn blocking<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, Failed> {
    let failed = |fault: FileError| {
        let status = match fault {
            FileError::Name(_) => StatusCode::UNPROCESSABLE_ENTITY,
            FileError::Unknown { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Failed(status, fault.to_string())
    };
    let stopped = |_| Failed(StatusCode::SERVICE_UNAVAILABLE, "cannot change the key file: the router ends".to_owned());
    tokio::task::spawn_blocking(change).await.map_err(stopped)?.map_err(failed)
}
