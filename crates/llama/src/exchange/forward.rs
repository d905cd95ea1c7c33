//! A request that is passed on as its client wrote it, and the answer as the engine writes it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;

use super::head::{self, Body, HEAD_LIMIT};
use super::wire::{self, Wire};
use super::{ExchangeError, OpenError};
use crate::Endpoint;

/// The bytes of one read: the head of an answer, and often all of a short one.
const READ: usize = 4 << 10;

thread_local! {
    /// Where a thread reads to before the bytes are taken over, within one poll: in a future it would be a part of each answer
    /// for as long as that takes, and on the stack it would be zeroed for each poll.
    static PART: RefCell<[u8; READ]> = const { RefCell::new([0; READ]) };
}

/// Fields of a request that end here: those of the connection, those that say who the client is to this host, and those
/// that are written anew. `X-Conversation-Id` makes the engine go on after its client has left. An `Origin` would make the
/// engine allow the page to read the answer, which is for the caller to decide.
static NOT_PASSED_ON: [HeaderName; 15] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-conversation-id"),
    header::ORIGIN,
];

/// Fields of an answer that end here: those of the connection to the engine, and those that say which web pages may read
/// the answer.
const NOT_PASSED_BACK: [&str; 8] = [
    "connection",
    "keep-alive",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "access-control-allow-origin",
    "access-control-allow-credentials",
];

/// The head of a request that is passed on.
#[derive(Debug, Clone, Copy)]
pub struct ForwardHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query.
    pub target: &'a str,
    /// The client's fields; those of its connection and its keys are left out.
    pub fields: &'a HeaderMap,
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerHead {
    /// The status.
    pub status: u16,
    /// The status with its reason and then the fields, as the engine writes them, each with its line end. Fields of its
    /// connection are left out, and so is the length.
    pub lines: Vec<u8>,
    /// The length of the body, where it is announced.
    pub length: Option<u64>,
    /// Whether the body is a stream of events.
    pub is_events: bool,
}

/// A connection whose answer is complete and that the engine keeps open for the next request.
///
/// An engine closes a connection after five idle seconds, and has a thread for each, so it is kept for less.
#[derive(Debug)]
pub struct KeptConnection(Wire);

impl KeptConnection {
    /// Whether the engine has not closed it, as far as the system knows. A request on it may still be lost: then the engine
    /// has answered nothing, and the request can be sent again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_open_and_silent()
    }
}

/// A request that was passed on, and its answer. Dropping it closes the socket.
#[derive(Debug)]
pub struct Forward {
    wire: Wire,
    /// Bytes that were read and are not consumed.
    early: Vec<u8>,
    body: Body,
    is_head_request: bool,
    /// Whether the engine takes another request on this connection.
    is_kept: bool,
}

impl Forward {
    /// Connects and writes the request. Does not wait for the answer.
    ///
    /// # Errors
    /// When the engine cannot be reached, or closes the connection without an answer.
    pub async fn send(endpoint: &Endpoint, head: ForwardHead<'_>, body: &[u8]) -> Result<Self, OpenError> {
        let written =
            request_head(endpoint, head, body.len()).ok_or(OpenError::Io(std::io::ErrorKind::InvalidInput))?;
        let (wire, sent) = wire::open(endpoint, &written, body).await?;
        Self::write(wire, head, &written, body, sent).await
    }

    /// Writes the request to a connection that was kept.
    ///
    /// # Errors
    /// When the engine has closed the connection, or closes it without an answer.
    pub async fn send_on(
        kept: KeptConnection,
        endpoint: &Endpoint,
        head: ForwardHead<'_>,
        body: &[u8],
    ) -> Result<Self, OpenError> {
        let written =
            request_head(endpoint, head, body.len()).ok_or(OpenError::Io(std::io::ErrorKind::InvalidInput))?;
        Self::write(kept.0, head, &written, body, 0).await
    }

    async fn write(
        wire: Wire,
        head: ForwardHead<'_>,
        written: &[u8],
        body: &[u8],
        sent: usize,
    ) -> Result<Self, OpenError> {
        let is_head_request = head.method == Method::HEAD;
        let mut forward = Self { wire, early: Vec::new(), body: Body::Complete, is_head_request, is_kept: false };
        if forward.wire.send(written, body, sent).await.is_err() {
            // An engine that refuses (too long, still loading) may answer and close without reading the whole request.
            forward.fill_head().await.map_err(|_| OpenError::Cut)?;
        }
        Ok(forward)
    }

    /// Waits for the head of the answer. Cancel safe.
    ///
    /// # Errors
    /// When the connection ends first, or the head is malformed or too long.
    pub async fn head(&mut self) -> Result<AnswerHead, ExchangeError> {
        loop {
            let parsed = head::parse_for(&self.early, &NOT_PASSED_BACK).map_err(ExchangeError::Malformed)?;
            let Some((head, passed)) = parsed else {
                self.read_head().await?;
                continue;
            };
            self.early.drain(..head.length);
            // "100 Continue" and similar answers precede the real one.
            if head.status < 200 {
                continue;
            }
            self.is_kept = !passed.closes && head.status < 400 && !matches!(head.body, Body::UntilClose);
            self.body = if self.is_head_request { Body::Complete } else { head.body };
            return Ok(AnswerHead {
                status: head.status,
                lines: passed.lines,
                length: passed.length,
                is_events: passed.is_events,
            });
        }
    }

