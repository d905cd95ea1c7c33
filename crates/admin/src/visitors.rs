//! Who may ask: a page in a browser must not read what listens on its user's host by giving that a name of its own.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The names that are answered beside addresses and `localhost`, without ports, in small letters.
#[derive(Debug, Clone)]
pub(crate) struct Names(std::sync::Arc<[String]>);

impl Names {
    /// The host's own name, and the configured ones.
    pub(crate) fn new(configured: &[String]) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self(
            std::iter::once(&own)
                .chain(configured)
                .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
        )
    }

    fn may_ask(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        // A client of HTTP/1.0 sends none; browsers always do.
        let Some(asked) = uri.host().or_else(|| headers.get(HOST).map(|host| host.to_str().unwrap_or("?"))) else {
            return true;
        };
        let name = without_port(asked).trim_end_matches('.').to_ascii_lowercase();
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

/// Answers only those who ask for this host.
pub(crate) async fn check(State(names): State<Names>, request: Request, next: Next) -> Response {
    if names.may_ask(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    let text = "this host is not known by that name; add it to metrics.names (AUXOT_METRICS_NAMES)\n";
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_own_names_are_answered_and_no_other() {
        let names = Names::new(&["GPU-box.lan".to_owned()]);
        let may = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            names.may_ask(&headers, &Uri::from_static("/metrics"))
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
        assert!(names.may_ask(&HeaderMap::new(), &Uri::from_static("/metrics")));
        assert!(!names.may_ask(&HeaderMap::new(), &Uri::from_static("http://evil.example/metrics")));
    }
}
