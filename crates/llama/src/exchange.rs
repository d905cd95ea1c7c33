//! One request to an engine and its streamed answer: the path every token takes.
//!
//! One socket per exchange, written and read by hand: an HTTP library costs four microseconds per event
//! here, this a fraction of one. Bytes are read into one buffer, the chunk framing is taken out and events
//! are found in place, and the caller gets their data borrowed. Dropping the exchange closes the socket,
//! which is how llama-server learns that nobody wants the answer any more.

mod chunked;
mod head;
mod inbox;
mod wire;

use std::io;

use self::{
    head::{Body, HEAD_LIMIT},
    inbox::Inbox,
    wire::Wire,
};
use crate::{Endpoint, sse::Splitter};

/// The most bytes one event may have unless [`Exchange::limit_events`] says otherwise.
pub const EVENT_LIMIT: usize = 16 << 20;

/// Why no exchange was begun. Nothing was generated in any of these cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Nobody accepts connections there (any more, or yet).
    #[error("cannot reach the engine: nobody listens")]
    NotListening,
    /// The engine closed the connection before it had read the request, and left no answer.
    #[error("cannot send the request: the engine closed the connection")]
    Cut,
    /// The operating system said no: no descriptors left, no right to the socket, a queue that stays full.
    #[error("cannot reach the engine: {0}")]
    Io(io::ErrorKind),
}

/// Why an answer could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The connection ended in the middle: the engine died, or was stopped.
    #[error("cannot read the answer: the engine closed the connection in the middle")]
    Cut,
    /// The bytes are not what an HTTP server sends.
    #[error("cannot read the answer: {0}")]
    Malformed(&'static str),
    /// The head or one event is longer than allowed.
    #[error("cannot take more than {limit} bytes at once from the engine")]
    TooLarge {
        /// The bound that was passed.
        limit: usize,
    },
    /// The operating system said no.
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

/// What [`Exchange::fill`] brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// More of the body; there may be events in it.
    More,
    /// The body ended as it should; nothing more will come.
    End,
}

/// A request on its way and the answer to it.
///
/// Every `async` method except [`Exchange::post`] may be dropped at any point and called again without
/// losing a byte.
#[derive(Debug)]
pub struct Exchange {
    wire: Wire,
    inbox: Inbox,
    answer: Option<(u16, Body)>,
    splitter: Splitter,
    limit: usize,
    /// Body bytes came in together with the head and nobody has looked at them yet.
    unseen: bool,
}

impl Exchange {
    /// Connects and writes the request. Does not wait for the answer, which comes only when a slot is free.
    pub async fn post(endpoint: &Endpoint, path: &str, body: &[u8]) -> Result<Self, OpenError> {
        let head = wire::request_head(endpoint, path, body.len()).ok_or(OpenError::Io(io::ErrorKind::InvalidInput))?;
        let connected = Wire::connect(endpoint, head.as_bytes(), body).await;
        let (wire, sent) = connected.map_err(|fault| match fault.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                OpenError::NotListening
            }
            kind => OpenError::Io(kind),
        })?;
        let mut exchange = Self {
            wire,
            inbox: Inbox::new(EVENT_LIMIT),
            answer: None,
            splitter: Splitter::new(EVENT_LIMIT),
            limit: EVENT_LIMIT,
            unseen: false,
        };
        if exchange.wire.send(head.as_bytes(), body, sent).await.is_err() {
            // An engine that refuses (too long, still loading) may answer and close without reading it all.
            exchange.head().await.map_err(|_| OpenError::Cut)?;
        }
        Ok(exchange)
    }

    /// Sets the most bytes one event may have. To be called before the first byte is read.
    pub fn limit_events(&mut self, limit: usize) {
        self.limit = limit;
        self.splitter = Splitter::new(limit);
        self.inbox.set_most(limit.max(HEAD_LIMIT));
    }

    /// Waits for the head of the answer and gives its status.
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
                // "100 Continue" and its like announce the real answer.
                continue;
            }
            let start = self.inbox.start();
            let payload = self.inbox.decode(start..start + rest, |raw| body.decode(raw));
            self.unseen = payload.map_err(ExchangeError::Malformed)? > 0;
            self.answer = Some((head.status, body));
        }
    }

    /// Reads the whole rest of the body, but no more than `limit` bytes: what is longer is cut there.
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
    /// Call [`Self::next_event`] until it has nothing more before filling again: what does not fit the
    /// buffer is [`ExchangeError::TooLarge`].
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

    /// The data of the next complete event, or `None` when [`Self::fill`] must bring more first.
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

    /// Signs of life seen so far that carried no event. The engine sends one after `--sse-ping-interval`
    /// without a token, once the request has a slot.
    pub fn pings(&self) -> u64 {
        self.splitter.pings()
    }
}

#[cfg(test)]
mod tests;
