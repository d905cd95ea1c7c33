//! The smallest HTTP client a test needs: one request, one connection, the whole answer; and a wait for a condition.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::MissedTickBehavior;

/// The polling interval of a condition behind HTTP, which has no event to wait for.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, chunks already joined.
    pub body: String,
}

/// `GET http://address/path`.
///
/// # Errors
/// The server cannot be reached, or its answer is not HTTP.
pub async fn get(address: &str, path: &str) -> std::io::Result<Answer> {
    exchange(TcpStream::connect(address).await?, "GET", path, "").await
}

/// `POST http://address/path` with a JSON body.
///
/// # Errors
/// The server cannot be reached, or its answer is not HTTP.
pub async fn post(address: &str, path: &str, body: &str) -> std::io::Result<Answer> {
    exchange(TcpStream::connect(address).await?, "POST", path, body).await
}

/// `GET` over a unix socket.
///
/// # Errors
/// The server cannot be reached, or its answer is not HTTP.
pub async fn get_unix(socket: &Path, path: &str) -> std::io::Result<Answer> {
    exchange(UnixStream::connect(socket).await?, "GET", path, "").await
}

/// `POST` over a unix socket.
///
/// # Errors
/// The server cannot be reached, or its answer is not HTTP.
pub async fn post_unix(socket: &Path, path: &str, body: &str) -> std::io::Result<Answer> {
    exchange(UnixStream::connect(socket).await?, "POST", path, body).await
}

/// Requests `path` until `fits`; panics with the last answer after `deadline`.
pub async fn until(address: &str, path: &str, deadline: Duration, fits: impl Fn(&Answer) -> bool) -> Answer {
    let mut last = None;
    let search = async {
        let mut tick = tokio::time::interval(ASK_AGAIN);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let answer = get(address, path).await;
            match answer {
                Ok(answer) if fits(&answer) => return answer,
                other => last = Some(other),
            }
        }
    };
    match tokio::time::timeout(deadline, search).await {
        Ok(answer) => answer,
        Err(_) => panic!("http://{address}{path} did not come to fit within {deadline:?}; last: {last:?}"),
    }
}

/// Waits until a metric with these labels (as written, in any order) fits.
pub async fn metric_until(address: &str, name: &str, labels: &[&str], deadline: Duration, fits: impl Fn(f64) -> bool) {
    until(address, "/metrics", deadline, |answer| metric(&answer.body, name, labels).is_some_and(&fits)).await;
}

/// The value of a metric in a Prometheus text; `labels` are parts like `model="m"` that must be in the braces.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, braces) = series.split_once('{').unwrap_or((series, ""));
        let fits = found == name && labels.iter().all(|label| braces.contains(label));
        fits.then(|| value.parse().ok())?
    })
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = parse(&bytes, false)? {
            return Ok(answer);
        }
        bytes.reserve(16 * 1024);
        if stream.read_buf(&mut bytes).await? == 0 {
            let cut = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer was cut");
            return parse(&bytes, true)?.ok_or_else(cut);
        }
    }
}

/// The answer, once it is whole; `ended` says that no more will come.
fn parse(bytes: &[u8], ended: bool) -> std::io::Result<Option<Answer>> {
    let odd = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("cannot read the {what}"));
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let start = match head.parse(bytes).map_err(|_| odd("head"))? {
        httparse::Status::Complete(start) => start,
        httparse::Status::Partial => return Ok(None),
    };
    let status = head.code.unwrap_or_default();
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(header.value).into_owned())
    };
    let body = &bytes[start..];
    let whole = if value("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        join_chunks(body).ok_or_else(|| odd("chunks"))?
    } else if let Some(length) = value("content-length").and_then(|value| value.parse::<usize>().ok()) {
        body.get(..length).map(<[u8]>::to_vec)
    } else {
        ended.then(|| body.to_vec())
    };
    Ok(whole.map(|body| Answer { status, body: String::from_utf8_lossy(&body).into_owned() }))
}

/// The beginning of an answer in chunks, with its head, as far as it has come: the chunks joined. Where a part of the body is
/// cut into chunks has no meaning, and a text may lie in two of them.
#[must_use]
pub fn joined_so_far(answer: &[u8]) -> Vec<u8> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return answer.to_vec() };
    let (head, body) = answer.split_at(end + 4);
    [head, &walk_chunks(body).0].concat()
}

/// `None` for nonsense, `Some(None)` while more must come.
fn join_chunks(body: &[u8]) -> Option<Option<Vec<u8>>> {
    match walk_chunks(body) {
        (whole, ChunksEnd::Whole) => Some(Some(whole)),
        (_, ChunksEnd::Partial) => Some(None),
        (_, ChunksEnd::Nonsense) => None,
    }
}

/// How the chunks of a body end.
enum ChunksEnd {
    Whole,
    /// More must come.
    Partial,
    Nonsense,
}

/// What has come of a body in chunks, joined.
fn walk_chunks(mut rest: &[u8]) -> (Vec<u8>, ChunksEnd) {
    let mut joined = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else { return (joined, ChunksEnd::Partial) };
        let line = std::str::from_utf8(&rest[..end]).ok().and_then(|line| line.split(';').next());
        let Some(size) = line.and_then(|size| usize::from_str_radix(size.trim(), 16).ok()) else {
            return (joined, ChunksEnd::Nonsense);
        };
        let body = &rest[end + 2..];
        joined.extend_from_slice(&body[..size.min(body.len())]);
        match (body.get(size + 2..), size) {
            (None, _) => return (joined, ChunksEnd::Partial),
            (Some(_), 0) => return (joined, ChunksEnd::Whole),
            (Some(next), _) => rest = next,
        }
    }
}
