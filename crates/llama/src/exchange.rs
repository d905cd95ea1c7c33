//! One request to an engine and its streamed answer: the token path.
//!
//! One socket per exchange, without an HTTP library: a library costs four microseconds per event here, this code a fraction
//! of one. Bytes are read into one buffer, the chunk framing is removed and events are found in place, and the caller
//! borrows their data. Dropping the exchange closes the socket, which cancels the request in llama-server.

mod forward;
mod head;
mod inbox;
mod join;
mod unix_wire;
mod wire;

use std::io;

pub use self::forward::{AnswerHead, Forward, ForwardHead, KeptConnection};
pub use self::join::{JoinedAnswer, Joining};
use self::{
    head::{Body, HEAD_LIMIT},
    inbox::Inbox,
    wire::Wire,
};
use crate::{Endpoint, sse::Splitter};

/// The most bytes of one event.
const EVENT_LIMIT: usize = 16 << 20;

/// Why a request could not be sent. No token was generated in any of these cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No process listens at the address.
    #[error("cannot reach the engine: its socket does not listen")]
    NotListening,
    /// The engine closed the connection before it had read the request, without an answer.
    #[error("cannot send the request: the engine closed the connection")]
    Cut,
    /// A fault of the operating system: no descriptors, no permission for the socket, a queue that stays full.
    #[error("cannot reach the engine: {0}")]
    Io(io::ErrorKind),
}

/// Why an answer could not be read completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The connection ended in the middle: the engine crashed or was stopped.
    #[error("cannot read the answer: the engine closed the connection in the middle")]
    Cut,
    /// The bytes are not valid HTTP.
    #[error("cannot read the answer: {0}")]
    Malformed(&'static str),
    /// The head or one event is longer than allowed.
    #[error("cannot take more than {limit} bytes at once from the engine")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// A fault of the operating system.
    #[error("cannot read the answer: {0}")]
    Io(io::ErrorKind),
}

impl From<io::Error> for ExchangeError {
    fn from(fault: io::Error) -> Self {
        match fault.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Self::Cut,
            kind => Self::Io(kind),
        }
    }
}

/// The result of [`Exchange::fill`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// More bytes of the body; they may complete events.
    More,
    /// The body is complete.
    End,
}

/// A request that was sent, and the answer to it.
///
/// Every `async` method except [`Exchange::post`] and [`Exchange::post_traced`] is cancel safe: no byte is lost when its future is dropped.
#[derive(Debug)]
pub struct Exchange {
    wire: Wire,
    inbox: Inbox,
    answer: Option<(u16, Body)>,
    splitter: Splitter,
    limit: usize,
    /// Body bytes arrived together with the head and were not returned by `fill` yet.
    unseen: bool,
}

impl Exchange {
    /// Connects and writes the request. Does not wait for the answer, which comes only when a slot is free.
    ///
    /// # Errors
    /// When the engine cannot be reached, or closes the connection without an answer.
    pub async fn post(endpoint: &Endpoint, path: &str, body: &[u8]) -> Result<Self, OpenError> {
        Self::post_traced(endpoint, path, None, body).await
    }

    /// The same as a part of a trace: with the header `traceparent`.
    ///
    /// # Errors
    /// As for [`Self::post`].
    pub async fn post_traced(
        endpoint: &Endpoint,
        path: &str,
        traceparent: Option<&str>,
        body: &[u8],
    ) -> Result<Self, OpenError> {
        let head = wire::request_head(endpoint, path, traceparent, body.len());
        let head = head.ok_or(OpenError::Io(io::ErrorKind::InvalidInput))?;
        let (wire, sent) = wire::open(endpoint, head.as_bytes(), body).await?;
        let mut exchange = Self {
            wire,
            inbox: Inbox::new(EVENT_LIMIT),
            answer: None,
            splitter: Splitter::new(EVENT_LIMIT),
            limit: EVENT_LIMIT,
            unseen: false,
        };
        if exchange.wire.send(head.as_bytes(), body, sent).await.is_err() {
            // An engine that refuses (too long, still loading) may answer and close without reading the whole request.
            exchange.head().await.map_err(|_| OpenError::Cut)?;
        }
        Ok(exchange)
    }

