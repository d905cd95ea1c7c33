//! From an address to an open WebSocket: TCP, through a proxy where the environment names one, TLS, upgrade.

pub(crate) mod frame_filter;
pub(crate) mod proxy;
pub(crate) mod router_url;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod worker_key;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, handshake::client::Request};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use crate::connection::dial::frame_filter::{FilteredStream, MARK_LENGTH};
use crate::connection::dial::proxy::{ProxiedStream, ProxyError};
use crate::connection::dial::router_url::RouterUrl;
use crate::connection::dial::tcp::connect;
use auxot_stall::{ByteCounter, Counted};

/// An open connection to the router.
pub(crate) type Socket = WebSocketStream<FilteredStream<MaybeTlsStream<Counted<ProxiedStream>>>>;

/// An open WebSocket and the byte counter of its socket.
#[derive(Debug)]
pub(crate) struct OpenSocket {
    pub(crate) socket: Socket,
    pub(crate) counter: Arc<ByteCounter>,
}

/// What the upgrade says of this program.
const PROGRAM: HeaderValue = HeaderValue::from_static(concat!("auxot-worker/", env!("CARGO_PKG_VERSION")));
/// Size of a connection's buffers. The library's default of 128 KiB each would be most of an idle worker's memory.
const BUFFER: usize = 16 * 1024;

/// Why a connection cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: std::io::Error },
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    // The library's errors are shown and never debug-printed: their debug form holds whole messages.
    #[error("cannot open a WebSocket at {url}: {reason}")]
    Upgrade { url: String, reason: String },
    #[error("cannot set up TLS with {url}: {reason}")]
    Tls { url: String, reason: String },
    #[error(
        "cannot set up TLS with {url}: what answers there does not speak TLS; if the router has none, write http:// before the address"
    )]
    NotTls { url: String },
    #[error("cannot reach {url} within {after:?}")]
    TooSlow { url: String, after: Duration },
}

impl DialError {
    /// The metric's label value.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Proxy(_) => "proxy",
            Self::Tls { .. } | Self::NotTls { .. } => "tls",
            Self::Upgrade { .. } => "upgrade",
            Self::TooSlow { .. } => "timeout",
        }
    }
}

/// The address, trust and limits of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) url: RouterUrl,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) timeout: Duration,
    pub(crate) max_message: usize,
}

impl Dialer {
    /// Opens a connection.
    pub(crate) async fn dial(&self) -> Result<OpenSocket, DialError> {
        match tokio::time::timeout(self.timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(DialError::TooSlow { url: self.url.to_string(), after: self.timeout }),
        }
    }

    async fn open(&self) -> Result<OpenSocket, DialError> {
        let (host, port) = (self.url.host(), self.url.port());
        let stream = match proxy::from_environment(&self.url)? {
            Some(proxy) => proxy.connect(&host, port, &self.tls).await?,
            None => {
                let stream = connect(&host, port).await;
                Either::Left(stream.map_err(|source| DialError::Connect { host, port, source })?)
            }
        };
        let (stream, counter) = Counted::new(stream);
        let upgrade_error =
            |error: WsError| DialError::Upgrade { url: self.url.to_string(), reason: error.to_string() };
        let request = self.request().map_err(upgrade_error)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            // A larger message is cut before, which adds a mark.
            .max_message_size(Some(self.max_message.saturating_add(MARK_LENGTH)))
            .max_frame_size(Some(self.max_message.saturating_add(MARK_LENGTH)));
        let stream = FilteredStream::new(self.encrypted(stream).await?, self.max_message);
        let (socket, _) = client_async_with_config(request, stream, Some(config)).await.map_err(upgrade_error)?;
        Ok(OpenSocket { socket, counter })
    }

    async fn encrypted(
        &self,
        stream: Counted<ProxiedStream>,
    ) -> Result<MaybeTlsStream<Counted<ProxiedStream>>, DialError> {
        if !self.url.tls() {
            return Ok(MaybeTlsStream::Plain(stream));
        }
        let url = || self.url.to_string();
        let name = ServerName::try_from(self.url.host())
            .map_err(|error| DialError::Tls { url: url(), reason: error.to_string() })?;
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await {
            Ok(stream) => Ok(MaybeTlsStream::Rustls(stream)),
            Err(error) if is_not_tls(&error) => Err(DialError::NotTls { url: url() }),
            Err(error) => Err(DialError::Tls { url: url(), reason: error.to_string() }),
        }
    }

    fn request(&self) -> Result<Request, WsError> {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let mut request = self.url.websocket().into_client_request()?;
        request.headers_mut().insert(USER_AGENT, PROGRAM);
        Ok(request)
    }
}

/// Whether the other side does not speak TLS: it sent another protocol's answer, or closed the connection.
fn is_not_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidMessage(_))) || error.kind() == std::io::ErrorKind::UnexpectedEof
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// The error of dialling with TLS when the other side sends `answer`.
    async fn dial_error(answer: &'static [u8]) -> DialError {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let dialer = Dialer {
            url: RouterUrl::parse(&listener.local_addr().expect("bound").to_string()).expect("valid"),
            tls: tls::client_config(None).expect("TLS"),
            timeout: Duration::from_secs(60),
            max_message: 1 << 20,
        };
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("accepted");
            let _hello = stream.read_u8().await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        };
        let (dial_error, ()) = tokio::join!(dialer.dial(), serve);
        dial_error.expect_err("no TLS")
    }

    #[tokio::test]
    async fn a_router_without_tls_is_reported_as_one() {
        for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
            let fault = dial_error(answer).await;
            assert!(matches!(fault, DialError::NotTls { .. }), "{fault}");
            assert!(fault.to_string().contains("write http://"), "{fault}");
        }
    }
}
