//! The port: plain or TLS, the WebSocket upgrade by hand, the health report.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::link::Link;

/// The most bytes of a request's head.
const HEAD_LIMIT: usize = 16 * 1024;

/// The answer to `/health`.
#[derive(Debug, Clone, Default)]
enum Health {
    #[default]
    NotFound,
    Report(String),
    /// The request is accepted and never answered.
    Never,
}

/// The behaviour of the port.
pub(super) struct Behaviour {
    tls: Option<TlsAcceptor>,
    health: Mutex<Health>,
    pub(super) connections: AtomicUsize,
}

impl std::fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Behaviour {{ connections: {:?} }}", self.connections)
    }
}

impl Behaviour {
    pub(super) fn new(tls: Option<TlsAcceptor>) -> Behaviour {
        Behaviour { tls, health: Mutex::default(), connections: AtomicUsize::new(0) }
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn set_health(&self, report: &str) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::Report(report.to_owned());
    }

    pub(super) fn never_tell_health(&self) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health::Never;
    }

    fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A connection, encrypted or not, with access to its TCP socket.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// The head of a worker's request.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
}

/// Accepts connections until the router is dropped.
pub(super) async fn accept(listener: TcpListener, behaviour: Arc<Behaviour>, sender: mpsc::Sender<Link>) {
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => { visits.spawn(visit(stream, from, Arc::clone(&behaviour), sender.clone())); }
                Err(_) => return,
            },
            Some(_) = visits.join_next() => {}
        }
    }
}

/// One connection: a link for the test, or a plain HTTP answer. A client that disconnects before is not a fault.
async fn visit(stream: TcpStream, from: SocketAddr, behaviour: Arc<Behaviour>, sender: mpsc::Sender<Link>) {
    let mut wire: Box<dyn Wire> = match &behaviour.tls {
        None => Box::new(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let Some(head) = read_head(&mut wire).await else { return };
    let key = head.headers.get("sec-websocket-key").filter(|_| head.path == "/ws").cloned();
    if let Some(key) = key {
        behaviour.connections.fetch_add(1, Ordering::SeqCst);
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if wire.write_all(answer.as_bytes()).await.is_ok() {
            // The test may be over.
            let _ = sender.send(Link::new(wire, head, from).await).await;
        }
        return;
    }
    let (status, body) = match behaviour.health() {
        Health::Report(report) if head.path == "/health" => ("200 OK", report),
        Health::Never if head.path == "/health" => std::future::pending().await,
        _ => ("404 Not Found", r#"{"error":{"message":"endpoint not found","type":"not_found"}}"#.to_owned()),
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = wire.write_all(answer.as_bytes()).await;
    let _ = wire.shutdown().await;
}

/// Reads to the end of the head and not a byte more: a WebSocket client sends nothing before the answer.
async fn read_head(wire: &mut Box<dyn Wire>) -> Option<Head> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() > HEAD_LIMIT || wire.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(&bytes).ok()?;
    let value = |header: &httparse::Header<'_>| {
        (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
    };
    Some(Head { path: request.path?.to_owned(), headers: request.headers.iter().map(value).collect() })
}
