//! The way through an HTTP proxy, where the host's environment names one for this address.
//!
//! `HTTPS_PROXY` serves `wss`, `HTTP_PROXY` serves `ws`, `NO_PROXY` lists exceptions (suffixes, or `*`),
//! each also in lower case, as common tools read them. The proxy is asked to `CONNECT`; it sees an
//! address and, for `wss`, nothing else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use crate::dial::connect::connect;
use crate::dial::url::RouterUrl;

/// The proxy's answer may not be longer than this.
const MAX_ANSWER: usize = 8 * 1024;

/// A proxy to dial through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
}

/// Why the way through the proxy is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("cannot connect to the proxy {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: std::io::Error },
    #[error("cannot get through the proxy {host}:{port}: it answered `{answer}`")]
    Refused { host: String, port: u16, answer: String },
}

/// The proxy that the environment names for this address, if any.
pub(crate) fn for_url(url: &RouterUrl, variable: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_ascii_lowercase())).filter(|v| !v.is_empty());
    let text = either(if url.tls() { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    let host = url.host();
    if url.is_loopback() || either("NO_PROXY").is_some_and(|list| is_excepted(&host, &list)) {
        return None;
    }
    // `p:8080` would otherwise be an address with the scheme `p`.
    let text = if text.contains("://") { text } else { format!("http://{text}") };
    let parsed = Url::parse(&text).ok()?;
    Some(Proxy { host: parsed.host_str()?.to_owned(), port: parsed.port_or_known_default().unwrap_or(3128) })
}

fn is_excepted(host: &str, list: &str) -> bool {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let suffix = entry.trim_start_matches('.');
        entry == "*"
            || host.eq_ignore_ascii_case(suffix)
            || host.to_ascii_lowercase().ends_with(&format!(".{}", suffix.to_ascii_lowercase()))
    })
}

impl Proxy {
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, ProxyError> {
        let fault = |source| ProxyError::Connect { host: self.host.clone(), port: self.port, source };
        let mut stream = connect(&self.host, self.port).await.map_err(fault)?;
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(fault)?;
        let mut answer = Vec::with_capacity(256);
        // Byte by byte: what follows the blank line already belongs to the router.
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_ANSWER {
            answer.push(stream.read_u8().await.map_err(fault)?);
        }
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        match line.split_whitespace().nth(1) {
            Some("200") => Ok(stream),
            _ => Err(ProxyError::Refused { host: self.host.clone(), port: self.port, answer: line }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<Proxy> {
        let url = RouterUrl::parse(url).expect("valid");
        for_url(&url, |name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_exceptions_hold() {
        let proxy = Some(Proxy { host: "p".into(), port: 8080 });
        assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "http://p:8080")]), proxy);
        assert_eq!(chosen("https://r.example", &[("https_proxy", "p:8080")]), proxy);
        assert_eq!(chosen("http://r.example", &[("HTTPS_PROXY", "http://p:8080")]), None);
        assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "p:8080"), ("NO_PROXY", "a, .example")]), None);
        assert_eq!(chosen("https://localhost:1", &[("HTTPS_PROXY", "p:8080")]), None);
        assert_eq!(chosen("https://rexample", &[("HTTPS_PROXY", "p:8080"), ("NO_PROXY", "example")]), proxy);
    }

    #[tokio::test]
    async fn the_tunnel_starts_after_the_proxys_blank_line() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let proxy = Proxy { host: "127.0.0.1".into(), port: listener.local_addr().expect("bound").port() };
        let served = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut head = vec![0; 1024];
            let read = stream.read(&mut head).await.expect("read");
            assert!(head[..read].starts_with(b"CONNECT r:9 HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nrouter's first byte").await.expect("written");
        };
        let (stream, ()) = tokio::join!(proxy.connect("r", 9), served);
        let mut rest = String::new();
        stream.expect("through").read_to_string(&mut rest).await.expect("read");
        assert_eq!(rest, "router's first byte");
    }
}
