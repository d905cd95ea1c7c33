//! A request that is passed on as its client wrote it, and the answer as the engine writes it.

use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;

use super::head::{self, Body, HEAD_LIMIT};
use super::wire::{self, Wire};
use super::{ExchangeError, OpenError};
use crate::Endpoint;

/// The first read, which has the head of the answer and often all of a short one.
const FIRST_READ: usize = 2 << 10;

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

/// Fields of an answer that are of the connection to the engine.
static NOT_PASSED_BACK: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
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
    /// The engine's fields without those of its connection. A `Content-Length` is the engine's.
    pub fields: HeaderMap,
}

/// A request that was passed on, and its answer. Dropping it closes the socket.
#[derive(Debug)]
pub struct Forward {
    wire: Wire,
    /// Bytes that were read and are not consumed.
    early: Vec<u8>,
    body: Body,
    is_head_request: bool,
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
        let is_head_request = head.method == Method::HEAD;
        let mut forward = Self { wire, early: Vec::new(), body: Body::Complete, is_head_request };
        if forward.wire.send(&written, body, sent).await.is_err() {
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
            let head = self.fill_head().await?;
            let fields = head::fields(&self.early).map_err(ExchangeError::Malformed)?;
            self.early.drain(..head.length);
            // "100 Continue" and similar answers precede the real one.
            if head.status < 200 {
                continue;
            }
            self.body = if self.is_head_request { Body::Complete } else { head.body };
            let mut passed = HeaderMap::new();
            for (name, value) in fields.into_iter().filter(|(name, _)| !NOT_PASSED_BACK.contains(name)) {
                passed.append(name, value);
            }
            return Ok(AnswerHead { status: head.status, fields: passed });
        }
    }

    /// Reads until the head is complete, which stays.
    async fn fill_head(&mut self) -> Result<head::Head, ExchangeError> {
        loop {
            if let Some(head) = head::parse(&self.early).map_err(ExchangeError::Malformed)? {
                return Ok(head);
            }
            let held = self.early.len();
            if held > HEAD_LIMIT {
                return Err(ExchangeError::TooLarge { limit: HEAD_LIMIT });
            }
            let mut part = [0; FIRST_READ];
            let read = self.wire.read(&mut part).await?;
            if read == 0 {
                return Err(ExchangeError::Cut);
            }
            self.early.extend_from_slice(&part[..read]);
        }
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

    /// Whether the body is complete, so that the next read is its end.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.body, Body::Complete)
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
    for part in [" ", head.target, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"] {
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
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// Passes a request on; returns what the engine saw too.
    async fn forward(method: Method, lines: HeaderMap, body: &[u8], answer: &str) -> (Forward, String, UnixStream) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let endpoint = Endpoint::Unix(path);
        let head = ForwardHead { method: &method, target: "/v1/x?a=b", fields: &lines };
        let (sent, taken) = tokio::join!(Forward::send(&endpoint, head, body), listener.accept());
        let mut engine = taken.unwrap().0;
        let mut seen = vec![0; 4096];
        let read = engine.read(&mut seen).await.unwrap();
        engine.write_all(answer.as_bytes()).await.unwrap();
        (sent.unwrap(), String::from_utf8_lossy(&seen[..read]).into_owned(), engine)
    }

    async fn whole(forward: &mut Forward) -> Result<String, ExchangeError> {
        let mut text = Vec::new();
        let mut part = [0; 7];
        loop {
            match poll_fn(|context| forward.poll_body(context, &mut part)).await? {
                0 => return Ok(String::from_utf8(text).unwrap()),
                read => text.extend_from_slice(&part[..read]),
            }
        }
    }

    #[tokio::test]
    async fn a_request_keeps_its_fields_but_those_of_its_connection_and_its_keys() {
        let lines = fields(&[
            ("content-type", "application/json"),
            ("traceparent", "00-1-2-03"),
            ("x-request-id", "seven"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("host", "gpu.lan:80"),
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("x-conversation-id", "c"),
            ("origin", "http://evil"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
        ]);
        let (_, seen, _) = forward(Method::POST, lines, b"{}", "").await;
        let want = "POST /v1/x?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
            content-type: application/json\r\ntraceparent: 00-1-2-03\r\nx-request-id: seven\r\n\
            Content-Length: 2\r\n\r\n{}";
        assert_eq!(seen, want);
        let (_, seen, _) = forward(Method::GET, HeaderMap::new(), b"", "").await;
        assert!(!seen.contains("Content-Length"), "{seen}");
    }

    #[tokio::test]
    async fn an_answer_comes_back_without_its_framing_and_without_the_fields_of_its_connection() {
        let head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 418 Odd\r\nServer: llama.cpp\r\nKeep-Alive: timeout=5\r\n\
            Transfer-Encoding: chunked\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n";
        let answer = format!("{head}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        let (mut forward, _, _engine) = forward(Method::POST, HeaderMap::new(), b"{}", &answer).await;
        let found = forward.head().await.unwrap();
        let want = fields(&[("server", "llama.cpp")]);
        let mut want = AnswerHead { status: 418, fields: want };
        want.fields.append("x-two", HeaderValue::from_static("1"));
        want.fields.append("x-two", HeaderValue::from_static("2"));
        assert_eq!(found, want);
        assert_eq!(whole(&mut forward).await.unwrap(), "hello world");
        assert!(forward.is_complete());
    }

    #[tokio::test]
    async fn a_body_that_is_cut_is_an_error_and_one_without_a_length_ends_with_its_connection() {
        for (lines, body, want) in [
            ("Content-Length: 9\r\n", "short", Err(ExchangeError::Cut)),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhel", Err(ExchangeError::Cut)),
            ("", "to the end", Ok("to the end".to_owned())),
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}");
            let (mut forward, _, engine) = forward(Method::POST, HeaderMap::new(), b"", &answer).await;
            forward.head().await.unwrap();
            drop(engine);
            assert_eq!(whole(&mut forward).await, want, "{lines}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_head_has_a_length_and_no_body() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        let (mut forward, _, _engine) = forward(Method::HEAD, HeaderMap::new(), b"", answer).await;
        assert_eq!(forward.head().await.unwrap().fields["content-length"], "9");
        assert_eq!(whole(&mut forward).await.unwrap(), "");
    }
}
