//! One connection: it dials, says hello, serves, and dials again.
//!
//! ```text
//!   Waiting for an engine ─▶ Connecting ─▶ Hello ─▶ Serving ─▶ Drained
//!           ▲                    │ failed    │ refused  │ lost
//!           └──── pause ◀────────┴───────────┴──────────┘
//! ```

pub(crate) mod dial;
pub(crate) mod health;
pub(crate) mod hello;
pub(crate) mod incoming;
pub(crate) mod reconnect;
pub(crate) mod session;
pub(crate) mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use auxot_protocol::{Capabilities, Policy, extension};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::connection::dial::OpenSocket;
use crate::connection::hello::{AttemptOutcome, Handshake};
use crate::connection::session::{Session, SessionEnd};
use crate::jobs::context::JobContext;
use crate::jobs::registry::JobRegistry;
use crate::report::capabilities::pending;
use crate::report::metrics::{self, ServingConnection};
use crate::router::connection_count::{Dispatch, share};
use crate::router::fingerprint::{RouterFingerprint, is_open_source_id};
use crate::router::policy::PolicyHandler;

/// How long a new connection waits until the policy is applied, so that its first `config` answers the policy.
const POLICY_WAIT: Duration = Duration::from_secs(1);
/// How often the policy is requested while no model can be served.
pub(crate) const POLICY_RETRY: Duration = Duration::from_secs(60);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) registry: Arc<JobRegistry>,
    pub(crate) context: Arc<JobContext>,
    pub(crate) handshake: Handshake,
    pub(crate) policy: PolicyHandler,
    /// The fingerprint of the router, and the dispatch that follows from it.
    pub(crate) fingerprint: Mutex<RouterFingerprint>,
    pub(crate) dispatch: watch::Sender<Dispatch>,
    /// Notified by each `hello_ack` with an open-source id: the health report is read then.
    pub(crate) fingerprint_changed: Notify,
    /// The number of connections that are wanted.
    pub(crate) wanted: watch::Sender<u32>,
    /// The connection by which the first policy was requested, when it is kept; connection 0 takes it.
    pub(crate) policy_connection: Mutex<Option<PolicyConnection>>,
}

/// An accepted connection by which the policy was requested.
#[derive(Debug)]
pub(crate) struct PolicyConnection {
    dialed: Box<OpenSocket>,
    gpu_id: String,
    extensions: Vec<String>,
}

impl PolicyConnection {
    /// Keeps the connection when the router is the open-source one: that router goes on taking jobs for a closed connection,
    /// and such a job is late by half a minute. A job of a kept connection waits for the model that loads.
    pub(crate) fn kept(dialed: Box<OpenSocket>, gpu_id: String, extensions: Vec<String>) -> Option<Self> {
        is_open_source_id(&gpu_id).then_some(Self { dialed, gpu_id, extensions })
    }
}

/// Why a connection's task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// It has drained.
    Drained,
    /// The router does not accept the key and never has.
    KeyRefused { reason: String },
}

/// Keeps one connection open until `drain` becomes true.
pub(crate) async fn run(shared: Arc<Shared>, number: u32, drain: watch::Receiver<bool>) -> ConnectionEnd {
    let mut policy_connection = if number == 0 { shared.take_policy_connection() } else { None };
    loop {
        let mut drain_signal = drain.clone();
        let outcome = match policy_connection.take() {
            Some(PolicyConnection { dialed, gpu_id, extensions }) => {
                AttemptOutcome::Serving { dialed, gpu_id, policy: None, extensions }
            }
            None => match connect(&shared, number, &mut drain_signal).await {
                Ok(outcome) => outcome,
                Err(end) => return end,
            },
        };
        let pause = match outcome {
            AttemptOutcome::Serving { dialed, gpu_id, policy, extensions } => {
                shared.on_hello_ack(&gpu_id, &extensions);
                if let Some(policy) = policy {
                    shared.policy.offer(*policy);
                    tokio::select! {
                        () = shared.policy.wait_until_taken_in(POLICY_WAIT) => {}
                        _ = drain_signal.wait_for(|drain| *drain) => return ConnectionEnd::Drained,
                    }
                }
                match serve(&shared, number, *dialed, drain.clone()).await {
                    SessionEnd::Drained => return ConnectionEnd::Drained,
                    // The next attempt waits until an engine is ready.
                    SessionEnd::NoModel => continue,
                    SessionEnd::Lost { .. } => shared.handshake.next_pause(),
                }
            }
            AttemptOutcome::KeyRefused { reason } => return ConnectionEnd::KeyRefused { reason },
            AttemptOutcome::RetrySoon(pause) | AttemptOutcome::Pause(pause) => pause,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Another connection has reached the router, so this one need not wait.
            () = shared.handshake.reached() => {}
            _ = drain_signal.wait_for(|drain| *drain) => return ConnectionEnd::Drained,
        }
    }
}

