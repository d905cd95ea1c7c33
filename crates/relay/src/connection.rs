//! One lane: a place for a connection, which dials, greets, serves, and dials again.
//!
//! ```text
//!   Waiting for an engine ─▶ Connecting ─▶ Greeting ─▶ Serving ─▶ Drained
//!           ▲                    │ failed      │ refused    │ lost
//!           └──── pause ◀────────┴─────────────┴────────────┘
//! ```

pub(crate) mod byte_counter;
pub(crate) mod dial;
pub(crate) mod health;
pub(crate) mod hello;
pub(crate) mod incoming;
pub(crate) mod reconnect;
pub(crate) mod session;
pub(crate) mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use auxot_fleet::Outlook;
use auxot_protocol::{Capabilities, Policy, extension};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::connection::dial::Dialed;
use crate::connection::hello::{Attempted, Greeter};
use crate::connection::session::{Session, SessionEnd};
use crate::jobs::context::Surroundings;
use crate::jobs::registry::Desk;
use crate::report::capabilities::pending;
use crate::report::metrics::{self, LinkUp};
use crate::router::connection_count::{Dispatch, share};
use crate::router::fingerprint::{Marks, is_open_source_id};
use crate::router::policy::PolicyKeeper;

/// How long a new connection waits for the router's wish to be taken in, so that its first capabilities answer it.
const POLICY_PATIENCE: Duration = Duration::from_secs(1);
/// With nothing to serve, the router is asked this often whether its policy has changed.
pub(crate) const POLICY_RETRY: Duration = Duration::from_secs(60);

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) desk: Arc<Desk>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) greeter: Greeter,
    pub(crate) policy: PolicyKeeper,
    /// The two marks of the open-source router, and what follows from having seen both.
    pub(crate) marks: Mutex<Marks>,
    pub(crate) dispatch: watch::Sender<Dispatch>,
    /// Told whenever a greeting bears the second mark: the first is worth looking for then.
    pub(crate) marked: Notify,
    /// Lanes that are wanted now.
    pub(crate) wanted: watch::Sender<u32>,
    /// The connection of the first question, where it is kept; the first lane takes it.
    pub(crate) asked: Mutex<Option<Asked>>,
}

/// A greeted connection by which the router was asked for its policy.
#[derive(Debug)]
pub(crate) struct Asked {
    dialed: Box<Dialed>,
    gpu_id: String,
    extensions: Vec<String>,
}

impl Asked {
    /// A connection that is worth keeping: the open-source router goes on reading for one that is gone, and a job that it reads
    /// so is late by half a minute. One that is kept brings its job to the model that loads.
    pub(crate) fn kept(dialed: Box<Dialed>, gpu_id: String, extensions: Vec<String>) -> Option<Self> {
        is_open_source_id(&gpu_id).then_some(Self { dialed, gpu_id, extensions })
    }
}

/// Why a lane is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneEnd {
    /// It was told to drain and has.
    Drained,
    /// The router does not take our key and never has.
    KeyRefused { reason: String },
}

/// Keeps one lane going until `drain` becomes true.
pub(crate) async fn run(shared: Arc<Shared>, number: u32, drain: watch::Receiver<bool>) -> LaneEnd {
    let mut asked = if number == 0 { shared.take_asked() } else { None };
    loop {
        let mut told = drain.clone();
        let attempted = match asked.take() {
            Some(Asked { dialed, gpu_id, extensions }) => {
                Attempted::Serving { dialed, gpu_id, policy: None, extensions }
            }
            None => match connect(&shared, number, &mut told).await {
                Ok(attempted) => attempted,
                Err(end) => return end,
            },
        };
        let pause = match attempted {
            Attempted::Serving { dialed, gpu_id, policy, extensions } => {
                shared.greeted(&gpu_id, &extensions);
                if let Some(policy) = policy {
                    shared.policy.offer(*policy);
                    tokio::select! {
                        () = shared.policy.settled(POLICY_PATIENCE) => {}
                        _ = told.wait_for(|drain| *drain) => return LaneEnd::Drained,
                    }
                }
                match serve(&shared, number, *dialed, drain.clone()).await {
                    SessionEnd::Drained => return LaneEnd::Drained,
                    // There is nothing to come back for before an engine is ready again.
                    SessionEnd::Useless => continue,
                    SessionEnd::Lost { .. } => shared.greeter.next_pause(),
                }
            }
            Attempted::KeyRefused { reason } => return LaneEnd::KeyRefused { reason },
            Attempted::AskAgain(pause) | Attempted::Pause(pause) => pause,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The router is there again: what one lane has found out need not be found out by each.
            () = shared.greeter.reached() => {}
            _ = told.wait_for(|drain| *drain) => return LaneEnd::Drained,
        }
    }
}

