//! All connections to the router: how many there are, what they share, and how they end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use auxot_fleet::{DesiredModel, Fleet};
use secrecy::ExposeSecret;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, ProgressReports};
use crate::connection::dial::Dialer;
use crate::connection::dial::router_url::{RouterUrl, UrlError};
use crate::connection::dial::tls::{self, TlsError};
use crate::connection::dial::worker_key::WorkerKey;
use crate::connection::health;
use crate::connection::hello::{AttemptOutcome, Handshake, RouterCheck};
use crate::connection::{self, ConnectionEnd, POLICY_RETRY, PolicyConnection, Shared};
use crate::jobs::context::JobContext;
use crate::jobs::crash_suspects::{CrashSuspects, EngineSharing};
use crate::jobs::reduced_tools::ReducedTools;
use crate::jobs::registry::JobRegistry;
use crate::report::Telemetry;
use crate::report::capabilities::pending;
use crate::report::log_text::Shown;
use crate::report::metrics;
use crate::router::connection_count::{Dispatch, wanted};
use crate::router::policy::PolicyHandler;
use crate::router::policy_cache::PolicyCache;

/// How long jobs that are cut short at shutdown may take to send their error message.
const FINAL_MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the start waits for the router's policy.
const FIRST_POLICY_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection to one router, before it is opened.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    handshake: Handshake,
    policy: PolicyHandler,
    /// The connection by which the first policy was requested, when it is kept.
    policy_connection: Option<PolicyConnection>,
}

/// Why a [`Relay`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The router address cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The worker key cannot be read.
    #[error("cannot read the worker key: {0}")]
    Key(String),
}

/// How [`Relay::run`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayEnd {
    /// Drained: every job has ended, or has an error message that the worker shuts down.
    Drained {
        /// Jobs that did not end within the drain time.
        cut_short: usize,
    },
    /// The router does not accept the key; another attempt would change nothing.
    KeyRefused {
        /// The router's error text.
        reason: String,
    },
}

impl Relay {
    /// Checks all that can be checked before the first connection.
    ///
    /// # Errors
    /// When the address, the key or the certificate authorities cannot be used.
    pub fn new(config: Config, state_dir: &std::path::Path) -> Result<Self, RelayError> {
        let url = RouterUrl::parse(&config.url)?;
        let key = WorkerKey::open(&config).map_err(RelayError::Key)?;
        if !url.tls() && !url.is_loopback() {
            warn!(%url, "the connection to the router is NOT encrypted: the worker key and all prompts cross the network in clear; use https://");
        }
        let dialer = Dialer {
            tls: tls::client_config(config.ca_file.as_deref())?,
            timeout: config.connect_timeout,
            max_message: usize::try_from(config.max_message.as_u64()).unwrap_or(usize::MAX),
            url,
        };
        let cache = PolicyCache::new(state_dir, &dialer.url.websocket(), key.last().expose_secret());
        Ok(Self {
            policy: PolicyHandler::new(cache),
            handshake: Handshake::new(&config, dialer, key),
            policy_connection: None,
            config,
        })
    }

    /// Says hello to the router once and leaves: whether it can be reached, and accepts the key.
    pub async fn check(&self) -> RouterCheck {
        self.handshake.check(pending()).await
    }

    /// The router's address, without credentials.
    #[must_use]
    pub fn router_url(&self) -> String {
        self.handshake.dialer.url.to_string()
    }