    /// Waits for the head of the answer and returns its status.
    ///
    /// # Errors
    /// When the connection ends first, or the head is malformed or too long.
    pub async fn head(&mut self) -> Result<u16, ExchangeError> {
        loop {
            if let Some((status, _)) = self.answer {
                return Ok(status);
            }
            let bytes = self.inbox.bytes();
            let Some(head) = head::parse(bytes).map_err(ExchangeError::Malformed)? else {
                if bytes.len() > HEAD_LIMIT {
                    return Err(ExchangeError::TooLarge { limit: HEAD_LIMIT });
                }
                let raw = self.wire.read(self.inbox.space()).await?;
                if raw == 0 {
                    return Err(ExchangeError::Cut);
                }
                self.inbox.accept(raw);
                continue;
            };
            let (rest, mut body) = (bytes.len() - head.length, head.body);
            self.inbox.consume(head.length);
            if head.status < 200 {
                // "100 Continue" and similar answers precede the real one.
                continue;
            }
            let start = self.inbox.start();
            let payload = self.inbox.decode(start..start + rest, |raw| body.decode(raw));
            self.unseen = payload.map_err(ExchangeError::Malformed)? > 0;
            self.answer = Some((head.status, body));
        }
    }

    /// Reads the rest of the body, at most `limit` bytes; a longer body is cut there.
    ///
    /// # Errors
    /// As for [`Self::fill`].
    pub async fn error_body(&mut self, limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut whole = Vec::new();
        while self.fill().await? == Fill::More {
            let bytes = self.inbox.bytes();
            let length = bytes.len();
            whole.extend_from_slice(&bytes[..length.min(limit - whole.len())]);
            self.inbox.consume(length);
            if whole.len() == limit {
                break;
            }
        }
        Ok(whole)
    }

    /// Waits for at least one more byte of the body, or for its end.
    ///
    /// Call [`Self::next_event`] until it returns `None` before the next call: bytes that do not fit the buffer are
    /// [`ExchangeError::TooLarge`].
    ///
    /// # Errors
    /// When the connection ends before the body, or an event or the framing is not valid.
    pub async fn fill(&mut self) -> Result<Fill, ExchangeError> {
        self.head().await?;
        loop {
            let Some((_, body)) = &mut self.answer else { return Err(ExchangeError::Cut) };
            if std::mem::take(&mut self.unseen) {
                return Ok(Fill::More);
            }
            if matches!(body, Body::Complete) {
                return Ok(Fill::End);
            }
            let space = self.inbox.space();
            if space.is_empty() {
                return Err(ExchangeError::TooLarge { limit: self.limit });
            }
            let raw = self.wire.read(space).await?;
            if raw == 0 {
                if !matches!(body, Body::UntilClose) {
                    return Err(ExchangeError::Cut);
                }
                *body = Body::Complete;
                return Ok(Fill::End);
            }
            let raw = self.inbox.accept(raw);
            if self.inbox.decode(raw, |raw| body.decode(raw)).map_err(ExchangeError::Malformed)? > 0 {
                return Ok(Fill::More);
            }
        }
    }

    /// The data of the next complete event, or `None` when [`Self::fill`] must read more first.
    ///
    /// # Errors
    /// When the event is too large.
    pub fn next_event(&mut self) -> Result<Option<&[u8]>, ExchangeError> {
        if self.answer.is_none() {
            return Ok(None);
        }
        loop {
            let start = self.inbox.start();
            let found = self.splitter.next(self.inbox.bytes());
            let Some(block) = found.map_err(|fault| ExchangeError::TooLarge { limit: fault.limit })? else {
                self.unseen = false;
                return Ok(None);
            };
            self.inbox.consume(block.used);
            if let Some(data) = block.data {
                return Ok(Some(self.inbox.slice(start + data.start..start + data.end)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