/// Waits for an engine to offer, and tries once to be greeted.
async fn connect(shared: &Shared, number: u32, told: &mut watch::Receiver<bool>) -> Result<Attempted, LaneEnd> {
    tokio::select! {
        () = serves(shared) => {}
        end = ask_again(shared), if number == 0 => return Err(end),
        _ = told.wait_for(|drain| *drain) => return Err(LaneEnd::Drained),
    }
    tokio::select! {
        attempted = shared.greeter.attempt(stated(shared, number)) => Ok(attempted),
        _ = told.wait_for(|drain| *drain) => Err(LaneEnd::Drained),
    }
}

/// Asks the router for its policy with a connection that does nothing else.
pub(crate) async fn ask_policy(shared: &Shared) -> Result<Option<Policy>, LaneEnd> {
    loop {
        match shared.greeter.attempt(pending()).await {
            // Dropped at once: a job that slipped in comes back by itself, an error would fail it.
            Attempted::Serving { policy, .. } => return Ok(policy.map(|policy| *policy)),
            Attempted::KeyRefused { reason } => return Err(LaneEnd::KeyRefused { reason }),
            Attempted::AskAgain(pause) | Attempted::Pause(pause) => tokio::time::sleep(pause).await,
        }
    }
}

async fn serve(shared: &Arc<Shared>, number: u32, dialed: Dialed, drain: watch::Receiver<bool>) -> SessionEnd {
    let since = Instant::now();
    let up = LinkUp::new();
    let capabilities = || stated(shared, number);
    let session = Session {
        desk: &shared.desk,
        surroundings: &shared.surroundings,
        drain,
        lanes: shared.wanted.subscribe(),
        capabilities: &capabilities,
        policy: &shared.policy,
        dispatch: shared.dispatch.subscribe(),
        told: None,
    };
    let end = shared.greeter.beside(session.serve(dialed)).await;
    drop(up);
    let served = since.elapsed();
    shared.greeter.link_ended(served);
    match &end {
        SessionEnd::Drained => info!(lane = number, from = "serving", to = "closed", "link drained"),
        SessionEnd::Useless => {
            metrics::link_lost("no_model");
            warn!(lane = number, from = "serving", to = "waiting", "link closed: every model has failed, see the log");
        }
        SessionEnd::Lost { cause, detail } => {
            metrics::link_lost(cause);
            warn!(
                lane = number,
                from = "serving",
                to = "disconnected",
                cause,
                detail,
                served_s = served.as_secs(),
                "link lost"
            );
        }
    }
    end
}

/// With every model failed there is no connection, and only the router can wish for another model: asks it now and
/// then. Resolves when the key is refused.
async fn ask_again(shared: &Shared) -> LaneEnd {
    let fleet = &shared.surroundings.fleet;
    loop {
        tokio::time::sleep(POLICY_RETRY).await;
        if fleet.outlook() == Outlook::Failed {
            match ask_policy(shared).await {
                Ok(Some(policy)) => shared.policy.offer(policy),
                Ok(None) => {}
                Err(end) => return end,
            }
        }
    }
}

/// Resolves when there is an engine to offer.
async fn serves(shared: &Shared) {
    let mut changes = shared.surroundings.fleet.changes();
    while !shared.surroundings.fleet.serves() {
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What this lane says it can do now.
fn stated(shared: &Shared, number: u32) -> Capabilities {
    let (dispatch, lanes) = (*shared.dispatch.borrow(), *shared.wanted.borrow());
    let surroundings = &shared.surroundings;
    let mut capabilities =
        surroundings.telemetry.capabilities(&surroundings.fleet, |slots| share(number, lanes, dispatch, slots));
    shared.policy.claim(&mut capabilities);
    capabilities
}

impl Shared {
    /// The connection of the first question, if it was kept.
    pub(crate) fn take_asked(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether the health report has given the router away already.
    pub(crate) fn health_is_known(&self) -> bool {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).health
    }

    /// Notes a mark of the router's kind, and changes the dispatch when that changes the verdict.
    pub(crate) fn mark(&self, note: impl FnOnce(&mut Marks)) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut marks);
        let verdict = marks.verdict();
        self.dispatch.send_if_modified(|dispatch| std::mem::replace(dispatch, verdict) != verdict);
    }

    /// The router has greeted a lane: its kind is noted, as far as its id tells.
    fn greeted(&self, gpu_id: &str, extensions: &[String]) {
        let takes_back = extension::has(extensions, extension::NOT_STARTED);
        self.surroundings.takes_back.store(takes_back, std::sync::atomic::Ordering::Relaxed);
        let marked = is_open_source_id(gpu_id);
        self.mark(|marks| marks.id = marked);
        if marked {
            // It may not have been there to be asked when we started, or was another one then.
            self.marked.notify_one();
        }
    }
}
