//! What an operator may set about the metrics endpoint.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Where `/metrics` is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on; anything but loopback is the operator's explicit choice.
    pub host: IpAddr,
    /// TCP port; 0 takes a free one and logs it.
    pub port: u16,
    /// Names by which this host may be asked for its metrics, beside its own, `localhost` and addresses: a page in a
    /// browser that comes here by a name of its own gets nothing.
    pub names: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 9090, names: Vec::new() }
    }
}
