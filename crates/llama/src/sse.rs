//! Splits a byte stream into server-sent events, in place and for any division of the bytes.
//!
//! The splitter stores offsets, not bytes: the caller owns the buffer, appends to it, and removes from its front the bytes
//! that a [`Block`] has used. Every byte is read once for any division of the stream, and nothing is allocated. Lines end in
//! `\n` or `\r\n`; the engine sends `data: {json}\n\n` and, as a ping, the comment `:\n\n`.

use std::ops::Range;

use memchr::memchr;

/// The text between two blank lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Bytes of the buffer that this block used; the next call must start after them.
    pub used: usize,
    /// The range of its data in the buffer, several `data` lines joined by `\n`; `None` for a block of comments and other
    /// fields.
    pub data: Option<Range<usize>>,
}

/// An event is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot take an event of more than {limit} bytes")]
pub struct TooLarge {
    /// The most bytes one event may have, framing included.
    pub limit: usize,
}

/// Finds the events in a growing buffer.
#[derive(Debug, Clone)]
pub struct Splitter {
    /// Where the current line starts, counted from the start of the current block.
    line: usize,
    /// Up to here every line end was found.
    scanned: usize,
    /// Complete lines of the current block.
    lines: usize,
    limit: usize,
}

impl Splitter {
    /// A splitter at the start of a stream that takes events of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { line: 0, scanned: 0, lines: 0, limit }
    }

    /// Finds the next complete block of `bytes`; `None` when more bytes are needed.
    ///
    /// `bytes` must start where the last block ended, and may only have grown at its end since the last call. Data of
    /// several lines is joined within the block, so the buffer is mutable.
    ///
    /// # Errors
    /// When the event is larger than the limit.
    pub fn next(&mut self, bytes: &mut [u8]) -> Result<Option<Block>, TooLarge> {
        loop {
            let found = bytes.get(self.scanned..).and_then(|rest| memchr(b'\n', rest));
            let Some(found) = found else {
                self.scanned = self.scanned.max(bytes.len());
                return if self.scanned > self.limit { Err(TooLarge { limit: self.limit }) } else { Ok(None) };
            };
            let newline = self.scanned + found;
            let start = std::mem::replace(&mut self.line, newline + 1);
            self.scanned = newline + 1;
            if self.scanned > self.limit {
                return Err(TooLarge { limit: self.limit });
            }
            if matches!(&bytes[start..newline], [] | [b'\r']) {
                let lines = std::mem::take(&mut self.lines);
                (self.line, self.scanned) = (0, 0);
                let data = match lines {
                    0 => None,
                    1 => data_of(&bytes[..start - 1], 0),
                    _ => join(&mut bytes[..start]),
                };
                return Ok(Some(Block { used: newline + 1, data }));
            }
            self.lines += 1;
        }
    }
}

/// The value of a line at `offset` of the buffer, if it is a `data` line.
fn data_of(line: &[u8], offset: usize) -> Option<Range<usize>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let skip = match line.strip_prefix(b"data")? {
        [] => 4,
        [b':', b' ', ..] => 6,
        [b':', ..] => 5,
        _ => return None,
    };
    Some(offset + skip..offset + line.len())
}

/// Moves the values of all `data` lines of a block together, separated by `\n`.
fn join(block: &mut [u8]) -> Option<Range<usize>> {
    let mut joined: Option<Range<usize>> = None;
    let mut at = 0;
    while let Some(length) = block.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        if let Some(value) = data_of(&block[at..at + length], at) {
            match &mut joined {
                None => joined = Some(value),
                Some(joined) => {
                    // The separator and the value fit: each value loses at least the four bytes of `data` before it and the
                    // line end after the previous one.
                    block[joined.end] = b'\n';
                    let length = value.len();
                    block.copy_within(value, joined.end + 1);
                    joined.end += 1 + length;
                }
            }
        }
        at += length + 1;
    }
    joined
}

#[cfg(test)]
mod tests;
