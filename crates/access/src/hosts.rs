//! Checks the host name of requests: a web page must not use a local server through a DNS name of its own for this host.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, Uri};

/// The accepted names beside addresses and `localhost`, without ports, in lower case.
#[derive(Debug, Clone)]
pub struct AllowedHosts(std::sync::Arc<[String]>);

impl AllowedHosts {
    /// The host's own name and the configured ones.
    #[must_use]
    pub fn new(configured: &[String]) -> Self {
        let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self(
            std::iter::once(&own)
                .chain(configured)
                .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
        )
    }

    /// Whether a request is answered, by its target or its `Host`.
    #[must_use]
    pub fn is_allowed(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        // A client of HTTP/1.0 sends no host; browsers always do.
        let requested = uri.host().or_else(|| headers.get(HOST).map(|host| host.to_str().unwrap_or("?")));
        requested.is_none_or(|requested| self.contains(requested))
    }

    /// Whether a host, with or without a port, is an address, `localhost`, or an accepted name.
    #[must_use]
    pub fn contains(&self, requested: &str) -> bool {
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
