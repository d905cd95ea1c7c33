//! One connection to an engine, over a unix socket or TCP.

use std::{
    io::{self, IoSlice},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use secrecy::ExposeSecret;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::Instant,
};

use crate::Endpoint;

/// How long to try again when the engine's queue of waiting connections is full.
const QUEUE_PATIENCE: Duration = Duration::from_secs(5);
const QUEUE_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) enum Wire {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Wire {
    /// Connects, and sends as much of the request as the socket takes at once; says how many bytes that was.
    pub(super) async fn connect(endpoint: &Endpoint, head: &[u8], body: &[u8]) -> io::Result<(Self, usize)> {
        match endpoint {
            Endpoint::Unix(path) => {
                let (stream, sent) = connect_unix(path, head, body).await?;
                Ok((Self::Unix(stream), sent))
            }
            Endpoint::Tcp { address, .. } => {
                let stream = TcpStream::connect(address).await?;
                // A request is one write and an answer many small ones; waiting to fill packets only delays.
                stream.set_nodelay(true)?;
                Ok((Self::Tcp(stream), 0))
            }
        }
    }

    /// Reads what is there, waiting for the first byte; 0 at the end. Cancel safe.
    ///
    /// `AsyncRead` and not `readable` with `try_read`: after a read that did not fill the buffer tokio knows
    /// that the socket is drained, where `try_read` asks the kernel once more for every event.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer).await,
            Self::Tcp(stream) => stream.read(buffer).await,
        }
    }

    /// Writes both parts but for the bytes that are `sent`, in one system call when they fit.
    pub(super) async fn send(&mut self, head: &[u8], body: &[u8], sent: usize) -> io::Result<()> {
        match self {
            Self::Unix(stream) => send(stream, head, body, sent).await,
            Self::Tcp(stream) => send(stream, head, body, sent).await,
        }
    }
}

/// A unix socket whose accept queue is full refuses with `WouldBlock` at once instead of letting us wait, and
/// cpp-httplib's queue holds only a few: a burst of jobs meets that, so try again for a while.
async fn connect_unix(path: &Path, head: &[u8], body: &[u8]) -> io::Result<(UnixStream, usize)> {
    let give_up = Instant::now() + QUEUE_PATIENCE;
    loop {
        match open_unix(path, head, body) {
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock && Instant::now() < give_up => {
                tokio::time::sleep(QUEUE_PAUSE).await;
            }
            other => return other,
        }
    }
}

/// The request is on its way before the runtime hears of the socket. A unix socket is connected at once or never, so
/// there is nothing to wait for; tokio would wait for "writable" twice, which is most of what a first token is late by.
fn open_unix(path: &Path, head: &[u8], body: &[u8]) -> io::Result<(UnixStream, usize)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    // A fault here comes again at the next write, which is where it is understood.
    let sent = socket.send_vectored(&[IoSlice::new(head), IoSlice::new(body)]).unwrap_or(0);
    let stream = UnixStream::from_std(OwnedFd::from(socket).into())?;
    Ok((stream, sent))
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), head: &[u8], body: &[u8], sent: usize) -> io::Result<()> {
    let mut parts = [IoSlice::new(head), IoSlice::new(body)];
    let mut left = &mut parts[..];
    IoSlice::advance_slices(&mut left, sent);
    while !left.is_empty() {
        match stream.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut left, written),
        }
    }
    Ok(())
}

/// The head of a request that asks for an event stream. `None` when path or key cannot stand in a head.
///
/// `Connection: close` because one socket serves one job: closing it is how the engine learns of a cancel.
/// No `X-Conversation-Id`, ever: with it the engine goes on generating after its client has left.
pub(super) fn request_head(endpoint: &Endpoint, path: &str, length: usize) -> Option<String> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let authorization = match endpoint {
        Endpoint::Unix(_) => String::new(),
        Endpoint::Tcp { key, .. } if plain(key.expose_secret()) => {
            format!("Authorization: Bearer {}\r\n", key.expose_secret())
        }
        Endpoint::Tcp { .. } => return None,
    };
    (path.starts_with('/') && plain(path)).then(|| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\n\
             Accept: text/event-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    })
}
