//! The sockets, and every connection to them.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::Verifier;
use auxot_access::keys::{FileError, KeyKind, KeyStore, Keys, is_exposed};
use auxot_fleet::Fleet;
use auxot_folder_watch::FileWatch;
use auxot_server_tls::{ServerTls, TlsError};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::api_key::ApiKeys;
use crate::client::Client;
use crate::config::{Config, ListenAddress};
use crate::connection;
use crate::listener::Listener;
use crate::shared::Shared;
use crate::unused_memory;

/// Pause after an `accept` that failed: descriptors need time to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take for the handshake of TLS.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);
/// The longest time between two looks at the key file, for changes that the system does not report.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a verdict on a key is cached.
const KEY_CACHE: Duration = Duration::from_secs(5 * 60);
/// How long requests that are cut short at shutdown may take to tell their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the gateway cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// An address cannot be listened on.
    #[error("cannot listen for local clients on {address}: {error}; set gateway.addr (AUXOT_GATEWAY_ADDR)")]
    Listen {
        /// The address.
        address: String,
        /// The error of the system.
        error: io::Error,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Keys(#[from] FileError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key file has no key.
    #[error("cannot serve local clients: {path} has no key yet; make one with `auxot-worker keys create`")]
    NoKeys {
        /// The key file.
        path: String,
    },
}

/// The gateway, with its sockets.
#[derive(Debug)]
pub struct Gateway {
    config: Config,
    keys: Option<Arc<ApiKeys>>,
    tls: Option<ServerTls>,
    listeners: Vec<Listener>,
}

impl Gateway {
    /// Binds every address and logs it. Without addresses the gateway is off.
    ///
    /// # Errors
    /// An address cannot be bound, or the key file has no key.
    pub async fn open(config: Config) -> Result<Self, GatewayError> {
        let keys = config.keys_file.as_deref().filter(|_| config.is_on()).map(open_keys).transpose()?;
        let files = config.tls_certificate.as_deref().zip(config.tls_key.as_deref()).filter(|_| config.is_on());
        let open = |(certificate, key): (&Path, &Path)| ServerTls::open(certificate.to_owned(), key.to_owned());
        let tls = files.map(open).transpose()?;
        let acceptor = tls.as_ref().map(ServerTls::acceptor);
        let mut listeners = Vec::new();
        for address in &config.addr {
            let listener = Listener::bind(address, acceptor.as_ref())
                .await
                .map_err(|error| GatewayError::Listen { address: address.to_string(), error })?;
            let bound = listener.address(address);
            match address {
                ListenAddress::Tcp(_) => {
                    let scheme = if listener.has_tls() { "https" } else { "http" };
                    info!(address = %bound, url = %format!("{scheme}://{bound}/v1"), "gateway listens")
                }
                ListenAddress::Unix(_) => info!(address = %bound, "gateway listens"),
            }
            listeners.push(listener);
        }
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(Listener::socket_address).collect();
        auxot_service_sockets::close_others(&addresses);
        Ok(Self { config, keys, tls, listeners })
    }

    /// Serves until `drain` resolves, then finishes the running requests within the time that `drain` returned. Returns the
    /// number of requests that were cut short.
    pub async fn run(self, fleet: Fleet, drain: impl Future<Output = Duration>) -> usize {
        let shared = Arc::new(Shared::new(self.config, self.keys, fleet));
        let closing = CancellationToken::new();
        let mut listening = JoinSet::new();
        for listener in self.listeners {
            listening.spawn(accept(listener, Arc::clone(&shared), closing.clone()));
        }
        let keys_watched = watch_keys(&shared);
        tokio::pin!(keys_watched);
        let limit = tokio::select! {
            limit = drain => limit,
            never = &mut keys_watched => match never {},
            never = watch_certificate(self.tls) => match never {},
            never = unused_memory::after_bursts(&shared.running, unused_memory::release) => match never {},
        };
        closing.cancel();
        let finished = async { while listening.join_next().await.is_some() {} };
        tokio::pin!(finished);
        let in_time = tokio::select! {
            finished = timeout(limit, &mut finished) => finished.is_ok(),
            never = &mut keys_watched => match never {},
        };
        if in_time {
            return 0;
        }
        let cut_short = shared.running.count();
        warn!(requests = cut_short, "requests of local clients are cut short: the drain time is over");
        shared.ending.cancel();
        let _silent = timeout(LAST_WORDS, finished).await;
        cut_short
    }
}

/// Reads the keys.
fn open_keys(path: &Path) -> Result<Arc<ApiKeys>, GatewayError> {
    let store = KeyStore::open(Keys::file(path.to_owned()))?;
    if store.count(KeyKind::Api) == 0 {
        return Err(GatewayError::NoKeys { path: path.display().to_string() });
    }
    if is_exposed(path) {
        warn!(path = %path.display(), "other users can read the key file: chmod 600 it");
    }
    Ok(ApiKeys::new(Verifier::new(store, KEY_CACHE)))
}

/// Takes over a certificate that changes.
async fn watch_certificate(tls: Option<ServerTls>) -> Infallible {
    if let Some(tls) = tls {
        tls.watch().await;
    }
    pending().await
}

/// Takes over changes of the keys: a table of good keys, or a cached verdict, would let a revoked one in, and its requests
/// would go on.
async fn watch_keys(shared: &Shared) -> Infallible {
    let Some(keys) = &shared.keys else { return pending().await };
    let mut watch = FileWatch::open("the key file: it is looked at each second");
    watch.follow(shared.config.keys_file.as_deref()).await;
    loop {
        let pause = keys.refresh().await.unwrap_or(KEY_FILE_INTERVAL);
        tokio::select! {
            () = watch.next_change() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Accepts connections until `closing`, then waits for the open ones.
async fn accept(listener: Listener, shared: Arc<Shared>, closing: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut is_logged = false;
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // Further connections wait in the system's queue.
            let accepted = listener.accept().await?;
            Ok::<_, io::Error>((accepted, shared.connections.room().await?))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((accepted, permit)) => {
                is_logged = false;
                let (shared, closing) = (Arc::clone(&shared), closing.clone());
                connections.spawn(async move {
                    let from = accepted.from;
                    match timeout(TLS_HANDSHAKE, accepted.stream()).await {
                        Ok(Ok(stream)) => connection::serve(Client::new(stream), from, shared, closing).await,
                        Ok(Err(error)) => debug!(%error, "a local client speaks no TLS"),
                        Err(_) => debug!("a local client takes too long for TLS"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                if !std::mem::replace(&mut is_logged, true) {
                    warn!(%error, "cannot accept a connection of a local client");
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
