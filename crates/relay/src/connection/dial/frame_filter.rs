//! Filters incoming WebSocket frames before the library reads them.
//!
//! The library ends a connection at a text message that is not UTF-8, and at one that is larger than allowed. Both are
//! faults of one job, and a router gives the job of a lost connection to the next connection, without end. So this filter
//! changes the type of text frames to binary (`connection::incoming` checks the text), and passes only the head of a message
//! that is too large, with a mark after it. The rest is not stored, so the bound on memory holds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much of a message that is too large is passed: its first keys, which hold the job's id.
const HEAD: u64 = 64 * 1024;
/// The mark after the head of such a message: two bytes that no JSON ends with. The size follows, as far as it is known.
const MARK: [u8; 2] = [0xff, b'L'];
/// The length of a mark.
pub(crate) const MARK_LENGTH: usize = MARK.len() + 8;
/// Bytes read from the socket at once.
const CHUNK: usize = 16 * 1024;
/// The longest head of a frame without a mask, which a server does not use.
const LONGEST_HEADER: usize = 10;

/// The head of a message that was too large, and its size.
pub(crate) fn cut_message(message: &[u8]) -> Option<(&[u8], u64)> {
    let (head, mark) = message.split_last_chunk::<MARK_LENGTH>()?;
    let size = mark.strip_prefix(&MARK)?.try_into().ok()?;
    Some((head, u64::from_be_bytes(size)))
}

/// A stream whose incoming frames are filtered.
#[derive(Debug)]
pub(crate) struct FilteredStream<S> {
    stream: S,
    filter: Filter,
    ready: BytesMut,
}

impl<S> FilteredStream<S> {
    /// Filters the frames after the HTTP answer to the upgrade; messages of more than `limit` bytes are cut.
    pub(crate) fn new(stream: S, limit: usize) -> Self {
        let filter =
            Filter { state: FilterState::Answer { matched: 0 }, limit: limit as u64, message: 0, skipping: false };
        Self { stream, filter, ready: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FilteredStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() {
            let mut chunk = [0; CHUNK];
            let mut read = ReadBuf::new(&mut chunk);
            match Pin::new(&mut this.stream).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if read.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => this.filter.feed(read.filled(), &mut this.ready),
                other => return other,
            }
        }
        let length = this.ready.len().min(out.remaining());
        out.put_slice(&this.ready[..length]);
        this.ready.advance(length);
        if this.ready.is_empty() {
            // An idle connection holds no buffer.
            this.ready = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FilteredStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// The state of the filter.
#[derive(Debug)]
struct Filter {
    state: FilterState,
    limit: u64,
    /// Bytes of the present message so far, over all its frames.
    message: u64,
    /// The present message was cut, and more frames of it come.
    skipping: bool,
}

#[derive(Debug, Clone, Copy)]
enum FilterState {
    /// In the HTTP answer to the upgrade; `matched` bytes of its end have been read.
    Answer { matched: usize },
    /// In a frame's head.
    Header { bytes: [u8; LONGEST_HEADER], have: usize },
    /// `left` bytes are passed; then the message ends as `then` says.
    Passing { left: u64, then: Option<CutMessage> },
    /// `left` bytes are dropped.
    Dropping { left: u64 },
}

/// The end of a message that is too large.
#[derive(Debug, Clone, Copy)]
struct CutMessage {
    /// The message's size as far as it is known.
    size: u64,
    /// Bytes of this frame that are dropped.
    dropped: u64,
}

const NEXT_FRAME: FilterState = FilterState::Header { bytes: [0; LONGEST_HEADER], have: 0 };
const END_OF_ANSWER: &[u8; 4] = b"\r\n\r\n";

impl Filter {
    fn feed(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while let Some(first) = bytes.first().copied() {
            match &mut self.state {
                FilterState::Answer { matched } => {
                    *matched = match END_OF_ANSWER.get(*matched) {
                        Some(wanted) if *wanted == first => *matched + 1,
                        _ => usize::from(first == b'\r'),
                    };
                    out.extend_from_slice(&[first]);
                    bytes = &bytes[1..];
                    if *matched == END_OF_ANSWER.len() {
                        self.state = NEXT_FRAME;
                    }
                }
                FilterState::Header { bytes: header, have } => {
                    header[*have] = first;
                    *have += 1;
                    bytes = &bytes[1..];
                    if *have == header_length(header, *have) {
                        let (header, have) = (*header, *have);
                        self.begin(&header[..have], out);
                    }
                }
                FilterState::Passing { left, .. } => {
                    let length = take(bytes, left);
                    out.extend_from_slice(&bytes[..length]);
                    bytes = &bytes[length..];
                }
                FilterState::Dropping { left } => {
                    let length = take(bytes, left);
                    bytes = &bytes[length..];
                }
            }
            self.end_frame(out);
        }
    }

    /// A frame's head is complete.
    fn begin(&mut self, header: &[u8], out: &mut BytesMut) {
        let (code, length) = (header[0] & 0x0f, payload_length(header));
        let (is_control, is_last) = (code >= 8, header[0] & 0x80 != 0);
        if is_control {
            out.extend_from_slice(header);
            self.state = FilterState::Passing { left: length, then: None };
            return;
        }
        if code != 0 {
            (self.message, self.skipping) = (0, false);
        }
        let was_cut = self.skipping;
        self.skipping = was_cut && !is_last;
        if was_cut {
            self.state = FilterState::Dropping { left: length };
            return;
        }
        self.message = self.message.saturating_add(length);
        let binary = if code == 1 { 2 } else { code };
        if self.message <= self.limit {
            out.extend_from_slice(&[header[0] & 0xf0 | binary]);
            out.extend_from_slice(&header[1..]);
            self.state = FilterState::Passing { left: length, then: None };
            return;
        }
        let kept = if code == 0 { 0 } else { length.min(HEAD).min(self.limit) };
        // This is the last frame that is passed, whatever the router's flag says.
        out.extend_from_slice(&[0x80 | binary, 127]);
        out.extend_from_slice(&(kept + MARK_LENGTH as u64).to_be_bytes());
        self.skipping = !is_last;
        let cut = CutMessage { size: self.message, dropped: length - kept };
        self.state = FilterState::Passing { left: kept, then: Some(cut) };
    }

    /// Changes the state when a frame, or a part of it, is complete.
    fn end_frame(&mut self, out: &mut BytesMut) {
        if let FilterState::Passing { left: 0, then: Some(cut) } = self.state {
            out.extend_from_slice(&MARK);
            out.extend_from_slice(&cut.size.to_be_bytes());
            self.state = FilterState::Dropping { left: cut.dropped };
        }
        if matches!(self.state, FilterState::Passing { left: 0, .. } | FilterState::Dropping { left: 0 }) {
            self.state = NEXT_FRAME;
        }
    }
}

/// How many of the `left` bytes are in `bytes`; they are subtracted from `left`.
fn take(bytes: &[u8], left: &mut u64) -> usize {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= length as u64;
    length
}

/// The length of a frame's head, of which `have` bytes are known.
fn header_length(header: &[u8], have: usize) -> usize {
    match header[1] & 0x7f {
        _ if have < 2 => 2,
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// The number of bytes after the head. A mask counts as payload: the library refuses a mask from a server.
fn payload_length(header: &[u8]) -> u64 {
    let length = match header[1] & 0x7f {
        126 | 127 => header[2..].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        short => u64::from(short),
    };
    length.saturating_add(if header[1] & 0x80 != 0 { 4 } else { 0 })
}

#[cfg(test)]
mod tests;
