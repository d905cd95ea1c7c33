//! The sockets, and every connection to them.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use auxot_access::Verifier;
use auxot_access::keys::{FileError, KeyStore, Keys, is_exposed};
use auxot_fleet::Fleet;
use http::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::{Config, ListenAddress};
use crate::listener::{Listener, Stream};
use crate::service;
use crate::shared::Shared;

/// The bytes of a request's head after which no more are read; a head may be as much again longer.
const HEAD_LIMIT: usize = 64 << 10;
/// The most fields of a head: what an engine takes.
const MOST_FIELDS: usize = 100;
/// Pause after an `accept` that failed: descriptors need time to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the key file is looked at.
const KEY_FILE_INTERVAL: Duration = Duration::from_secs(2);
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
    keys: Option<Verifier>,
    listeners: Vec<Listener>,
}

impl Gateway {
    /// Binds every address and logs it. Without addresses the gateway is off.
    ///
    /// # Errors
    /// An address cannot be bound, or the key file has no key.
    pub async fn open(config: Config) -> Result<Self, GatewayError> {
        let keys = config.keys_file.as_deref().filter(|_| config.is_on()).map(open_keys).transpose()?;
        let mut listeners = Vec::new();
        for address in &config.addr {
            let listener = Listener::bind(address)
                .await
                .map_err(|error| GatewayError::Listen { address: address.to_string(), error })?;
            let bound = listener.address(address);
            match address {
                ListenAddress::Tcp(_) => {
                    info!(address = %bound, url = %format!("http://{bound}/v1"), "gateway listens")
                }
                ListenAddress::Unix(_) => info!(address = %bound, "gateway listens"),
            }
            listeners.push(listener);
        }
        Ok(Self { config, keys, listeners })
    }

    /// Serves until `drain` resolves, then finishes the running requests within the time that `drain` returned. Returns the
    /// number of requests that were cut short.
    pub async fn run(self, fleet: Fleet, drain: impl Future<Output = Duration>) -> usize {
        let permits = Arc::new(Semaphore::new(self.config.max_connections));
        let shared = Arc::new(Shared::new(self.config, self.keys, fleet));
        let closing = CancellationToken::new();
        let mut listening = JoinSet::new();
        for listener in self.listeners {
            listening.spawn(accept(listener, Arc::clone(&shared), Arc::clone(&permits), closing.clone()));
        }
        let limit = tokio::select! {
            limit = drain => limit,
            never = watch_keys(&shared) => match never {},
        };
        closing.cancel();
        let finished = async { while listening.join_next().await.is_some() {} };
        tokio::pin!(finished);
        if timeout(limit, &mut finished).await.is_ok() {
            return 0;
        }
        let cut_short = shared.running.load(Ordering::Relaxed);
        warn!(requests = cut_short, "requests of local clients are cut short: the drain time is over");
        shared.ending.cancel();
        let _silent = timeout(LAST_WORDS, finished).await;
        cut_short
    }
}

/// Reads the keys.
fn open_keys(path: &Path) -> Result<Verifier, GatewayError> {
    let store = KeyStore::open(Keys::file(path.to_owned()))?;
    if store.keys().api_keys() == 0 {
        return Err(GatewayError::NoKeys { path: path.display().to_string() });
    }
    if is_exposed(path) {
        warn!(path = %path.display(), "other users can read the key file: chmod 600 it");
    }
    Ok(Verifier::new(store, KEY_CACHE))
}

/// Notices keys that were revoked: a cached verdict would let them in.
async fn watch_keys(shared: &Shared) -> Infallible {
    let Some(keys) = &shared.keys else { return pending().await };
    let mut last = 0;
    loop {
        sleep(KEY_FILE_INTERVAL).await;
        // The set itself is not needed here.
        let _changed = keys.refresh(&mut last).await;
    }
}

/// Accepts connections until `closing`, then waits for the open ones.
async fn accept(listener: Listener, shared: Arc<Shared>, permits: Arc<Semaphore>, closing: CancellationToken) {
    let mut connections = JoinSet::new();
    let mut is_logged = false;
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            // Further connections wait in the system's queue. The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            listener.accept().await.map(|stream| (stream, permit))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, permit)) => {
                is_logged = false;
                connections.spawn(connection(stream, Arc::clone(&shared), permit, closing.clone()));
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

async fn connection(stream: Stream, shared: Arc<Shared>, _permit: OwnedSemaphorePermit, closing: CancellationToken) {
    let from = stream.from();
    match stream {
        Stream::Tcp(io, _) => serve(io, from, shared, closing).await,
        Stream::Unix(io) => serve(io, from, shared, closing).await,
    }
}

async fn serve<I: Read + Write + Unpin + Send>(io: I, from: IpAddr, shared: Arc<Shared>, closing: CancellationToken) {
    let header_timeout = shared.config.header_timeout;
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        // On the heap: hyper keeps room for this future in every connection, also while its answer is sent or none is asked.
        Box::pin(async move { Ok::<_, Infallible>(service::answer(shared, from, request).await) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_LIMIT)
        .max_headers(MOST_FIELDS)
        // Answers have the fields that the engine gives them.
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that disconnects, is too slow or sends nonsense is not a failure of this program.
        debug!(%error, "connection of a local client ended");
    }
}
