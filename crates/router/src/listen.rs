//! Accepts connections: how long each may be silent, and what it may send before it shows a good key.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use auxot_server_tls::ServerTls;
use auxot_stall::Counted;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::http::normalized;
use crate::unauthenticated::{Unauthenticated, UnauthenticatedConnections};

/// More than an HTTP head and a `hello`; before a good key nothing longer is sent.
const FIRST_BYTES: usize = 512 * 1024;
/// The most bytes that the kernel takes before it can send them. Without a limit it takes megabytes for a peer that reads
/// slowly and asks for more only when a third of them is gone: the socket takes no byte for so long that the peer looks dead.
#[cfg(target_os = "linux")]
const UNSENT: u32 = 64 * 1024;
/// Pause after an `accept` that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Before a good key.
    pub(crate) first: Duration,
    /// Between two requests, and in the head of one.
    pub(crate) idle: Duration,
}

/// A socket with or without TLS.
type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Accepts connections until `closing`, then waits for the open ones.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    routes: Router,
    unauthenticated: Arc<UnauthenticatedConnections>,
    limits: ConnectionLimits,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let tls = tls.as_ref().map(ServerTls::acceptor);
    loop {
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = closing.cancelled() => break,
        };
        match taken {
            Ok((stream, peer)) => {
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(%error, "cannot set the options of a connection");
                }
                let unauthenticated = Arc::new(unauthenticated.register(peer.ip().to_canonical()));
                let (tls, routes, closing) = (tls.clone(), routes.clone(), closing.clone());
                connections.spawn(async move {
                    if let Some(stream) = handshake(stream, tls, &unauthenticated, limits, &closing).await {
                        connection(stream, routes, unauthenticated, limits, closing).await;
                    }
                });
            }
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                unauthenticated.close_one();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    // A token is a small packet and must not wait for the next one.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The stream after its handshake, which may take as long as a good key may.
async fn handshake(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    unauthenticated: &Unauthenticated,
    limits: ConnectionLimits,
    closing: &CancellationToken,
) -> Option<Stream> {
    let Some(tls) = tls else { return Some(Either::Left(stream)) };
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(limits.first, tls.accept(stream)) => accepted,
        () = unauthenticated.close.cancelled() => return None,
        () = closing.cancelled() => return None,
    };
    match accepted {
        Ok(Ok(stream)) => Some(Either::Right(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "connection closed: no TLS");
            None
        }
        Err(_) => {
            tracing::debug!("connection closed: its handshake did not end in time");
            None
        }
    }
}

async fn connection(
    stream: Stream,
    routes: Router,
    unauthenticated: Arc<Unauthenticated>,
    limits: ConnectionLimits,
    closing: CancellationToken,
) {
    let close = unauthenticated.close.clone();
    // After the upgrade a link has its own reference; its end is independent of this connection's.
    let here = Arc::downgrade(&unauthenticated);
    let (counted, counter) = Counted::new(Guarded { stream, unauthenticated: unauthenticated.clone(), read: 0 });
    let io = TokioIo::new(counted);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        if let Some(uri) = normalized(request.uri()) {
            *request.uri_mut() = uri;
        }
        request.extensions_mut().insert(unauthenticated.clone());
        request.extensions_mut().insert(Arc::clone(&counter));
        routes.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(connection);
    let first = tokio::time::sleep(limits.first);
    tokio::pin!(first);
    let (mut waits, mut open) = (true, true);
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = close.cancelled() => return,
            () = first.as_mut(), if waits => {
                waits = false;
                if here.upgrade().is_some_and(|unauthenticated| !unauthenticated.is_authenticated()) {
                    tracing::debug!("connection closed: it showed no key in time");
                    return;
                }
            }
            () = closing.cancelled(), if open => {
                open = false;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A socket that fails when it receives too many bytes before a good key.
#[derive(Debug)]
struct Guarded {
    stream: Stream,
    unauthenticated: Arc<Unauthenticated>,
    read: usize,
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() && !self.unauthenticated.is_authenticated() {
            self.read += buffer.filled().len() - before;
            if self.read > FIRST_BYTES {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "too many bytes before a good key",
                )));
            }
        }
        polled
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}
