//! Connects through an HTTP proxy, when the environment names one for this address. Everything that the relay dials uses this.
//!
//! `HTTPS_PROXY` serves `wss`, `HTTP_PROXY` serves `ws`, `ALL_PROXY` both, `NO_PROXY` lists exceptions (names with all
//! below them, addresses, networks, `*`), each also in lower case, as common tools read them. A loopback address is never
//! reached through a proxy. The request is `CONNECT`; the proxy sees an address and, for `wss`, nothing else. With an `https://`
//! proxy the request is encrypted too; its certificate must be trusted like the router's.

use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::connection::dial::router_url::RouterUrl;
use crate::connection::dial::tcp::connect;
use crate::report::log_text::shown;

/// The most bytes of the proxy's answer.
const MAX_ANSWER: usize = 8 * 1024;

/// A connection to the router's address, encrypted as far as an `https://` proxy.
pub(crate) type ProxiedStream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    /// Whether the connection to it is encrypted.
    tls: bool,
    host: String,
    port: u16,
    /// User and password, as a header value.
    authorization: Option<HeaderValue>,
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("cannot use the {scheme} proxy {host}: only http:// and https:// proxies can be used here")]
    Kind { scheme: String, host: String },
    #[error("cannot connect to the proxy {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: std::io::Error },
    #[error("cannot get through the proxy {host}:{port}: it answered `{answer}`")]
    Refused { host: String, port: u16, answer: String },
}

/// The proxy that the environment of this process names for this address, if any.
pub(crate) fn from_environment(url: &RouterUrl) -> Result<Option<Proxy>, ProxyError> {
    for_url(url, &Matcher::from_env())
}

fn for_url(url: &RouterUrl, environment: &Matcher) -> Result<Option<Proxy>, ProxyError> {
    if url.is_loopback() {
        return Ok(None);
    }
    let Some(found) = url.authority().parse::<Uri>().ok().and_then(|uri| environment.intercept(&uri)) else {
        return Ok(None);
    };
    let (uri, authorization) = (found.uri(), found.basic_auth().cloned());
    let (scheme, host) = (uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default());
    let tls = scheme == "https";
    if (scheme != "http" && !tls) || found.raw_auth().is_some() {
        return Err(ProxyError::Kind { scheme: shown(scheme), host: shown(host) });
    }
    let host = host.trim_matches(['[', ']']).to_owned();
    Ok(Some(Proxy { tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), authorization }))
}