    /// The fault that keeps the router from giving jobs, while it lasts.
    #[must_use]
    pub fn trouble(&self) -> watch::Receiver<Option<&'static str>> {
        self.handshake.trouble()
    }

    /// The policy to start from: that of the last run, or the router's answer, if it comes within 10 s.
    ///
    /// This runs before any model is loaded. So no model is loaded in a size that the policy does not want, and a wrong key
    /// is reported at once.
    ///
    /// # Errors
    /// When the router refuses the key.
    pub async fn first_desired(&mut self) -> Result<Option<DesiredModel>, RelayEnd> {
        let cached = self.policy.cached();
        if cached.is_some() || !self.config.wait_for_policy {
            return Ok(cached);
        }
        let asking = async {
            loop {
                match self.handshake.attempt(pending()).await {
                    AttemptOutcome::Serving { dialed, gpu_id, policy, extensions } => {
                        return Ok((policy, PolicyConnection::kept(dialed, gpu_id, extensions)));
                    }
                    AttemptOutcome::KeyRefused { reason } => return Err(RelayEnd::KeyRefused { reason }),
                    AttemptOutcome::RetrySoon(pause) => tokio::time::sleep(pause).await,
                    AttemptOutcome::Pause(_) => return Ok((None, None)),
                }
            }
        };
        match tokio::time::timeout(FIRST_POLICY_TIMEOUT, asking).await {
            Ok(Ok((policy, policy_connection))) => {
                self.policy_connection = policy_connection;
                match policy {
                    Some(policy) => Ok(self.policy.adopt_first(*policy).await),
                    None => Ok(None),
                }
            }
            Ok(Err(end)) => Err(end),
            Err(_) => Ok(None),
        }
    }

    /// Serves until `drain` resolves, then finishes the jobs within the time that `drain` returned; or until the key is
    /// refused.
    pub async fn run(self, fleet: Fleet, drain: impl Future<Output = Duration>) -> RelayEnd {
        metrics::router_configured();
        let (sends_progress, progress_wanted) = watch::channel(false);
        let context = Arc::new(JobContext {
            fleet: fleet.clone(),
            telemetry: Telemetry::default(),
            reduced_tools: ReducedTools::default(),
            crash_suspects: CrashSuspects::default(),
            sharing: EngineSharing::default(),
            handing_back: CancellationToken::new(),
            takes_back: AtomicBool::new(false),
            shutdown: CancellationToken::new(),
            sends_progress: progress_wanted,
            config: self.config,
        });
        let shared = Arc::new(Shared {
            registry: JobRegistry::new(Arc::clone(&context)),
            handshake: self.handshake,
            policy: self.policy,
            fingerprint: Mutex::default(),
            fingerprint_changed: Notify::new(),
            dispatch: watch::Sender::new(Dispatch::default()),
            wanted: watch::Sender::new(1),
            policy_connection: Mutex::new(self.policy_connection),
            context,
        });
        let mut pool = ConnectionPool {
            shared,
            tasks: JoinSet::new(),
            connections: BTreeMap::new(),
            sends_progress,
            surplus_since: None,
        };
        tokio::pin!(drain);
        let limit = tokio::select! {
            end = pool.keep_open(&fleet) => return end,
            limit = &mut drain => limit,
        };
        pool.drain(limit).await
    }
}

/// The open connections.
struct ConnectionPool {
    shared: Arc<Shared>,
    tasks: JoinSet<ConnectionEnd>,
    /// The connections that are not closing, by number.
    connections: BTreeMap<u32, OpenConnection>,
    sends_progress: watch::Sender<bool>,
    /// Since when there are more connections than wanted.
    surplus_since: Option<Instant>,
}

/// One open connection.
struct OpenConnection {
    task: Id,
    drain: watch::Sender<bool>,
}

impl ConnectionPool {
    /// Holds as many connections as are wanted; returns only when the key is refused.
    async fn keep_open(&mut self, fleet: &Fleet) -> RelayEnd {
        let shared = Arc::clone(&self.shared);
        let (health, policy) = (health::keep_known(&shared), shared.policy.run(fleet));
        tokio::pin!(health, policy);
        if !fleet.has_models() {
            // No model could answer jobs of this connection.
            drop(shared.take_policy_connection());
        }
        if !fleet.has_models()
            && let Err(end) = self.wait_for_model(fleet).await
        {
            return end;
        }
        let mut changes = fleet.changes();
        let mut dispatch = shared.dispatch.subscribe();
        loop {
            self.hold_wanted(fleet);
            let surplus = Self::surplus_over(self.surplus_since, shared.context.config.surplus_connection_time);
            tokio::select! {
                never = &mut health => match never {},
                never = &mut policy => match never {},
                Ok(()) = changes.changed() => {}
                Ok(()) = dispatch.changed() => {}
                () = surplus => {}
                Some(ended) = self.tasks.join_next_with_id() => if let Some(end) = self.connection_ended(ended) {
                    return end;
                },
            }
        }
    }

    /// Handles the end of a connection's task; a refused key ends the pool.
    fn connection_ended(&mut self, ended: Result<(Id, ConnectionEnd), JoinError>) -> Option<RelayEnd> {
        let (task, end) = match ended {
            Ok((task, ConnectionEnd::Drained)) => (task, None),
            Ok((task, ConnectionEnd::KeyRefused { reason })) => (task, Some(RelayEnd::KeyRefused { reason })),
            Err(fault) => {
                // A panic ends one connection, and a new one replaces it. The panic itself is not logged: it may hold text
                // of a job.
                error!(panicked = fault.is_panic(), "the task of a connection has failed");
                (fault.id(), None)
            }
        };
        self.connections.retain(|_, connection| connection.task != task);
        end
    }