    /// Reads until the head is complete, which stays.
    async fn fill_head(&mut self) -> Result<(), ExchangeError> {
        loop {
            if head::parse(&self.early).map_err(ExchangeError::Malformed)?.is_some() {
                return Ok(());
            }
            self.read_head().await?;
        }
    }

    /// Reads more of the head. Cancel safe.
    async fn read_head(&mut self) -> Result<(), ExchangeError> {
        if self.early.len() > HEAD_LIMIT {
            return Err(ExchangeError::TooLarge { limit: HEAD_LIMIT });
        }
        let (wire, early) = (&mut self.wire, &mut self.early);
        let read = poll_fn(|context| {
            PART.with_borrow_mut(|part| {
                let read = ready!(wire.poll_read(context, part))?;
                early.extend_from_slice(&part[..read]);
                Poll::Ready(Ok::<_, ExchangeError>(read))
            })
        });
        if read.await? == 0 {
            return Err(ExchangeError::Cut);
        }
        Ok(())
    }

    /// Reads bytes of the body, without its framing, to the front of `into`; 0 at the end of the body.
    ///
    /// # Errors
    /// When the connection ends before the body, or its framing is not valid.
    pub fn poll_body(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ExchangeError>> {
        loop {
            if matches!(self.body, Body::Complete) {
                return Poll::Ready(Ok(0));
            }
            let read = if self.early.is_empty() {
                let read = ready!(self.wire.poll_read(context, into))?;
                if read == 0 {
                    let is_end = matches!(self.body, Body::UntilClose);
                    self.body = Body::Complete;
                    return Poll::Ready(if is_end { Ok(0) } else { Err(ExchangeError::Cut) });
                }
                read
            } else {
                let read = self.early.len().min(into.len());
                into[..read].copy_from_slice(&self.early[..read]);
                self.early.drain(..read);
                if self.early.is_empty() {
                    self.early = Vec::new();
                }
                read
            };
            let payload = self.body.decode(&mut into[..read]).map_err(ExchangeError::Malformed)?;
            if payload > 0 {
                return Poll::Ready(Ok(payload));
            }
        }
    }

    /// Reads the body up to its end, or up to this many bytes. Not cancel safe.
    ///
    /// # Errors
    /// As [`Forward::poll_body`].
    pub async fn read(&mut self, limit: usize) -> Result<Vec<u8>, ExchangeError> {
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let from = bytes.len();
            bytes.resize(limit.min(from + READ), 0);
            let read = poll_fn(|context| self.poll_body(context, &mut bytes[from..])).await?;
            bytes.truncate(from + read);
            if read == 0 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Reads bytes of the body, without its framing, to the end of `into`; 0 at the end of the body.
    pub(super) fn poll_append(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<Result<usize, ExchangeError>> {
        PART.with_borrow_mut(|part| {
            let read = ready!(self.poll_body(context, part))?;
            into.extend_from_slice(&part[..read]);
            Poll::Ready(Ok(read))
        })
    }

    /// Whether the body is complete, so that the next read is its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.body, Body::Complete)
    }

    /// Whether bytes that have come with the head wait to be read.
    #[must_use]
    pub fn has_early_bytes(&self) -> bool {
        !self.early.is_empty()
    }

    /// The connection, where the answer is complete and the engine takes another request on it.
    #[must_use]
    pub fn into_kept(self) -> Option<KeptConnection> {
        (self.is_kept && self.is_complete() && self.early.is_empty()).then_some(KeptConnection(self.wire))
    }
}

/// The request's head as bytes; `None` where the target or the engine's key is not valid in one.
fn request_head(endpoint: &Endpoint, head: ForwardHead<'_>, length: usize) -> Option<Vec<u8>> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !head.target.starts_with('/') || !plain(head.target) {
        return None;
    }
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(head.method.as_str().as_bytes());
    for part in [" ", head.target, " HTTP/1.1\r\nHost: localhost\r\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    if let Endpoint::Tcp { key, .. } = endpoint {
        let key = Some(key.expose_secret()).filter(|key| plain(key))?;
        text.extend_from_slice(format!("Authorization: Bearer {key}\r\n").as_bytes());
    }
    let of_connection = |name: &HeaderName| named_by_connection(head.fields, name);
    for (name, value) in head.fields.iter().filter(|(name, _)| !NOT_PASSED_ON.contains(name) && !of_connection(name)) {
        write_field(&mut text, name, value);
    }
    if length > 0 || !matches!(*head.method, Method::GET | Method::HEAD) {
        text.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    Some(text)
}

fn write_field(text: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
        text.extend_from_slice(part);
    }
}

/// Whether `Connection` lists the field, which then is for the next hop only.
fn named_by_connection(fields: &HeaderMap, name: &HeaderName) -> bool {
    let values = fields.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(name.as_str()))
}

#[cfg(test)]
mod tests;
