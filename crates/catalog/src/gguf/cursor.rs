//! A reader that checks every length against what is left of the file before it allocates or skips.

use std::io::{Read, Seek, SeekFrom};

use super::GgufError;

/// Read at once. Headers are dense: a vocabulary of 262,144 words is 6 MB of little strings.
const BUFFER: usize = 64 * 1024;
/// A header longer than this is refused; the longest real ones are about 30 MB.
const MAX_HEADER: u64 = 256 << 20;

/// A position in a file of known length.
pub(super) struct Cursor<R> {
    source: R,
    buffer: Box<[u8]>,
    /// The unread part of the buffer.
    start: usize,
    end: usize,
    /// File position of `buffer[start]`.
    position: u64,
    len: u64,
    /// Bytes that went through the buffer so far.
    fetched: u64,
}

impl<R: Read + Seek> Cursor<R> {
    pub(super) fn new(source: R, len: u64) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { source, buffer, start: 0, end: 0, position: 0, len, fetched: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        if self.end - self.start < N {
            self.check(what, N as u64)?;
            self.refill(N)?;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.buffer[self.start..self.start + N]);
        self.advance(N);
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        self.bytes(what).map(u64::from_le_bytes)
    }

    /// Reads a count of things that take `each` bytes or more, all of which must be in the file.
    pub(super) fn count(&mut self, what: &'static str, each: u64) -> Result<u64, GgufError> {
        let count = self.u64(what)?;
        self.check(what, count.saturating_mul(each))?;
        Ok(count)
    }

    /// Reads a text of at most `limit` bytes. Bytes that are no UTF-8 are replaced.
    pub(super) fn text(&mut self, what: &'static str, limit: u64) -> Result<Box<str>, GgufError> {
        let len = self.count(what, 1)?;
        if len > limit {
            return Err(GgufError::LimitReached { what: "bytes in a name", count: len, limit });
        }
        self.text_of(what, len)
    }

    /// Reads a text whose length was read and bounded before.
    pub(super) fn text_of(&mut self, what: &'static str, len: u64) -> Result<Box<str>, GgufError> {
        let len = len as usize;
        debug_assert!(len <= BUFFER, "callers bound the length of what they keep");
        if self.end - self.start < len {
            self.check(what, len as u64)?;
            self.refill(len)?;
        }
        let text = String::from_utf8_lossy(&self.buffer[self.start..self.start + len]).into();
        self.advance(len);
        Ok(text)
    }

    pub(super) fn skip(&mut self, what: &'static str, len: u64) -> Result<(), GgufError> {
        let buffered = (self.end - self.start) as u64;
        if len <= buffered {
            self.advance(len as usize);
            return Ok(());
        }
        self.check(what, len)?;
        self.position += len;
        (self.start, self.end) = (0, 0);
        self.source.seek(SeekFrom::Start(self.position)).map_err(|e| self.io(&e))?;
        Ok(())
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        self.position += len as u64;
    }

    fn check(&self, what: &'static str, needs: u64) -> Result<(), GgufError> {
        let left = self.len.saturating_sub(self.position);
        if needs > left { Err(GgufError::Cut { what, at: self.position, needs, left }) } else { Ok(()) }
    }

    /// Fills the buffer until it holds `needs` bytes, which is at most its size.
    fn refill(&mut self, needs: usize) -> Result<(), GgufError> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        while self.end < needs {
            match self.source.read(&mut self.buffer[self.end..]) {
                // The file became shorter while we read it.
                Ok(0) => {
                    let left = self.end as u64;
                    return Err(GgufError::Cut { what: "header", at: self.position, needs: needs as u64, left });
                }
                Ok(n) => {
                    self.end += n;
                    self.fetched += n as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.io(&e)),
            }
        }
        if self.fetched > MAX_HEADER {
            return Err(GgufError::LimitReached { what: "bytes of header", count: self.fetched, limit: MAX_HEADER });
        }
        Ok(())
    }

    fn io(&self, error: &std::io::Error) -> GgufError {
        GgufError::Io { at: self.position, kind: error.kind() }
    }
}
