//! One lane: a place for a connection, which dials, greets, serves, and dials again.
//!
//! ```text
//!   Waiting for an engine ─▶ Connecting ─▶ Greeting ─▶ Serving ─▶ Drained
//!           ▲                    │ failed      │ refused    │ lost
//!           └──── pause ◀────────┴─────────────┴────────────┘
//! ```

pub(crate) mod greeting;
pub(crate) mod health;
pub(crate) mod meter;
pub(crate) mod outbox;
pub(crate) mod session;
pub(crate) mod silence;
pub(crate) mod writer;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use auxot_fleet::Outlook;
use auxot_protocol::{Capabilities, Hello, Policy, ToRouter, ToWorker};
use futures_util::{SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Notify, watch};
use tokio_tungstenite::tungstenite::Message;
use tracing::{error, info, warn};

use crate::desk::Desk;
use crate::dial::backoff::{Backoff, random};
use crate::dial::{Dialed, Dialer, Socket};
use crate::exchange::Surroundings;
use crate::lane::greeting::Greeting;
use crate::lane::session::{Session, SessionEnd};
use crate::lanes::{Dispatch, Marks, is_open_source_id, share};
use crate::policy::PolicyKeeper;
use crate::telemetry::metrics::{self, LinkUp};

/// How often a key that was good once and is refused now is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// How long a new connection waits for the router's wish to be taken in, so that its first capabilities answer it.
const POLICY_PATIENCE: Duration = Duration::from_secs(1);
/// With nothing to serve, the router is asked this often whether its policy has changed.
pub(crate) const POLICY_RETRY: Duration = Duration::from_secs(60);

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) desk: Arc<Desk>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) dialer: Dialer,
    pub(crate) key: SecretString,
    pub(crate) policy: PolicyKeeper,
    pub(crate) backoff: Mutex<Backoff>,
    /// The two marks of the open-source router, and what follows from having seen both.
    pub(crate) marks: Mutex<Marks>,
    pub(crate) dispatch: watch::Sender<Dispatch>,
    /// Told whenever a greeting bears the second mark: the first is worth looking for then.
    pub(crate) marked: Notify,
    /// Lanes that are wanted now.
    pub(crate) wanted: watch::Sender<u32>,
    /// Whether the router has ever taken our key.
    pub(crate) accepted_once: std::sync::atomic::AtomicBool,
}

/// Why a lane is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneEnd {
    /// It was told to drain and has.
    Drained,
    /// The router does not take our key and never has.
    KeyRefused { reason: String },
}

/// What came of one attempt to connect.
enum Attempted {
    Serving(Box<Dialed>, Option<Box<Policy>>),
    /// The key was never taken.
    KeyRefused {
        reason: String,
    },
    Pause(Duration),
}

/// Keeps one lane going until `drain` becomes true.
pub(crate) async fn run(shared: Arc<Shared>, number: u32, drain: watch::Receiver<bool>) -> LaneEnd {
    loop {
        let mut told = drain.clone();
        tokio::select! {
            () = serves(&shared) => {}
            end = ask_again(&shared), if number == 0 => return end,
            _ = told.wait_for(|drain| *drain) => return LaneEnd::Drained,
        }
        let capabilities = || stated(&shared, number);
        let attempted = tokio::select! {
            attempted = attempt(&shared, capabilities()) => attempted,
            _ = told.wait_for(|drain| *drain) => return LaneEnd::Drained,
        };
        let pause = match attempted {
            Attempted::Serving(dialed, policy) => {
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
                    SessionEnd::Lost { .. } => shared.next_pause(),
                }
            }
            Attempted::KeyRefused { reason } => return LaneEnd::KeyRefused { reason },
            Attempted::Pause(pause) => pause,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = told.wait_for(|drain| *drain) => return LaneEnd::Drained,
        }
    }
}

