//! The HTTP server behind the metrics port.

use std::net::SocketAddr;

use auxot_fleet::Fleet;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::config::Config;
use crate::recorder::Recorder;

/// Prometheus' text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Why the port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for metrics: {source}; set AUXOT_METRICS_PORT to another port, or to 0 for a free one"
)]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound server that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

#[derive(Debug, Clone)]
struct Sources {
    recorder: Recorder,
    fleet: Fleet,
}

impl Server {
    /// Takes the port and says which one it is.
    ///
    /// # Errors
    /// When the port is taken or not ours to have.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let address = SocketAddr::new(config.host, config.port);
        let fault = |source| BindError { address, source };
        let listener = TcpListener::bind(address).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        if !address.ip().is_loopback() {
            warn!(%address, "metrics are readable from other hosts");
        }
        info!(%address, url = %format!("http://{address}/metrics"), "metrics endpoint listens");
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until dropped.
    pub async fn serve(self, recorder: Recorder, fleet: Fleet) {
        let upkeep = recorder.clone();
        let app = axum::Router::new()
            .route("/metrics", get(scrape))
            .route("/health", get(health))
            .with_state(Sources { recorder, fleet });
        let serving = async {
            if let Err(fault) = axum::serve(self.listener, app).await {
                warn!(%fault, "the metrics endpoint has ended");
            }
        };
        tokio::join!(serving, upkeep.upkeep());
    }
}

async fn scrape(State(sources): State<Sources>) -> impl IntoResponse {
    sources.fleet.publish_metrics();
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], sources.recorder.render())
}

async fn health(State(sources): State<Sources>) -> impl IntoResponse {
    if sources.fleet.serves() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no model serves\n")
    }
}
