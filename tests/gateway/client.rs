//! A client that sees every byte.

use auxot_tests::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// One request on a connection of its own.
pub(crate) struct Client {
    stream: Box<dyn Stream>,
    /// All that has come.
    pub(crate) seen: Vec<u8>,
}

pub(crate) trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}
impl Stream for tokio_rustls::client::TlsStream<TcpStream> {}

/// A whole answer: its head as it is written, in lower case and sorted, and its body without framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

impl Client {
    /// Sends bytes as they are.
    pub(crate) async fn raw(address: &str, request: &[u8]) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::on(Box::new(stream), request).await
    }

    pub(crate) async fn on(mut stream: Box<dyn Stream>, request: &[u8]) -> Client {
        stream.write_all(request).await.unwrap();
        Client { stream, seen: Vec::new() }
    }

    pub(crate) async fn get(address: &str, path: &str) -> Client {
        Self::raw(address, request("GET", path, "", "").as_bytes()).await
    }

    pub(crate) async fn post(address: &str, path: &str, body: &str) -> Client {
        Self::raw(address, request("POST", path, "Content-Type: application/json\r\n", body).as_bytes()).await
    }

    /// Sends more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads until this text has come, or the end; says which.
    pub(crate) async fn until(&mut self, text: &str) -> bool {
        loop {
            if self.shown().contains(text) {
                return true;
            }
            if !self.more().await {
                return false;
            }
        }
    }

    /// All that has come, as text.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    async fn more(&mut self) -> bool {
        let mut part = vec![0; 16 * 1024];
        let read = timeout(DEADLINE, self.stream.read(&mut part)).await;
        let read = read.unwrap_or_else(|_| panic!("nothing more comes after {}", self.shown()));
        // A reset is an end too.
        let read = read.unwrap_or(0);
        self.seen.extend_from_slice(&part[..read]);
        read > 0
    }

    /// The whole answer; `Err` with what there is where the connection ends before it.
    pub(crate) async fn try_whole(&mut self) -> Result<Answer, Answer> {
        loop {
            if let Some((answer, used)) = parse(&self.seen, false) {
                self.seen.drain(..used);
                return Ok(answer);
            }
            if !self.more().await {
                let known = parse(&self.seen, true).map(|(answer, _)| answer);
                return match known {
                    Some(answer)
                        if answer.field("transfer-encoding").is_none() && answer.field("content-length").is_none() =>
                    {
                        Ok(answer)
                    }
                    Some(cut) => Err(cut),
                    None => panic!("the connection ended without an answer: {}", self.shown()),
                };
            }
        }
    }

    pub(crate) async fn whole(&mut self) -> Answer {
        self.try_whole().await.unwrap_or_else(|cut| panic!("the answer is cut: {cut:?}"))
    }
}

/// A request that asks to keep the connection.
pub(crate) fn request(method: &str, path: &str, fields: &str, body: &str) -> String {
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}")
}

/// An answer and its bytes; `None` while more must come, unless the connection has ended.
fn parse(bytes: &[u8], ended: bool) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.trim_end().lines();
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return parse(&bytes[end..], ended).map(|(answer, used)| (answer, used + end));
    }
    let mut fields: Vec<String> = lines
        .map(|line| {
            line.split_once(": ").map_or(line.to_owned(), |(name, value)| format!("{}: {value}", name.to_lowercase()))
        })
        .collect();
    fields.sort();
    let mut answer = Answer { status, fields, body: Vec::new() };
    let rest = &bytes[end..];
    let has_none = status == 204 || status == 304;
    if answer.field("transfer-encoding").is_some() {
        let (body, used, whole) = chunks(rest);
        answer.body = body;
        return (whole || ended).then_some((answer, end + used));
    }
    let length: Option<usize> = answer.field("content-length").and_then(|value| value.parse().ok());
    let length = if has_none { Some(0) } else { length };
    match length {
        Some(length) if rest.len() >= length => {
            answer.body = rest[..length].to_vec();
            Some((answer, end + length))
        }
        _ if ended => {
            answer.body = rest.to_vec();
            Some((answer, bytes.len()))
        }
        _ => None,
    }
}

/// The payload, the bytes it took, and whether its end has come.
fn chunks(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|part| part == b"\r\n") else { return (body, at, false) };
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let from = at + line + 2;
        let Some(chunk) = bytes.get(from..from + size + 2) else {
            body.extend_from_slice(&bytes[from..bytes.len().min(from + size)]);
            return (body, at, false);
        };
        body.extend_from_slice(&chunk[..size]);
        at = from + size + 2;
        if size == 0 {
            return (body, at, true);
        }
    }
}
