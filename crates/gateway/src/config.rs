//! The settings of the gateway.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

/// Where local clients reach the models, and how much each may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Addresses to listen on: `127.0.0.1:8080`, `[::1]:8080`, a port of 127.0.0.1, or the path of a unix socket. None is off.
    pub addr: Vec<ListenAddress>,
    /// The file of API keys, which `auxot-worker keys` writes. With it every request must have a key; without it there is none,
    /// and only programs of this host can be served.
    pub keys_file: Option<PathBuf>,
    /// PEM files of a certificate (with those of its authorities behind it) and of its key: addresses that other hosts can
    /// reach are served with TLS then. Both or none.
    pub tls_certificate: Option<PathBuf>,
    /// See there.
    pub tls_key: Option<PathBuf>,
    /// Host names accepted in requests, in addition to the host's own name, `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may use the models and read the answers, as `https://app.example`; `*` is every page.
    pub allowed_origins: Vec<String>,
    /// The largest body of a request.
    pub max_body: ByteSize,
    /// Bytes of all bodies together that are held until an engine has them.
    pub max_body_memory: ByteSize,
    /// Connections at once; further ones wait in the system's queue.
    pub max_connections: usize,
    /// How long a client may take for the head of a request, and how long a connection may be idle between two.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub header_timeout: Duration,
    /// How long a client may take for a body, and a second more for each 16 KiB of it.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub body_timeout: Duration,
    /// How long a client may take no byte of its answer.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub write_timeout: Duration,
    /// After how long without a slot a client that wants a stream gets the head of its answer, and then comments on how far
    /// the load of its model is.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub early_head: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addr: Vec::new(),
            keys_file: None,
            tls_certificate: None,
            tls_key: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            max_body: ByteSize::mib(64),
            max_body_memory: ByteSize::mib(512),
            max_connections: 1024,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(5 * 60),
            early_head: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// Whether the gateway is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.addr.is_empty()
    }
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ListenAddress {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A unix socket, which only its user can connect to.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether only programs of this host can connect.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = text.trim();
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        let address = text.strip_prefix("localhost:").map_or(text.to_owned(), |port| format!("127.0.0.1:{port}"));
        address.parse().map(Self::Tcp).map_err(|_| {
            format!(
                "cannot listen on {text:?}: write an address with a port, as 127.0.0.1:8080, or the path of a socket"
            )
        })
    }
}

impl From<ListenAddress> for String {
    fn from(address: ListenAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_a_port_or_a_path() {
        let read = |text: &str| ListenAddress::try_from(text.to_owned());
        for (text, shown, local) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("8080", "127.0.0.1:8080", true),
            ("localhost:0", "127.0.0.1:0", true),
            ("[::1]:8080", "[::1]:8080", true),
            ("0.0.0.0:8080", "0.0.0.0:8080", false),
            ("/run/auxot/gateway.sock", "/run/auxot/gateway.sock", true),
        ] {
            let address = read(text).unwrap();
            assert_eq!((address.to_string().as_str(), address.is_local()), (shown, local));
            assert_eq!(read(&String::from(address.clone())).unwrap(), address);
        }
        for text in ["", "gpu.lan:8080", "127.0.0.1", "70000", "run/x.sock"] {
            assert!(read(text).unwrap_err().contains("cannot listen on"), "{text}");
        }
    }
}
