//! A router: its start, its run, its stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use auxot_protocol::Policy;
use auxot_server_tls::{ServerTls, TlsError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::UnreadLimits;
use crate::board::BoardLimits;
use crate::config::Config;
use crate::control::ControlServer;
use crate::descriptors;
use crate::http;
use crate::hub::Hub;
use crate::key_watch;
use crate::listen::{self, ConnectionLimits};
use crate::metrics::Metrics;
use crate::providers::{ClientError, Provider};
use crate::shared::RouterState;
use crate::summary::Summary;
use crate::unauthenticated::UnauthenticatedConnections;
use crate::unix_time::now;
use auxot_access::keys::{FileError, KeyKind, KeyStore, is_exposed};
use auxot_access::{Budget, KeyUsage, Verifier};

/// Parallel jobs on a worker that reports no slots.
const DEFAULT_SLOTS: u32 = 2;
/// Connections without a good key at one time, where the descriptors allow it.
const MAX_UNAUTHENTICATED: usize = 512;
/// Interval between two folds of the samples of histograms.
const FOLD_INTERVAL: Duration = Duration::from_secs(5);
/// Connections to the metrics at one time.
const MAX_SCRAPES: usize = 16;
/// How long links and idle connections may take to end after the last job.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// WebSocket close code "going away".
const GOING_AWAY: u16 = 1001;

/// Why a router cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {host}:{port}: {error}")]
    Listen {
        /// The configured address.
        host: String,
        /// The configured port.
        port: u16,
        /// The error of the system.
        error: io::Error,
    },
    /// No key is configured.
    #[error("cannot serve without keys: make a pair with `auxot-router keys create`")]
    NoKeys,
    /// The key file cannot be used.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// The metrics cannot be made.
    #[error("cannot make the metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// The control socket has no name.
    #[error("cannot make a name for the control socket: {0}")]
    Randomness(getrandom::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A provider cannot be used.
    #[error(transparent)]
    Provider(#[from] ClientError),
}

/// The socket that the service manager has kept for the address, else one that is bound here.
async fn listener(config: &Config) -> io::Result<TcpListener> {
    let address = (config.host.as_str(), config.port);
    let listener = match tokio::net::lookup_host(address).await?.find_map(auxot_service_sockets::listener) {
        Some(kept) => TcpListener::from_std(kept)?,
        None => TcpListener::bind(address).await?,
    };
    auxot_service_sockets::keep(&listener);
    auxot_service_sockets::close_others(&[listener.local_addr()?]);
    Ok(listener)
}

/// A running router.
///
/// A drop without [`Router::shutdown`] ends it as [`Router::abort`] does.
#[derive(Debug)]
pub struct Router {
    state: Arc<RouterState>,
    addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    /// Stops accepting connections.
    closing: CancellationToken,
    server: JoinSet<()>,
}

impl Router {
    /// Starts a router on the current runtime.
    ///
    /// # Errors
    /// There are no keys, the key file is unreadable or the address cannot be bound.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let keys = KeyStore::open(config.keys.clone())?;
        if keys.count(KeyKind::Worker) == 0 || keys.count(KeyKind::Api) == 0 {
            return Err(StartError::NoKeys);
        }
        let open = |(certificate, key): (PathBuf, PathBuf)| ServerTls::open(certificate, key);
        let tls = config.tls.clone().map(open).transpose()?;
        if let Some(path) = config.keys.file.as_deref().filter(|path| is_exposed(path)) {
            tracing::warn!(path = %path.display(), "other users can read the key file: chmod 600 it");
        }
        let fault = |error| StartError::Listen { host: config.host.clone(), port: config.port, error };
        let listener = listener(&config).await.map_err(fault)?;
        let addr = listener.local_addr().map_err(fault)?;
        let limits = BoardLimits {
            max_waiting: config.max_waiting,
            max_attempts: config.max_attempts.max(1),
            default_slots: config.desired.max_parallel.unwrap_or(DEFAULT_SLOTS),
        };
        let metrics = Arc::new(Metrics::new(config.metrics_addr.is_some())?);
        let state = Arc::new(RouterState {
            hub: Arc::new(Hub::new(limits, config.desired.clone(), config.dead_threshold, metrics.clone())),
            verifier: Verifier::new(keys, config.auth_cache_ttl),
            usage: KeyUsage::new(),
            started: now(),
            links: TaskTracker::new(),
            bodies: Budget::new(config.max_bodies),
            unread: UnreadLimits { each: config.max_unread, all: Budget::new(config.max_unread_total) },
            kill: CancellationToken::new(),
            config,
        });
        let closing = CancellationToken::new();
        let routes = http::routes(state.clone());
        let unauthenticated = UnauthenticatedConnections::new(
            descriptors::raise_limit().map_or(MAX_UNAUTHENTICATED, |most| MAX_UNAUTHENTICATED.min(most / 4)),
        );
        let limits = ConnectionLimits { first: state.config.hello_timeout, idle: state.config.idle_timeout };
        let mut server = JoinSet::new();
        server.spawn(listen::serve(listener, tls.clone(), routes, unauthenticated, limits, closing.clone()));
        server.spawn(key_watch::serve(state.clone(), state.kill.clone()));
        server.spawn(watch_certificate(tls.clone(), closing.clone()));
        for config in &state.config.providers {
            server.spawn(Provider::add(config, &state.hub, &metrics)?.serve(state.kill.clone()));
        }
        let metrics_addr = match state.config.metrics_addr {
            None => None,
            Some(address) => {
                server.spawn(fold_metrics(metrics, closing.clone()));
                Some(serve_metrics(address, state.hub.clone(), limits, closing.clone(), &mut server).await?)
            }
        };
        if let Some(config) = state.config.control.clone() {
            let control = ControlServer::open(&config).await.map_err(StartError::Randomness)?;
            server.spawn(control.serve(state.clone(), addr, state.kill.clone()));
        }
        tracing::info!(%addr, tls = tls.is_some(), "router listens");
        if !addr.ip().is_loopback() && tls.is_none() {
            tracing::warn!(%addr, "keys and prompts cross this network in clear: set AUXOT_TLS_CERTIFICATE and AUXOT_TLS_KEY");
        }
        Ok(Self { state, addr, metrics_addr, closing, server })
    }

    /// The address of the metrics.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// The address that the router listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The router's numbers, and every change of them.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Summary> {
        self.state.hub.watch()
    }

    /// Waits until the numbers match `condition`, and returns them.
    pub async fn wait_for(&self, condition: impl FnMut(&Summary) -> bool) -> Summary {
        let mut watch = self.watch();
        match watch.wait_for(condition).await {
            Ok(summary) => *summary,
            // The sender lives in `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a policy to every worker, and in every later `hello_ack`.
    pub fn policy_update(&self, policy: Policy) {
        self.state.hub.policy_update(policy);
    }

    /// Cuts every worker's connection without a close frame; workers may reconnect.
    pub fn cut_links(&self) {
        self.state.hub.cut_links();
    }

    /// Accepts no more connections and jobs, lets running jobs end within the configured time, and closes links with
    /// 1001.
    pub async fn shutdown(mut self) {
        let hub = &self.state.hub;
        hub.stop();
        self.closing.cancel();
        let idle = self.wait_for(|summary| summary.active_jobs + summary.provided == 0 && summary.waiting == 0);
        if timeout(self.state.config.drain_timeout, idle).await.is_err() {
            let left = hub.summary();
            tracing::warn!(active = left.active_jobs, waiting = left.waiting, "jobs ended because the router stops");
            hub.end_all();
        }
        hub.close_links(GOING_AWAY, "router stopping");
        self.state.links.close();
        if timeout(CLOSE_TIMEOUT, self.state.links.wait()).await.is_err() {
            tracing::warn!("links cut: they did not close in time");
        }
        self.state.kill.cancel();
        let _ = timeout(CLOSE_TIMEOUT, async { while self.server.join_next().await.is_some() {} }).await;
        tracing::info!("router stopped");
    }

    /// Ends everything at once, as a crash would; returns when the address is free again.
    pub async fn abort(mut self) {
        self.cut_off();
        // Clients get the end of their jobs; a client that does not read it is cut off.
        let _ = timeout(CLOSE_TIMEOUT, async { while self.server.join_next().await.is_some() {} }).await;
        self.server.shutdown().await;
        self.state.links.close();
        self.state.links.wait().await;
    }

    fn cut_off(&self) {
        self.state.kill.cancel();
        self.closing.cancel();
        self.state.hub.stop();
        self.state.hub.end_all();
    }
}

/// Takes over a certificate that changes.
async fn watch_certificate(tls: Option<ServerTls>, closing: CancellationToken) {
    let Some(tls) = tls else { return };
    tokio::select! {
        () = tls.watch() => {}
        () = closing.cancelled() => {}
    }
}

/// Folds the samples of histograms.
async fn fold_metrics(metrics: Arc<Metrics>, closing: CancellationToken) {
    while timeout(FOLD_INTERVAL, closing.cancelled()).await.is_err() {
        metrics.fold();
    }
}

/// Serves the metrics at an address of their own.
async fn serve_metrics(
    address: SocketAddr,
    hub: Arc<Hub>,
    limits: ConnectionLimits,
    closing: CancellationToken,
    server: &mut JoinSet<()>,
) -> Result<SocketAddr, StartError> {
    let fault = |error| StartError::Listen { host: address.ip().to_string(), port: address.port(), error };
    let listener = TcpListener::bind(address).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    let connections = UnauthenticatedConnections::new(MAX_SCRAPES);
    server.spawn(listen::serve(listener, None, http::metrics_routes(hub), connections, limits, closing));
    tracing::info!(%address, "metrics endpoint listens");
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "metrics are readable from other hosts");
    }
    Ok(address)
}

impl Drop for Router {
    fn drop(&mut self) {
        self.cut_off();
    }
}
