//! One connection to an engine, over a unix socket or TCP.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use secrecy::ExposeSecret;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{OpenError, unix_wire::UnixWire};
use crate::Endpoint;

/// How long connecting is repeated while the engine's accept queue is full.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) enum Wire {
    Unix(UnixWire),
    Tcp(TcpStream),
}

impl Wire {
    /// Connects, and sends as much of the request as the socket takes at once; returns the number of bytes sent.
    async fn connect(endpoint: &Endpoint, head: &[u8], body: &[u8]) -> io::Result<(Self, usize)> {
        match endpoint {
            Endpoint::Unix(path) => {
                let (stream, sent) = connect_unix(path, head, body).await?;
                Ok((Self::Unix(stream), sent))
            }
            Endpoint::Tcp { address, .. } => {
                let stream = TcpStream::connect(address).await?;
                // A request is one write and an answer many small ones: Nagle's algorithm would only delay.
                stream.set_nodelay(true)?;
                Ok((Self::Tcp(stream), 0))
            }
        }
    }

    /// Waits for at least one byte and reads all that have arrived; 0 at the end. Cancel safe.
    ///
    /// `AsyncRead` and not `readable` with `try_read`: after a read that did not fill the buffer tokio knows that the socket
    /// is empty, but `try_read` needs one more system call for every event.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => poll_fn(|context| stream.poll_read(context, buffer)).await,
            Self::Tcp(stream) => stream.read(buffer).await,
        }
    }

    /// As [`Self::read`], for a caller that polls.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(stream) => stream.poll_read(context, buffer),
            Self::Tcp(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
        }
    }

    /// Whether the other side has neither closed the connection nor sent anything. The system is asked, because what the
    /// runtime knows may be older.
    pub(super) fn is_open_and_silent(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let seen = match self {
            Self::Unix(stream) => SockRef::from(stream.socket()).peek(&mut byte),
            Self::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
        };
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes both parts without the first `sent` bytes, in one system call when they fit.
    pub(super) async fn send(&mut self, head: &[u8], body: &[u8], sent: usize) -> io::Result<()> {
        let mut parts = [IoSlice::new(head), IoSlice::new(body)];
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, sent);
        while !left.is_empty() {
            let written = match self {
                Self::Unix(stream) => stream.write(left).await?,
                Self::Tcp(stream) => stream.write_vectored(left).await?,
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }
}

/// Connects for a request, and tells an engine that is gone from a fault of this host.
pub(super) async fn open(endpoint: &Endpoint, head: &[u8], body: &[u8]) -> Result<(Wire, usize), OpenError> {
    Wire::connect(endpoint, head, body).await.map_err(|fault| match fault.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
            OpenError::NotListening
        }
        kind => OpenError::Io(kind),
    })
}

/// A unix socket with a full accept queue returns `WouldBlock` at once, and cpp-httplib's queue is short: a burst of jobs
/// fills it, so connecting is repeated for a while.
async fn connect_unix(path: &Path, head: &[u8], body: &[u8]) -> io::Result<(UnixWire, usize)> {
    let give_up = Instant::now() + QUEUE_TIMEOUT;
    loop {
        match open_unix(path, head, body) {
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                tokio::time::sleep(QUEUE_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Sends the request before the socket is registered with the runtime. A unix socket is connected at once or never, so there
/// is nothing to wait for; tokio would wait for "writable" twice, which is most of the delay of a first token.
fn open_unix(path: &Path, head: &[u8], body: &[u8]) -> io::Result<(UnixWire, usize)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    // A fault here repeats at the next write, which handles it.
    let sent = socket.send_vectored(&[IoSlice::new(head), IoSlice::new(body)]).unwrap_or(0);
    Ok((UnixWire::new(OwnedFd::from(socket).into())?, sent))
}

/// The head of a request for an event stream. `None` when path or key are not valid in a head.
///
/// `Connection: close` because one socket serves one job: closing it cancels the job in the engine. Never
/// `X-Conversation-Id`: with it the engine goes on generating after its client has disconnected.
pub(super) fn request_head(
    endpoint: &Endpoint,
    path: &str,
    traceparent: Option<&str>,
    length: usize,
) -> Option<String> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let authorization = match endpoint {
        Endpoint::Unix(_) => String::new(),
        Endpoint::Tcp { key, .. } if plain(key.expose_secret()) => {
            format!("Authorization: Bearer {}\r\n", key.expose_secret())
        }
        Endpoint::Tcp { .. } => return None,
    };
    let trace = traceparent.map(|trace| format!("traceparent: {trace}\r\n")).unwrap_or_default();
    let is_valid = path.starts_with('/') && plain(path) && traceparent.is_none_or(plain);
    is_valid.then(|| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}{trace}Content-Type: application/json\r\n\
             Accept: text/event-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    })
}
