//! One HTTP connection of an operator.

use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// Limit for the head of a request, and for the idle time between two requests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one connection to its end, or for `longest`: that bounds a client that does not read its answer.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, app: axum::Router, longest: Duration) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let serving = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    // A client that disconnects, is too slow or sends nonsense is not a failure of this program.
    let _ended = timeout(longest, serving).await;
}
