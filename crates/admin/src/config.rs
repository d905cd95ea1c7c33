//! The settings of the metrics endpoint and of the page.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The address of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on. The default is loopback; any other address opens the metrics to other hosts.
    pub host: IpAddr,
    /// TCP port; 0 takes a free one and logs it.
    pub port: u16,
    /// Host names accepted in requests, in addition to the host's own name, `localhost` and addresses. Requests under
    /// other names are refused, so that a web page with a DNS name of its own for this host cannot read the metrics.
    pub allowed_hosts: Vec<String>,
}

/// The page for browsers on this host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageConfig {
    /// Its port on loopback. 0 takes a free one, with the first `auxot-worker page`.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 9090, allowed_hosts: Vec::new() }
    }
}