    /// Requests the policy while this host has none of the models of the operator and of the stored policy. When the policy
    /// names a model that is missing too, the worker reports it as unmet and serves the other models of the folders.
    async fn wait_for_model(&self, fleet: &Fleet) -> Result<(), RelayEnd> {
        loop {
            match connection::request_policy(&self.shared).await {
                Ok(Some(policy)) => drop(self.shared.policy.take_in(policy, fleet).await),
                Ok(None) => warn!("the router has no policy for this worker"),
                Err(ConnectionEnd::KeyRefused { reason }) => return Err(RelayEnd::KeyRefused { reason }),
                Err(ConnectionEnd::Drained) => {}
            }
            if fleet.has_models() {
                return Ok(());
            }
            if fleet.serve_any_model() {
                let report = fleet.report();
                let primary = report.models.first().map(|model| model.model.name.as_str());
                warn!(
                    primary,
                    unmet = %Shown(&report.unmet.join(", ")),
                    "no model named by the operator or the router is on this host: other models of the folders are served"
                );
                return Ok(());
            }
            warn!(
                again_s = POLICY_RETRY.as_secs(),
                reason = %Shown(&fleet.nothing_to_serve()),
                "nothing to serve: name a model in AUXOT_GPU_AUTOLOAD_MODELS, or put one that can chat into the models folder"
            );
            tokio::time::sleep(POLICY_RETRY).await;
        }
    }

    fn hold_wanted(&mut self, fleet: &Fleet) {
        let shared = &Arc::clone(&self.shared);
        let dispatch = *shared.dispatch.borrow();
        let report = fleet.report();
        let takes = report.models.first().filter(|model| model.takes_jobs());
        let slots = takes.map(|model| model.slots);
        let config = &shared.context.config;
        // Without a ready engine the number of slots is unknown: the connections stay as they are.
        let count =
            slots.map_or(self.connections.len().max(1), |slots| wanted(config.connections, dispatch, slots) as usize);
        shared.wanted.send_if_modified(|wanted| std::mem::replace(wanted, count as u32) != count as u32);
        self.sends_progress.send_replace(match config.prompt_progress {
            ProgressReports::On => true,
            ProgressReports::Off => false,
            ProgressReports::Auto => dispatch == Dispatch::Shared,
        });
        self.close_surplus(count);
        let free = (0..).filter(|number| !self.connections.contains_key(number));
        let missing: Vec<u32> = free.take(count.saturating_sub(self.connections.len())).collect();
        for number in missing {
            let (drain, drain_rx) = watch::channel(false);
            let task = self.tasks.spawn(connection::run(Arc::clone(shared), number, drain_rx)).id();
            self.connections.insert(number, OpenConnection { task, drain });
        }
    }

    /// Closes surplus connections after `surplus_connection_time`. The open-source router goes on taking jobs for a closed connection,
    /// and such a job is late by half a minute.
    fn close_surplus(&mut self, count: usize) {
        if self.connections.len() <= count {
            self.surplus_since = None;
            return;
        }
        let since = *self.surplus_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.shared.context.config.surplus_connection_time {
            return;
        }
        self.surplus_since = None;
        while self.connections.len() > count {
            if let Some((_, connection)) = self.connections.pop_last() {
                connection.drain.send_replace(true);
            }
        }
    }

    /// Resolves when surplus connections have been open for `surplus_connection_time`.
    async fn surplus_over(since: Option<Instant>, time: Duration) {
        match since {
            Some(since) => tokio::time::sleep_until((since + time).into()).await,
            None => std::future::pending().await,
        }
    }

    /// Lets every connection finish its jobs, waiting jobs too. A job that has not ended after `limit` gets an error
    /// message.
    async fn drain(mut self, limit: Duration) -> RelayEnd {
        let registry = Arc::clone(&self.shared.registry);
        info!(
            from = "serving",
            to = "draining",
            jobs = registry.len(),
            limit_s = limit.as_secs_f64(),
            "the connections to the router close"
        );
        let context = &self.shared.context;
        context.telemetry.draining.store(true, Ordering::Relaxed);
        context.handing_back.cancel();
        for connection in self.connections.values() {
            connection.drain.send_replace(true);
        }
        let closed = async { while self.tasks.join_next().await.is_some() {} };
        tokio::pin!(closed);
        // When all connections are closed there can still be jobs whose connection was lost; the router cannot adopt them
        // any more.
        let all_closed = tokio::time::timeout(limit, &mut closed).await.is_ok();
        let cut_short = registry.len();
        if cut_short > 0 {
            warn!(
                jobs = cut_short,
                all_closed, "jobs are cut short: the drain time is over, or their connection is lost"
            );
            registry.end_all();
            // These error messages are optional: the router also sees the closed connection.
            let messages_sent = async {
                registry.empty().await;
                if !all_closed {
                    closed.await;
                }
            };
            let _ = tokio::time::timeout(FINAL_MESSAGE_TIMEOUT, messages_sent).await;
        }
        RelayEnd::Drained { cut_short }
    }
}
