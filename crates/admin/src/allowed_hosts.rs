//! Checks the host name of requests: a web page must not read local metrics through a DNS name of its own for this
//! host.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The accepted names beside addresses and `localhost`, without ports, in lower case.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts(std::sync::Arc<[String]>);

impl AllowedHosts {
    /// The host's own name and the configured ones.
    pub(crate) fn new(configured: &[String]) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self(
            std::iter::once(&own)
                .chain(configured)
                .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
        )
    }

    fn is_allowed(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        // A client of HTTP/1.0 sends no host; browsers always do.
        let Some(requested) = uri.host().or_else(|| headers.get(HOST).map(|host| host.to_str().unwrap_or("?"))) else {
            return true;
        };
        let name = without_port(requested).trim_end_matches('.').to_ascii_lowercase();
        name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost") || self.0.contains(&name)
    }
}

/// `[::1]:9090`, `[::1]`, `name:9090` or `name`.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Answers only requests for an accepted host name.
pub(crate) async fn check(State(allowed): State<AllowedHosts>, request: Request, next: Next) -> Response {
    if allowed.is_allowed(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text = "cannot answer under this host name; add it to metrics.allowed_hosts (AUXOT_METRICS_ALLOWED_HOSTS)\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_accepted_names_are_answered() {
        let names = AllowedHosts::new(&["GPU-box.lan".to_owned()]);
        let may = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            names.is_allowed(&headers, &Uri::from_static("/metrics"))
        };
        for host in
            ["127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "localhost", "LOCALHOST:1", "a.localhost.", "10.1.2.3:80"]
        {
            assert!(may(host), "{host}");
        }
        assert!(
            may("gpu-box.lan:9090") && may(&format!("{}:9090", rustix::system::uname().nodename().to_str().unwrap()))
        );
        for host in
            ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "x:y:z"]
        {
            assert!(!may(host), "{host}");
        }
        assert!(names.is_allowed(&HeaderMap::new(), &Uri::from_static("/metrics")));
        assert!(!names.is_allowed(&HeaderMap::new(), &Uri::from_static("http://evil.example/metrics")));
    }
}
