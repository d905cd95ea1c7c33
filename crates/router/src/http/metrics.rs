//! `GET /metrics`, at an address of its own and without a key.

use std::sync::Arc;

use auxot_access::AllowedHosts;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::hub::Hub;

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The routes of that address.
pub(crate) fn metrics_routes(hub: Arc<Hub>) -> Router {
    let hosts = middleware::from_fn_with_state(AllowedHosts::new(&[]), own_host);
    Router::new().route("/metrics", get(scrape)).layer(hosts).with_state(hub)
}

async fn scrape(State(hub): State<Arc<Hub>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, TEXT_FORMAT)], hub.metrics_text())
}

/// A page of another site cannot read them through a name of its own.
async fn own_host(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    if hosts.is_allowed(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "cannot answer under this host name; use the address\n").into_response()
}