/// Waits until an engine is ready, then makes one attempt.
async fn connect(
    shared: &Shared,
    number: u32,
    drain_signal: &mut watch::Receiver<bool>,
) -> Result<AttemptOutcome, ConnectionEnd> {
    tokio::select! {
        () = wait_for_engine(shared) => {}
        end = poll_policy(shared), if number == 0 => return Err(end),
        _ = drain_signal.wait_for(|drain| *drain) => return Err(ConnectionEnd::Drained),
    }
    tokio::select! {
        outcome = shared.handshake.attempt(capabilities_now(shared, number)) => Ok(outcome),
        _ = drain_signal.wait_for(|drain| *drain) => Err(ConnectionEnd::Drained),
    }
}

/// Requests the policy by a connection that does nothing else.
pub(crate) async fn request_policy(shared: &Shared) -> Result<Option<Policy>, ConnectionEnd> {
    loop {
        match shared.handshake.attempt(pending()).await {
            // The connection is dropped at once. The router gives a job that came by it again; an error message would fail
            // the job.
            AttemptOutcome::Serving { policy, .. } => return Ok(policy.map(|policy| *policy)),
            AttemptOutcome::KeyRefused { reason } => return Err(ConnectionEnd::KeyRefused { reason }),
            AttemptOutcome::RetrySoon(pause) | AttemptOutcome::Pause(pause) => tokio::time::sleep(pause).await,
        }
    }
}

async fn serve(shared: &Arc<Shared>, number: u32, dialed: OpenSocket, drain: watch::Receiver<bool>) -> SessionEnd {
    let since = Instant::now();
    let up = ServingConnection::new();
    let capabilities = || capabilities_now(shared, number);
    let session = Session {
        registry: &shared.registry,
        context: &shared.context,
        drain,
        connections: shared.wanted.subscribe(),
        capabilities: &capabilities,
        policy: &shared.policy,
        dispatch: shared.dispatch.subscribe(),
        announced: None,
    };
    let end = shared.handshake.run_connection(session.serve(dialed)).await;
    drop(up);
    let served = since.elapsed();
    shared.handshake.connection_ended(served);
    match &end {
        SessionEnd::Drained => info!(connection = number, from = "serving", to = "closed", "connection drained"),
        SessionEnd::NoModel => {
            metrics::connection_lost("no_model");
            warn!(
                connection = number,
                from = "serving",
                to = "waiting",
                "connection closed: every model has failed, see the log"
            );
        }
        SessionEnd::Lost { cause, detail } => {
            metrics::connection_lost(cause);
            warn!(
                connection = number,
                from = "serving",
                to = "disconnected",
                cause,
                detail,
                served_s = served.as_secs(),
                "connection lost"
            );
        }
    }
    end
}

/// Requests the policy from time to time while every model has failed: there is no connection then, and only a new policy
/// can name another model. Resolves when the key is refused.
async fn poll_policy(shared: &Shared) -> ConnectionEnd {
    let fleet = &shared.context.fleet;
    loop {
        tokio::time::sleep(POLICY_RETRY).await;
        if fleet.all_have_failed() {
            match request_policy(shared).await {
                Ok(Some(policy)) => shared.policy.offer(policy),
                Ok(None) => {}
                Err(end) => return end,
            }
        }
    }
}

/// Resolves when an engine is ready.
async fn wait_for_engine(shared: &Shared) {
    let mut changes = shared.context.fleet.changes();
    while !shared.context.fleet.serves() {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The capabilities that this connection announces now.
fn capabilities_now(shared: &Shared, number: u32) -> Capabilities {
    let (dispatch, connections) = (*shared.dispatch.borrow(), *shared.wanted.borrow());
    let context = &shared.context;
    let mut capabilities =
        context.telemetry.capabilities(&context.fleet, |slots| share(number, connections, dispatch, slots));
    shared.policy.add_capabilities(&mut capabilities);
    capabilities
}

impl Shared {
    /// The connection by which the first policy was requested, if it was kept.
    pub(crate) fn take_policy_connection(&self) -> Option<PolicyConnection> {
        self.policy_connection.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the health report has shown the open-source router.
    pub(crate) fn health_is_known(&self) -> bool {
        self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner).health
    }

    /// Changes the fingerprint, and the dispatch when it follows differently.
    pub(crate) fn update_fingerprint(&self, note: impl FnOnce(&mut RouterFingerprint)) {
        let mut fingerprint = self.fingerprint.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut fingerprint);
        let now = fingerprint.dispatch();
        self.dispatch.send_if_modified(|dispatch| std::mem::replace(dispatch, now) != now);
    }

    /// Stores what a `hello_ack` shows of the router: its id and its extensions.
    fn on_hello_ack(&self, gpu_id: &str, extensions: &[String]) {
        let takes_back = extension::has(extensions, extension::NOT_STARTED);
        self.context.takes_back.store(takes_back, std::sync::atomic::Ordering::Relaxed);
        let is_open_source = is_open_source_id(gpu_id);
        self.update_fingerprint(|fingerprint| fingerprint.id = is_open_source);
        if is_open_source {
            // At the start the router may have been down, or another one.
            self.fingerprint_changed.notify_one();
        }
    }
}
