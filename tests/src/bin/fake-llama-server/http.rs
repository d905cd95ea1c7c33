//! HTTP/1.1 as far as a supervisor and its tests need it: heads by httparse, bodies by length or by chunks.

use crate::connection::{Connection, Gone};

const HEAD_LIMIT: usize = 64 * 1024;

/// One request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub key: Option<String>,
    /// The names of its headers, in lower case.
    pub headers: Vec<String>,
    pub traceparent: Option<String>,
    pub body: Vec<u8>,
}

struct Head {
    method: String,
    path: String,
    key: Option<String>,
    headers: Vec<String>,
    traceparent: Option<String>,
    length: usize,
    chunked: bool,
    bytes: usize,
}

/// Reads the next request of a connection.
pub(crate) async fn read_request(connection: &mut Connection) -> Result<Request, Gone> {
    let head = loop {
        if let Some(head) = parse_head(&connection.input)? {
            break head;
        }
        if connection.input.len() > HEAD_LIMIT {
            return Err(Gone);
        }
        connection.fill().await?;
    };
    connection.input.drain(..head.bytes);
    let body = if head.chunked { read_chunks(connection).await? } else { take(connection, head.length).await? };
    let Head { method, path, key, headers, traceparent, .. } = head;
    Ok(Request { method, path, key, headers, traceparent, body })
}

fn parse_head(input: &[u8]) -> Result<Option<Head>, Gone> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Gone),
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        key: None,
        headers: request.headers.iter().map(|header| header.name.to_ascii_lowercase()).collect(),
        traceparent: None,
        length: 0,
        chunked: false,
        bytes,
    };
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().map_err(|_| Gone)?,
            "transfer-encoding" => head.chunked = value.to_ascii_lowercase().contains("chunked"),
            "authorization" => head.key = value.strip_prefix("Bearer ").map(str::to_owned),
            "traceparent" => head.traceparent = Some(value.into_owned()),
            "x-api-key" => head.key = Some(value.into_owned()),
            _ => {}
        }
    }
    Ok(Some(head))
}

async fn take(connection: &mut Connection, count: usize) -> Result<Vec<u8>, Gone> {
    while connection.input.len() < count {
        connection.fill().await?;
    }
    Ok(connection.input.drain(..count).collect())
}

async fn read_chunks(connection: &mut Connection) -> Result<Vec<u8>, Gone> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = connection.input.windows(2).position(|pair| pair == b"\r\n") {
                break end;
            }
            connection.fill().await?;
        };
        let line = String::from_utf8_lossy(&connection.input[..end]).into_owned();
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).map_err(|_| Gone)?;
        take(connection, end + 2).await?;
        body.extend(take(connection, size).await?);
        take(connection, 2).await?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// Writes a whole JSON answer. The engine closes after a status of 400 or more; the caller does the closing.
pub(crate) async fn answer(connection: &mut Connection, status: u16, json: &str) -> Result<(), Gone> {
    answer_as(connection, status, "application/json; charset=utf-8", json).await
}

/// Writes a whole answer of any type, in one write.
pub(crate) async fn answer_as(connection: &mut Connection, status: u16, kind: &str, body: &str) -> Result<(), Gone> {
    let keep = if status < 400 { "Keep-Alive: timeout=5, max=100\r\n" } else { "Connection: close\r\n" };
    let reason = reason(status);
    let length = body.len();
    let whole = format!(
        "HTTP/1.1 {status} {reason}\r\nServer: llama.cpp\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{keep}\r\n{body}"
    );
    connection.write(whole.as_bytes()).await
}

/// The head of a stream.
pub(crate) const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nX-Accel-Buffering: no\r\n\
     Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n";

/// The end of a stream.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Adds one event, `data: …` and its blank line, as one chunk.
pub(crate) fn push_event(out: &mut Vec<u8>, json: &str) {
    push_chunk(out, &format!("data: {json}\n\n"));
}

/// Adds one chunk.
pub(crate) fn push_chunk(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:x}\r\n", text.len()).as_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The body of a refusal. The engine writes `code` first for what a route refuses.
pub(crate) fn error_body(status: u16, kind: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": status, "message": message, "type": kind}}).to_string()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
