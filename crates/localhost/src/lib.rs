//! The names and addresses that mean this host.
//!
//! # Theory of operation
//!
//! `localhost` and the names below it are this host without a resolver (RFC 6761, 6.3): a host without `/etc/hosts` cannot
//! resolve them. So what dials takes their addresses from here, and no proxy is asked for them.
//!
//! # Example
//!
//! ```
//! let url = url::Url::parse("http://localhost:9090/metrics").unwrap();
//! assert!(url.host().is_some_and(|host| auxot_localhost::is_loopback(&host)));
//! assert_eq!(auxot_localhost::addresses("localhost", 9090).unwrap().len(), 2);
//! assert_eq!(auxot_localhost::addresses("example.com", 9090), None);
//! ```

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use url::Host;

/// Whether a name is `localhost` or below it, in any case and with or without the dot of the root.
#[must_use]
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// The addresses of `localhost` and the names below it; `None` for any other name.
#[must_use]
pub fn addresses(name: &str, port: u16) -> Option<[SocketAddr; 2]> {
    is_localhost(name).then(|| loopback(port))
}

/// The addresses of this host.
#[must_use]
pub fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Whether a host of an address is this one.
#[must_use]
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name.as_ref()),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn localhost_needs_no_resolver() {
        let both: [SocketAddr; 2] = ["127.0.0.1:7", "[::1]:7"].map(|address| address.parse().expect("valid"));
        for name in ["localhost", "LocalHost.", "router.localhost"] {
            assert_eq!(addresses(name, 7), Some(both), "{name}");
        }
        for name in ["localhost.example.com", "notlocalhost", "127.0.0.1", ""] {
            assert_eq!(addresses(name, 7), None, "{name}");
        }
    }
}
