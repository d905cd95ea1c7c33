//! The router's address, parsed from the operator's text.
//!
//! The rules are the measured ones of the upstream worker, without its bugs: a bare host means TLS (also a bare loopback
//! host), path, query and fragment are replaced by `/ws`, an explicit port is kept. Corrected: schemes match in any case,
//! other schemes and ports above 65535 are refused, hosts are IDNA-encoded, and `https:/h` is an error and not a host called
//! `https`.

use std::fmt;

use url::Host;

/// The address of a router's WebSocket. [`fmt::Display`] hides user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterUrl {
    tls: bool,
    userinfo: Option<String>,
    host: Host<String>,
    port: Option<u16>,
}

/// Why a text is not a router address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is empty or white space.
    #[error(
        "cannot use an empty router address: give a host such as `ai.example.com` or a URL such as `https://ai.example.com`"
    )]
    Empty,
    /// The scheme is not https, http, wss or ws.
    #[error("cannot use `{0}` as a router address: its scheme must be https, http, wss or ws")]
    Scheme(String),
    /// The host is missing or not valid.
    #[error("cannot use `{0}` as a router address: it has no valid host")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("cannot use `{0}` as a router address: its port must be a number from 1 to 65535")]
    Port(String),
}

impl RouterUrl {
    /// Parses an address.
    ///
    /// # Errors
    /// When the text is empty, has another scheme, or its host or port is not valid.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let (tls, rest) = split_scheme(text)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains(['\\', ' ', '\t']) || text.contains('\\') {
            return Err(UrlError::Host(hide_userinfo(text)));
        }
        let (userinfo, host_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_port)) => (Some(userinfo.to_owned()), host_port),
            None => (None, authority),
        };
        let (host, port) = split_port(host_port);
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(
                port.parse::<u16>()
                    .ok()
                    .filter(|&port| port > 0 && port_is_plain(host_port))
                    .ok_or_else(|| UrlError::Port(hide_userinfo(text)))?,
            ),
        };
        let host = Host::parse(host).map_err(|_| UrlError::Host(hide_userinfo(text)))?;
        if matches!(&host, Host::Domain(name) if name.is_empty()) {
            return Err(UrlError::Host(hide_userinfo(text)));
        }
        Ok(Self { tls, userinfo, host, port })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host without brackets, as a resolver takes it.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// The port to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// Whether the router is on this host, so that an unencrypted connection stays inside it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        auxot_localhost::is_loopback(&self.host)
    }

    /// The WebSocket's URL, user and password included.
    #[must_use]
    pub fn websocket(&self) -> String {
        self.with(if self.tls { "wss" } else { "ws" }, self.userinfo.as_deref(), "/ws")
    }

    /// Scheme, host and port as of an HTTP address, without user and password.
    pub(crate) fn authority(&self) -> String {
        format!("{}://{}:{}/", if self.tls { "https" } else { "http" }, self.host, self.port())
    }

    /// The base of the router's HTTP endpoints, without a path.
    #[must_use]
    pub fn http_base(&self) -> String {
        self.with(if self.tls { "https" } else { "http" }, self.userinfo.as_deref(), "")
    }

    fn with(&self, scheme: &str, userinfo: Option<&str>, path: &str) -> String {
        let userinfo = userinfo.map(|userinfo| format!("{userinfo}@")).unwrap_or_default();
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{userinfo}{}{port}{path}", self.host)
    }
}

impl fmt::Display for RouterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let userinfo = self.userinfo.as_ref().map(|_| "***");
        f.write_str(&self.with(if self.tls { "wss" } else { "ws" }, userinfo, "/ws"))
    }
}

