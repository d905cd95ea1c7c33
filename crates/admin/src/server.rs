//! The HTTP server behind the metrics port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auxot_fleet::Fleet;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::recorder::Recorder;
use crate::visitors::{self, Names};

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a client may take to ask, and how long it may stay without asking again.
const HEADERS: Duration = Duration::from_secs(10);
/// The longest life of one connection: a client that does not read its answer holds it no longer.
const CONNECTION: Duration = Duration::from_secs(120);
/// From one try to have the port to the next.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// After a connection that could not be taken: what there was none of needs time to come back.
const BREATH: Duration = Duration::from_secs(1);

/// The server, with its port or still without it.
#[derive(Debug)]
pub struct Server {
    listener: Option<TcpListener>,
    address: SocketAddr,
    names: Names,
    /// Places for connections: descriptors are for engines and links first.
    places: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Sources {
    recorder: Recorder,
    fleet: Fleet,
    /// What keeps the router from giving jobs, as long as it does.
    router: watch::Receiver<Option<&'static str>>,
}

impl Server {
    /// Takes the port and says which one it is. Where it cannot be had, that is said, and it is tried again while the server
    /// runs: models are served without it.
    pub async fn open(config: &Config, connections: usize) -> Self {
        let address = SocketAddr::new(config.host, config.port);
        let places = Arc::new(Semaphore::new(connections.max(1)));
        let mut server = Self { listener: None, address, names: Names::new(&config.names), places };
        if let Err(fault) = server.take_port().await {
            warn!(
                %address,
                "cannot listen for metrics: {fault}; trying again every {} s; another port is set by metrics.port \
                 (AUXOT_METRICS_PORT), 0 is any free one",
                TRY_AGAIN.as_secs()
            );
        }
        server
    }

    async fn take_port(&mut self) -> std::io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            warn!(%address, "metrics are readable from other hosts");
        }
        info!(%address, url = %format!("http://{address}/metrics"), "metrics endpoint listens");
        self.listener = Some(listener);
        Ok(())
    }

    /// Serves until dropped.
    pub async fn serve(self, recorder: Recorder, fleet: Fleet, router: watch::Receiver<Option<&'static str>>) {
        let upkeep = recorder.clone();
        let app = axum::Router::new()
            .route("/metrics", get(scrape))
            .route("/health", get(health))
            .layer(axum::middleware::from_fn_with_state(self.names.clone(), visitors::check))
            .with_state(Sources { recorder, fleet, router });
        tokio::join!(self.listen(app), upkeep.upkeep());
    }

    async fn listen(mut self, app: axum::Router) {
        let listener = loop {
            match self.listener.take() {
                Some(listener) => break listener,
                None => sleep(TRY_AGAIN).await,
            }
            if let Err(fault) = self.take_port().await {
                debug!(address = %self.address, %fault, "still no port for metrics");
            }
        };
        let mut connections = JoinSet::new();
        let mut is_told = false;
        loop {
            while connections.try_join_next().is_some() {}
            // Whoever comes when all places are taken waits in the system's queue.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    is_told = false;
                    connections.spawn(connection(stream, app.clone(), place));
                }
                Err(fault) => {
                    if !std::mem::replace(&mut is_told, true) {
                        warn!(%fault, "cannot take a connection for metrics");
                    }
                    sleep(BREATH).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, app: axum::Router, _place: OwnedSemaphorePermit) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    // A client that goes, is too slow or talks nonsense is its own affair.
    let _ended = timeout(CONNECTION, serving).await;
}

async fn scrape(State(sources): State<Sources>) -> impl IntoResponse {
    sources.fleet.publish_metrics();
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], sources.recorder.render())
}

async fn health(State(sources): State<Sources>) -> impl IntoResponse {
    let trouble = *sources.router.borrow();
    match trouble.or((!sources.fleet.serves()).then_some("no model serves")) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What the tests wait for at most.
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn server(config: &Config) -> (Server, axum::Router) {
        let app = axum::Router::new().route("/health", get(|| async { "ok" }));
        (Server::open(config, 2).await, app)
    }

    fn any_port() -> Config {
        Config { port: 0, ..Config::default() }
    }

    async fn asks(address: SocketAddr) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_holds_a_place_for_a_bounded_time_only() {
        let (server, app) = server(&any_port()).await;
        let address = server.listener.as_ref().unwrap().local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(server.listen(app));
        let mut half = Vec::new();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: lo").await.unwrap();
            half.push(stream);
        }
        // Ten at most come before, two at a time.
        let answer = timeout(12 * HEADERS, asks(address)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_had_when_it_is_free() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let (server, app) = server(&Config { port: address.port(), ..any_port() }).await;
        assert!(server.listener.is_none());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.listen(app));
        drop(taken);
        let begun = Instant::now();
        while asks(address).await.is_err() {
            assert!(begun.elapsed() < DEADLINE);
            tokio::task::yield_now().await;
        }
    }
}