impl Proxy {
    /// A connection through the proxy; `trust` is for the proxy's own certificate.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        trust: &Arc<ClientConfig>,
    ) -> Result<ProxiedStream, ProxyError> {
        let fault = |source| ProxyError::Connect { host: self.host.clone(), port: self.port, source };
        let mut stream = self.open(trust).await.map_err(fault)?;
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await.map_err(fault)?;
        let mut answer = Vec::with_capacity(256);
        // Byte by byte: the bytes after the blank line are the router's.
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < MAX_ANSWER {
            answer.push(stream.read_u8().await.map_err(fault)?);
        }
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        match line.split_whitespace().nth(1) {
            Some("200") => Ok(stream),
            _ => Err(ProxyError::Refused { host: self.host.clone(), port: self.port, answer: shown(&line) }),
        }
    }

    /// Its host name or address.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    async fn open(&self, trust: &Arc<ClientConfig>) -> std::io::Result<ProxiedStream> {
        let stream = connect(&self.host, self.port).await?;
        if !self.tls {
            return Ok(Either::Left(stream));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
        Ok(Either::Right(Box::new(TlsConnector::from(Arc::clone(trust)).connect(name, stream).await?)))
    }

    /// The same proxy for a single HTTP request.
    pub(crate) fn for_requests(&self) -> reqwest::Result<reqwest::Proxy> {
        let scheme = if self.tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let proxy = reqwest::Proxy::all(format!("{scheme}://{host}:{}", self.port))?;
        Ok(match &self.authorization {
            Some(authorization) => proxy.custom_http_auth(authorization.clone()),
            None => proxy,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, environment: &[(&str, &str)]) -> Option<Proxy> {
        let value = |name: &str| environment.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| *value);
        let matcher = Matcher::builder()
            .all(value("ALL_PROXY"))
            .http(value("HTTP_PROXY"))
            .https(value("HTTPS_PROXY"))
            .no(value("NO_PROXY"))
            .build();
        for_url(&RouterUrl::parse(url).expect("valid"), &matcher).expect("a proxy that can be used")
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_exceptions_hold() {
        let proxy = Some(Proxy { tls: false, host: "p".into(), port: 8080, authorization: None });
        assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "http://p:8080")]), proxy);
        assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "p:8080")]), proxy);
        assert_eq!(chosen("http://r.example", &[("HTTPS_PROXY", "http://p:8080")]), None);
        assert_eq!(chosen("http://r.example", &[("ALL_PROXY", "http://p:8080")]), proxy);
        for exception in ["a, .example", "r.example", "*"] {
            assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "p:8080"), ("NO_PROXY", exception)]), None);
        }
        for (host, exception) in [("10.1.2.3", "10.0.0.0/8"), ("[fd00::1]:9", "fd00::/8"), ("10.1.2.3:9", "10.1.2.3")] {
            let url = format!("https://{host}");
            assert_eq!(chosen(&url, &[("ALL_PROXY", "p:8080"), ("NO_PROXY", exception)]), None, "{host}");
            assert_eq!(chosen(&url, &[("ALL_PROXY", "p:8080"), ("NO_PROXY", "192.168.0.0/16")]), proxy, "{host}");
        }
        for this_host in ["https://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
            assert_eq!(chosen(this_host, &[("ALL_PROXY", "p:8080")]), None, "{this_host}");
        }
        assert_eq!(chosen("https://r.example", &[("HTTPS_PROXY", "")]), None);
        let encrypted = Some(Proxy { tls: true, host: "p".into(), port: 443, authorization: None });
        assert_eq!(chosen("https://r.example", &[("ALL_PROXY", "https://p")]), encrypted);
    }

    #[test]
    fn user_and_password_go_into_a_header_and_ipv6_loses_its_brackets() {
        let proxy = chosen("https://r.example", &[("HTTPS_PROXY", "http://me:secret@[fd00::1]:3128")]).expect("one");
        assert_eq!((&*proxy.host, proxy.port), ("fd00::1", 3128));
        assert_eq!(proxy.authorization.expect("a header").as_bytes(), b"Basic bWU6c2VjcmV0");
    }

    #[test]
    fn a_proxy_of_another_kind_is_an_error_and_not_ignored() {
        let matcher = Matcher::builder().all("socks5://p:1080").build();
        let url = RouterUrl::parse("https://r.example").expect("valid");
        assert!(matches!(for_url(&url, &matcher), Err(ProxyError::Kind { .. })));
    }

    async fn through(answer: &'static [u8]) -> (Result<(), String>, Vec<u8>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let authorization = Some(HeaderValue::from_static("Basic eDp5"));
        let proxy = Proxy { tls: false, host: "127.0.0.1".into(), port, authorization };
        let trust = crate::connection::dial::tls::client_config(None).expect("TLS");
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.expect("read"));
            }
            stream.write_all(answer).await.expect("written");
            request
        };
        let (opened, request) = tokio::join!(proxy.connect("r.example", 443, &trust), serve);
        (opened.map(drop).map_err(|fault| fault.to_string()), request)
    }

    #[tokio::test]
    async fn the_request_has_what_the_proxy_needs_and_its_answer_is_read() {
        let (opened, request) = through(b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(opened, Ok(()));
        let request = String::from_utf8(request).expect("text");
        assert!(request.starts_with("CONNECT r.example:443 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nProxy-Authorization: Basic eDp5\r\n"), "{request}");
        let (refused, _) = through(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        assert!(refused.expect_err("refused").contains("407"));
    }
}
