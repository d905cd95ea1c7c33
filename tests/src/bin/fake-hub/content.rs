//! The content of files, whole or in part, as well and as badly as the switches want it.

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::Instant;

use crate::Server;
use crate::repositories::File;

/// Bytes of one read.
const PIECE: usize = 256 << 10;
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
const PAGE: &str = "<!DOCTYPE html>\n<html><body>Sign in to this network</body></html>\n";

/// The host of the content.
pub(crate) async fn signed(
    State(server): State<Arc<Server>>,
    method: Method,
    Path((owner, name, path)): Path<(String, String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    server.log.add("content", &method, uri.path(), &headers);
    if server.switches.take("expired").is_some() || uri.query() != Some("signature=secret") {
        return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into_response();
    }
    match server.repositories.find(&owner, &name, &path) {
        Some(file) => body(&server, &file, &headers).await,
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The answer with a file's content.
pub(crate) async fn body(server: &Server, file: &File, headers: &HeaderMap) -> Response {
    for (switch, text) in [("pointer", POINTER), ("html", PAGE)] {
        if server.switches.is_on(switch) {
            return text.into_response();
        }
    }
    let number = server.switches.take("etag").map(|_| Instant::now());
    let etag = match number {
        Some(now) => format!("\"{now:?}\""),
        None => format!("\"content-{}\"", &file.sha256[..8]),
    };
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let range = text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let range = range.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok())));
    let is_same = number.is_some() || text(header::IF_RANGE).is_none_or(|known| known == etag);
    let range = range.filter(|_| is_same && !server.switches.is_on("no-range"));
    let (status, start, end) = match range {
        None => (StatusCode::OK, 0, file.size),
        Some((start, _)) if start >= file.size || server.switches.take("refuse-range").is_some() => {
            let size = format!("bytes */{}", file.size);
            return (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, size)]).into_response();
        }
        Some((start, last)) => {
            let shift = u64::from(start > 0 && server.switches.take("shifted").is_some());
            (StatusCode::PARTIAL_CONTENT, start + shift, last.map_or(file.size, |last| file.size.min(last + 1)))
        }
    };
    let Some(body) = stream_of(server, file, start, end).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut answer =
        (status, [(header::ETAG, etag), (header::CONTENT_LENGTH, (end - start).to_string())], body).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let place = format!("bytes {start}-{}/{}", end - 1, file.size);
        answer.headers_mut().extend(place.parse().map(|place| (header::CONTENT_RANGE, place)));
    }
    answer
}

/// How a body ends before its time.
#[derive(Clone, Copy)]
enum End {
    Whole,
    Cut(u64),
    Stall(u64),
}

/// A body on its way.
struct Sending {
    file: tokio::fs::File,
    left: u64,
    sent: u64,
    end: End,
    damage: bool,
    rate: Option<u64>,
    begun: Instant,
}

async fn stream_of(server: &Server, file: &File, start: u64, end: u64) -> Option<Body> {
    let mut opened = tokio::fs::File::open(&file.place).await.ok()?;
    opened.seek(SeekFrom::Start(start)).await.ok()?;
    let early = server.switches.take("cut").map(End::Cut).or_else(|| server.switches.take("stall").map(End::Stall));
    let sending = Sending {
        file: opened,
        left: end - start,
        sent: 0,
        end: early.unwrap_or(End::Whole),
        damage: server.switches.take("damage").is_some(),
        rate: server.switches.number("rate"),
        begun: Instant::now(),
    };
    Some(Body::from_stream(stream::unfold(sending, |mut sending| async move {
        let piece = sending.piece().await.transpose()?;
        Some((piece, sending))
    })))
}

impl Sending {
    async fn piece(&mut self) -> std::io::Result<Option<Bytes>> {
        let mut most = self.left.min(PIECE as u64);
        match self.end {
            End::Cut(after) if self.sent >= after => return Err(std::io::ErrorKind::ConnectionReset.into()),
            End::Stall(after) if self.sent >= after => std::future::pending().await,
            End::Cut(after) | End::Stall(after) => most = most.min(after - self.sent),
            End::Whole => {}
        }
        if let Some(rate) = self.rate {
            let due = Duration::from_secs_f64(self.sent as f64 / rate as f64);
            tokio::time::sleep_until(self.begun + due).await;
        }
        let mut piece = vec![0; usize::try_from(most).unwrap_or(PIECE)];
        let count = self.file.read(&mut piece).await?;
        piece.truncate(count);
        if std::mem::take(&mut self.damage)
            && let Some(last) = piece.last_mut()
        {
            *last ^= 1;
        }
        self.left -= count as u64;
        self.sent += count as u64;
        Ok(Some(Bytes::from(piece)).filter(|piece| !piece.is_empty()))
    }
}
