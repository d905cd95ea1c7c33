//! A client's connection: what it sends early, what it has not taken yet, and whether it is still there.
//!
//! A library reads its requests through [`AsyncRead`]; an engine's answer is written here, one system call for what was read
//! at once. A client that reads slowly costs what was read last and its socket did not take.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::listener::Stream;
use crate::part::{Framing, LAST_CHUNK, Part};

/// The most that is read of a client's next request before its answer is complete. A client that sends more is not watched
/// any further: that it left is seen when it is written to.
const EARLY_LIMIT: usize = 16 << 10;
/// The size of one such read.
const EARLY_READ: usize = 512;

/// Why an answer cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    #[error("the client has left")]
    Left,
    #[error("the client reads nothing")]
    TooSlow,
    #[error("the answer is cut short")]
    Cut,
}

/// How a client wants its answer, by the head of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) version: Version,
    /// Whether another request may follow.
    pub(crate) keeps: bool,
    /// Whether only the head is asked for.
    pub(crate) head_only: bool,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Stream,
    /// What it sent before it was asked for: the beginning of its next request.
    early: Vec<u8>,
    /// What its socket has not taken, and how much of it it has since.
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes may be held by the stream itself.
    unflushed: bool,
    /// Bytes that its socket has taken so far.
    taken: u64,
    /// While there are unsent bytes: what its socket had taken, and when it has taken nothing for too long.
    unread: Option<(u64, Pin<Box<Sleep>>)>,
    framing: Framing,
}

impl Client {
    pub(crate) fn new(stream: Stream) -> Self {
        let (early, unsent) = (Vec::new(), Vec::new());
        Self { stream, early, unsent, sent: 0, unflushed: false, taken: 0, unread: None, framing: Framing::Ended }
    }

    /// Puts back what was read of its next request.
    pub(crate) fn put_back(&mut self, early: &[u8]) {
        self.early.splice(..0, early.iter().copied());
    }

    /// Begins an answer: `lines` are the status, its reason and fields, each with its line end. The head goes with the first
    /// part of the body, or by itself with [`Self::poll_flush`].
    pub(crate) fn begin(&mut self, terms: Terms, lines: &[u8], length: Option<u64>, fields: &HeaderMap) {
        let is_old = terms.version < Version::HTTP_11;
        let no_body = terms.head_only || lines.starts_with(b"204") || lines.starts_with(b"304");
        self.framing = match length {
            _ if no_body => Framing::Ended,
            None if !is_old => Framing::Chunked,
            _ => Framing::Plain,
        };
        let head = &mut self.unsent;
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(lines);
        for (name, value) in fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        match length {
            Some(length) => head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes()),
            None if self.framing == Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            None => {}
        }
        if !terms.keeps {
            head.extend_from_slice(b"Connection: close\r\n");
        }
        head.extend_from_slice(b"\r\n");
    }

    /// Begins an answer that is complete already.
    pub(crate) fn answer(&mut self, terms: Terms, response: &Response<Bytes>, fields: &HeaderMap) {
        let status = response.status();
        let mut lines =
            format!("{} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default()).into_bytes();
        for (name, value) in response.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                lines.extend_from_slice(part);
            }
        }
        self.begin(terms, &lines, Some(response.body().len() as u64), fields);
        if self.framing == Framing::Plain {
            self.unsent.extend_from_slice(response.body());
        }
        self.framing = Framing::Ended;
    }

    /// Writes a part of the body, or keeps what the socket does not take at once.
    pub(crate) fn send(
        &mut self,
        context: &mut Context<'_>,
        part: &mut Part,
        length: usize,
        is_last: bool,
    ) -> Result<(), Unwritten> {
        let bytes = part.framed(length, self.framing, is_last);
        if is_last {
            self.framing = Framing::Ended;
        }
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, rest) else { break };
            let taken = taken(written)?;
            rest = &rest[taken..];
            self.taken += taken as u64;
            self.unflushed = true;
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// Adds text to the body.
    pub(crate) fn push(&mut self, text: &[u8]) {
        match self.framing {
            Framing::Chunked => {
                self.unsent.extend_from_slice(format!("{:x}\r\n", text.len()).as_bytes());
                self.unsent.extend_from_slice(text);
                self.unsent.extend_from_slice(b"\r\n");
            }
            Framing::Plain => self.unsent.extend_from_slice(text),
            Framing::Ended => {}
        }
    }

    /// Ends the body.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.framing, Framing::Ended) == Framing::Chunked {
            self.unsent.extend_from_slice(LAST_CHUNK);
        }
    }

    /// Whether its socket has not taken all.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.unflushed
    }

    /// Ready when its socket has taken all.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unwritten>> {
        while self.sent < self.unsent.len() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.unsent[self.sent..]));
            let taken = taken(written)?;
            self.sent += taken;
            self.taken += taken as u64;
            self.unflushed = true;
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        ready!(Pin::new(&mut self.stream).poll_flush(context)).map_err(|_| Unwritten::Left)?;
        (self.unflushed, self.unread) = (false, None);
        Poll::Ready(Ok(()))
    }

    /// Waits until its socket has taken all, for as long as it takes a byte within `limit`.
    pub(crate) async fn flush(&mut self, limit: Duration) -> Result<(), Unwritten> {
        poll_fn(|context| match self.poll_flush(context) {
            Poll::Pending if self.poll_gone(context).is_ready() => Poll::Ready(Err(Unwritten::Left)),
            Poll::Pending => self.poll_unread(context, limit).map(|()| Err(Unwritten::TooSlow)),
            flushed => flushed,
        })
        .await
    }

    /// Ready when its socket has taken no byte for `limit`, while there are unsent ones.
    pub(crate) fn poll_unread(&mut self, context: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let (before, alarm) = self.unread.get_or_insert_with(|| (self.taken, Box::pin(sleep(limit))));
        if *before != self.taken {
            *before = self.taken;
            alarm.as_mut().reset(Instant::now() + limit);
        }
        ready!(alarm.as_mut().poll(context));
        self.unread = None;
        Poll::Ready(())
    }

    /// Ready when the client has left. What it sends meanwhile is kept.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.early.len() < EARLY_LIMIT {
            let mut bytes = [0; EARLY_READ];
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.early.extend_from_slice(buffer.filled()),
                _ => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Resolves when the client has left.
    pub(crate) async fn gone(&mut self) {
        poll_fn(|context| self.poll_gone(context)).await;
    }

    /// Closes the connection in order.
    pub(crate) async fn close(mut self) {
        // A client that is gone needs no farewell.
        let _gone = self.stream.shutdown().await;
    }
}

fn taken(written: io::Result<usize>) -> Result<usize, Unwritten> {
    written.ok().filter(|written| *written > 0).ok_or(Unwritten::Left)
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let read = self.early.len().min(into.remaining());
        into.put_slice(&self.early[..read]);
        self.early.drain(..read);
        if self.early.is_empty() {
            self.early = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
