//! The address of one engine.

use std::{borrow::Cow, ffi::OsStr, fmt, net::SocketAddr, path::PathBuf};

use secrecy::SecretString;

/// The address of one llama-server, with its key.
///
/// `Debug` and `Display` never show the key.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// A unix socket: only the owner of the directory can connect, so there is no key.
    Unix(PathBuf),
    /// A TCP address of this host. Any user can connect to it, so every request has the key.
    Tcp {
        /// Address and port.
        address: SocketAddr,
        /// The engine's `--api-key`.
        key: SecretString,
    },
}

impl Endpoint {
    /// What tells it from other engines; of a unix socket without a copy.
    #[must_use]
    pub fn name(&self) -> Cow<'_, OsStr> {
        match self {
            Self::Unix(path) => Cow::Borrowed(path.as_os_str()),
            Self::Tcp { address, .. } => Cow::Owned(address.to_string().into()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { address, .. } => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_never_shown() {
        let endpoint = Endpoint::Tcp { address: "127.0.0.1:8080".parse().unwrap(), key: "topsecret".into() };
        assert!(!format!("{endpoint:?} {endpoint}").contains("topsecret"));
        assert_eq!((endpoint.to_string().as_str(), &*endpoint.name()), ("127.0.0.1:8080", "127.0.0.1:8080".as_ref()));
        assert_eq!(Endpoint::Unix("/run/a.sock".into()).to_string(), "unix:/run/a.sock");
    }
}
