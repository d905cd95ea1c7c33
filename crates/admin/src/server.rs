//! The HTTP server of the metrics port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auxot_access::AllowedHosts;
use auxot_control_socket::serve_connection;
use auxot_fleet::Fleet;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::control::api::MetricsStatus;
use crate::engine_counters::EngineCounters;
use crate::recorder::Recorder;

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Interval between two attempts to bind the port.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time of one connection: it bounds a client that does not read its answer.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
/// Pause after a failed accept: descriptors need time to become free.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The server, with its port or still without it.
#[derive(Debug)]
pub struct Server {
    listener: Option<TcpListener>,
    address: SocketAddr,
    allowed_hosts: AllowedHosts,
    /// Permits for connections: most descriptors are for engines and router connections.
    permits: Arc<Semaphore>,
    status: watch::Sender<MetricsStatus>,
}

#[derive(Debug, Clone)]
struct EndpointState {
    recorder: Recorder,
    engines: Arc<EngineCounters>,
    fleet: Fleet,
    /// The reason why the router sends no jobs, while there is one.
    router: watch::Receiver<Option<&'static str>>,
}

impl Server {
    /// Binds the port and logs it. If that fails, the failure is logged, and the running server retries: models are
    /// served without it.
    pub async fn open(config: &Config, connections: usize) -> Self {
        let address = SocketAddr::new(config.host, config.port);
        let permits = Arc::new(Semaphore::new(connections.max(1)));
        let allowed_hosts = AllowedHosts::new(&config.allowed_hosts);
        let status = watch::Sender::new(MetricsStatus { address: None, trouble: None });
        let mut server = Self { listener: None, address, allowed_hosts, permits, status };
        if let Err(fault) = server.bind_port().await {
            warn!(
                %address,
                "cannot listen for metrics: {fault}; retrying every {} s; set another port in metrics.port \
                 (AUXOT_METRICS_PORT), 0 for any free one",
                RETRY_INTERVAL.as_secs()
            );
        }
        server
    }

    /// Whether the endpoint listens, and else why not.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<MetricsStatus> {
        self.status.subscribe()
    }

    async fn bind_port(&mut self) -> std::io::Result<()> {
        let bound = TcpListener::bind(self.address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.inspect_err(|fault| {
            let trouble = format!("cannot listen for metrics on {}: {fault}", self.address);
            self.status.send_replace(MetricsStatus { address: None, trouble: Some(trouble) });
        })?;
        self.status.send_replace(MetricsStatus { address: Some(address.to_string()), trouble: None });
        if !address.ip().is_loopback() {
            warn!(%address, "metrics are readable from other hosts");
        }
        info!(%address, url = %format!("http://{address}/metrics"), "metrics endpoint listens");
        self.listener = Some(listener);
        Ok(())
    }

    /// Serves until dropped.
    pub async fn serve(self, recorder: Recorder, fleet: Fleet, router: watch::Receiver<Option<&'static str>>) {
        let (upkeep, engines, engine_fleet) = (recorder.clone(), Arc::<EngineCounters>::default(), fleet.clone());
        let reading = Arc::clone(&engines);
        let app = axum::Router::new()
            .route("/metrics", get(scrape))
            .route("/health", get(health))
            .layer(axum::middleware::from_fn_with_state(self.allowed_hosts.clone(), check_host))
            .with_state(EndpointState { recorder, engines, fleet, router });
        tokio::join!(self.listen(app), upkeep.upkeep(), reading.run(&engine_fleet));
    }

    async fn listen(mut self, app: axum::Router) {
        let listener = loop {
            match self.listener.take() {
                Some(listener) => break listener,
                None => sleep(RETRY_INTERVAL).await,
            }
            if let Err(fault) = self.bind_port().await {
                debug!(address = %self.address, %fault, "still no port for metrics");
            }
        };
        let mut connections = JoinSet::new();
        let mut is_logged = false;
        loop {
            while connections.try_join_next().is_some() {}
            // Further connections wait in the system's queue.
            let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    is_logged = false;
                    let serving = serve_connection(stream, app.clone(), CONNECTION_TIME);
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(fault) => {
                    if !std::mem::replace(&mut is_logged, true) {
                        warn!(%fault, "cannot accept a connection for metrics");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Answers only requests for an accepted host name.
async fn check_host(State(allowed): State<AllowedHosts>, request: Request, next: Next) -> Response {
    if allowed.is_allowed(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text = "cannot answer under this host name; add it to metrics.allowed_hosts (AUXOT_METRICS_ALLOWED_HOSTS)\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

async fn scrape(State(state): State<EndpointState>) -> impl IntoResponse {
    state.fleet.publish_metrics();
    let mut text = state.recorder.render();
    state.engines.render(&mut text);
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], text)
}

async fn health(State(state): State<EndpointState>) -> impl IntoResponse {
    let trouble = *state.router.borrow();
    match trouble.or((!state.fleet.serves()).then_some("no model serves")) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, format!("{trouble}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;
    use auxot_control_socket::HEADER_TIMEOUT;

    /// The longest wait of a test.
    const DEADLINE: Duration = Duration::from_secs(30);

    async fn server(config: &Config) -> (Server, axum::Router) {
        let app = axum::Router::new().route("/health", get(|| async { "ok" }));
        (Server::open(config, 2).await, app)
    }

    fn any_port() -> Config {
        Config { port: 0, ..Config::default() }
    }

    async fn request_health(address: SocketAddr) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_holds_a_permit_for_a_bounded_time() {
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
        // At most ten connections come before, two at a time.
        let answer = timeout(12 * HEADER_TIMEOUT, request_health(address)).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn a_taken_port_is_bound_when_it_is_free() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = taken.local_addr().unwrap();
        let (server, app) = server(&Config { port: address.port(), ..any_port() }).await;
        assert!(server.listener.is_none());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.listen(app));
        drop(taken);
        let begun = Instant::now();
        while request_health(address).await.is_err() {
            assert!(begun.elapsed() < DEADLINE);
            tokio::task::yield_now().await;
        }
    }
}