fn split_scheme(text: &str) -> Result<(bool, &str), UrlError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        // `https:/h` would otherwise become a host called `https`.
        let named = ["https:/", "http:/", "wss:/", "ws:/"];
        if named.iter().any(|prefix| text.to_ascii_lowercase().starts_with(prefix)) {
            return Err(UrlError::Host(hide_userinfo(text)));
        }
        return Ok((true, text));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Ok((true, rest)),
        "http" | "ws" => Ok((false, rest)),
        _ => Err(UrlError::Scheme(hide_userinfo(text))),
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(host_port: &str) -> (&str, Option<&str>) {
    match (host_port.rfind(':'), host_port.rfind(']')) {
        (Some(colon), Some(bracket)) if colon < bracket => (host_port, None),
        (Some(colon), _) => (&host_port[..colon], Some(&host_port[colon + 1..])),
        (None, _) => (host_port, None),
    }
}

/// Rust parses `+80` as a number; it is not a valid port of an address.
fn port_is_plain(host_port: &str) -> bool {
    split_port(host_port).1.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn hide_userinfo(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://***{}", &text[..scheme], &text[at..]),
        (None, Some(at)) => format!("***{}", &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_measured_table() {
        for (input, output) in [
            ("auxot.example.com", "wss://auxot.example.com/ws"),
            ("localhost:8080", "wss://localhost:8080/ws"),
            ("10.0.0.5:8080", "wss://10.0.0.5:8080/ws"),
            ("http://localhost:8080", "ws://localhost:8080/ws"),
            ("https://ai.yourcompany.com", "wss://ai.yourcompany.com/ws"),
            ("https://ai.yourcompany.com/", "wss://ai.yourcompany.com/ws"),
            ("ws://localhost:8080/old", "ws://localhost:8080/ws"),
            ("wss://h/custom/path", "wss://h/ws"),
            ("wss://h/ws/", "wss://h/ws"),
            ("wss://h/ws?debug=1", "wss://h/ws"),
            ("wss://h/ws#s", "wss://h/ws"),
            ("https://h/p?x=1#f", "wss://h/ws"),
            ("wss://auxot.com/api/gpu/client", "wss://auxot.com/ws"),
            ("h/path", "wss://h/ws"),
            ("h#frag", "wss://h/ws"),
            ("  https://h  ", "wss://h/ws"),
            ("https://h:443", "wss://h:443/ws"),
            ("http://h:80", "ws://h:80/ws"),
            ("https://user:pw@h:9/x", "wss://user:pw@h:9/ws"),
            ("[::1]:8080", "wss://[::1]:8080/ws"),
            ("http://[::1]:8080", "ws://[::1]:8080/ws"),
            ("WSS://h", "wss://h/ws"),
            // corrected
            ("HTTPS://Host.example", "wss://host.example/ws"),
            ("HTTP://h:1", "ws://h:1/ws"),
            ("https://m\u{fc}nchen", "wss://xn--mnchen-3ya/ws"),
        ] {
            assert_eq!(RouterUrl::parse(input).map(|url| url.websocket()), Ok(output.to_owned()), "{input}");
        }
    }

    #[test]
    fn what_is_no_address_is_an_error() {
        for input in [
            "",
            "   ",
            "https://",
            "/ws",
            "?q",
            "//h",
            "://h",
            "wss://h:bad",
            "http://a b",
            "https://h\\x",
            "wss://h:99999",
            "h?x=http://y",
            "localhost:8080/https://x",
            "ftp://h/x",
            "https:/h",
            "h:+80",
            "h:0",
        ] {
            assert!(RouterUrl::parse(input).is_err(), "{input}: {:?}", RouterUrl::parse(input));
        }
    }

    #[test]
    fn passwords_are_hidden_and_the_http_base_has_no_path() {
        let url = RouterUrl::parse("https://user:pw@h:9/x").expect("valid");
        assert_eq!(url.to_string(), "wss://***@h:9/ws");
        assert_eq!(RouterUrl::parse("ws://localhost:8080").expect("valid").http_base(), "http://localhost:8080");
        assert!(!RouterUrl::parse("ftp://user:pw@h").unwrap_err().to_string().contains("pw"));
        assert!(RouterUrl::parse("http://127.0.0.1:1").expect("valid").is_loopback());
        assert!(!RouterUrl::parse("http://10.0.0.1:1").expect("valid").is_loopback());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = RouterUrl::parse(&text);
        }
    }
}
