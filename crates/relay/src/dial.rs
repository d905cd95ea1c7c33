//! From an address to an open WebSocket: TCP, through a proxy where the environment names one, TLS, upgrade.

pub(crate) mod backoff;
pub(crate) mod connect;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod url;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, handshake::client::Request};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use crate::dial::connect::connect;
use crate::dial::proxy::ProxyError;
use crate::dial::url::RouterUrl;
use crate::lane::meter::{Meter, Metered};

/// An open connection to the router.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<Metered<TcpStream>>>;

/// An open connection, and the count of what its socket has taken.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) socket: Socket,
    pub(crate) meter: Arc<Meter>,
}

/// Buffers of one connection; the library's own default of 128 KiB each would be most of an idle worker.
const BUFFER: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect { host: String, port: u16, source: std::io::Error },
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    // The library's errors are shown and never debug-printed: their debug form holds whole messages.
    #[error("cannot open a WebSocket at {url}: {reason}")]
    Upgrade { url: String, reason: String },
    #[error("cannot reach {url} within {after:?}")]
    TooSlow { url: String, after: Duration },
}

impl DialError {
    /// The metric's label value.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Proxy(_) => "proxy",
            Self::Upgrade { .. } => "upgrade",
            Self::TooSlow { .. } => "timeout",
        }
    }
}

/// How to dial.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) url: RouterUrl,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) timeout: Duration,
    pub(crate) max_message: usize,
}

impl Dialer {
    /// Opens a connection.
    pub(crate) async fn dial(&self) -> Result<Dialed, DialError> {
        match tokio::time::timeout(self.timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(DialError::TooSlow { url: self.url.to_string(), after: self.timeout }),
        }
    }

    async fn open(&self) -> Result<Dialed, DialError> {
        let (host, port) = (self.url.host(), self.url.port());
        let stream = match proxy::for_url(&self.url, |name| std::env::var(name).ok()) {
            Some(proxy) => proxy.connect(&host, port).await?,
            None => connect(&host, port).await.map_err(|source| DialError::Connect { host, port, source })?,
        };
        let (stream, meter) = Metered::new(stream);
        let upgrade_error =
            |error: WsError| DialError::Upgrade { url: self.url.to_string(), reason: error.to_string() };
        let request = self.request().map_err(upgrade_error)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message));
        let connector = if self.url.tls() { Connector::Rustls(Arc::clone(&self.tls)) } else { Connector::Plain };
        let (socket, _) = client_async_tls_with_config(request, stream, Some(config), Some(connector))
            .await
            .map_err(upgrade_error)?;
        Ok(Dialed { socket, meter })
    }

    fn request(&self) -> Result<Request, WsError> {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        self.url.websocket().into_client_request()
    }
}