/// Asks the router for its policy with a connection that does nothing else.
pub(crate) async fn ask_policy(shared: &Shared) -> Result<Option<Policy>, LaneEnd> {
    loop {
        match attempt(shared, crate::telemetry::pending()).await {
            // Dropped at once: a job that slipped in comes back by itself, an error would fail it.
            Attempted::Serving(_, policy) => return Ok(policy.map(|policy| *policy)),
            Attempted::KeyRefused { reason } => return Err(LaneEnd::KeyRefused { reason }),
            Attempted::Pause(pause) => tokio::time::sleep(pause).await,
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
    let end = session.serve(dialed).await;
    drop(up);
    let served = since.elapsed();
    shared.backoff.lock().unwrap_or_else(PoisonError::into_inner).link_ended(served);
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

async fn attempt(shared: &Shared, capabilities: Capabilities) -> Attempted {
    let mut dialed = match shared.dialer.dial().await {
        Ok(dialed) => dialed,
        Err(fault) => {
            metrics::dial_failed(fault.label());
            let pause = shared.next_pause();
            warn!(%fault, pause_ms = pause.as_millis() as u64, "cannot reach the router");
            return Attempted::Pause(pause);
        }
    };
    let limit = shared.surroundings.config.hello_timeout;
    let greeting = match tokio::time::timeout(limit, greet(shared, &mut dialed.socket, capabilities)).await {
        Ok(greeting) => greeting,
        Err(_) => Greeting::Transient { reason: format!("no answer to hello within {limit:?}") },
    };
    match greeting {
        Greeting::Accepted { gpu_id, policy } => {
            shared.accepted_once.store(true, Ordering::Relaxed);
            metrics::key_refused(false);
            let marked = is_open_source_id(&gpu_id);
            shared.mark(|marks| marks.id = marked);
            if marked {
                // It may not have been there to be asked when we started, or was another one then.
                shared.marked.notify_one();
            }
            info!(gpu_id, url = %shared.dialer.url, from = "greeting", to = "serving", "link accepted");
            Attempted::Serving(Box::new(dialed), policy)
        }
        Greeting::KeyRefused { reason } => {
            metrics::key_refused(true);
            metrics::dial_failed("key_refused");
            error!(reason, url = %shared.dialer.url, "the router refuses the worker key; check AUXOT_GPU_KEY");
            // A key that was good once may be so again.
            if shared.accepted_once.load(Ordering::Relaxed) {
                Attempted::Pause(REFUSED_PAUSE)
            } else {
                Attempted::KeyRefused { reason }
            }
        }
        Greeting::Later { reason, after } => {
            warn!(reason, after_s = after.as_secs(), "the router asks us to come back later");
            Attempted::Pause(after)
        }
        Greeting::Transient { reason } => {
            metrics::dial_failed("greeting");
            let pause = shared.next_pause();
            warn!(reason, pause_ms = pause.as_millis() as u64, "the router did not greet us");
            Attempted::Pause(pause)
        }
        Greeting::Other => Attempted::Pause(shared.next_pause()),
    }
}

async fn greet(shared: &Shared, socket: &mut Socket, mut capabilities: Capabilities) -> Greeting {
    // Only `config` carries these.
    capabilities.model_capabilities.clear();
    let hello = ToRouter::Hello(Box::new(Hello {
        gpu_key: shared.key.expose_secret().to_owned(),
        worker_type: None,
        capabilities,
    }));
    if let Err(error) = socket.send(Message::text(hello.to_frame())).await {
        return Greeting::Transient { reason: error.to_string() };
    }
    loop {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            // The frame's type says nothing about what is in it, as everywhere on this wire.
            Some(Ok(Message::Binary(bytes))) => match bytes.try_into() {
                Ok(text) => text,
                Err(_) => continue,
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(_))) | None => {
                return Greeting::Transient { reason: "the router closed the connection without a word".to_owned() };
            }
            Some(Err(error)) => return Greeting::Transient { reason: error.to_string() },
        };
        match ToWorker::parse(&text).map(greeting::read) {
            Ok(Greeting::Other) => {}
            Ok(greeting) => return greeting,
            Err(fault) => warn!(%fault, "cannot read a message of the router"),
        }
    }
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

    /// All lanes draw from one backoff: a router that is down is down for all of them.
    fn next_pause(&self) -> Duration {
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = backoff.next(random());
        tracing::debug!(attempt = backoff.attempt(), "reconnect pause chosen");
        pause
    }
}
