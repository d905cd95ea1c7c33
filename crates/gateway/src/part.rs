//! A part of an answer's body on its way: one read of the engine, framed in place for the client.

use std::cell::RefCell;

/// The most bytes of one part: some thirty events.
const SIZE: usize = 8 << 10;
/// Room for the length of a chunk before it, and for the end of the body behind it.
const BEFORE: usize = 6;
const AFTER: usize = 7;

/// The end of a body in chunks.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// How a body is framed for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    /// Its length is announced, or it ends with the connection.
    Plain,
    /// There is no body, or no more of it.
    Ended,
}

/// The bytes of one part.
pub(crate) struct Part([u8; BEFORE + SIZE + AFTER]);

thread_local! {
    /// One for all answers of a thread: it is filled and written within one poll. Memory of its own for each poll would have
    /// to be zeroed each time, which pushes what the processor needs out of its cache.
    static PART: RefCell<Part> = const { RefCell::new(Part::new()) };
}

impl Part {
    const fn new() -> Self {
        Self([0; BEFORE + SIZE + AFTER])
    }

    /// Lends this thread's part. Calls must not be nested.
    pub(crate) fn lend<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        PART.with_borrow_mut(work)
    }

    /// Where an engine's bytes are read to.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.0[BEFORE..BEFORE + SIZE]
    }

    /// The first `length` bytes of the space.
    pub(crate) fn bytes(&self, length: usize) -> &[u8] {
        &self.0[BEFORE..BEFORE + length]
    }

    /// The first `length` bytes of the space with their framing, and the end of the body behind the last ones.
    pub(crate) fn framed(&mut self, length: usize, framing: Framing, is_last: bool) -> &[u8] {
        let end = BEFORE + length;
        match framing {
            Framing::Ended => &[],
            Framing::Plain => &self.0[BEFORE..end],
            Framing::Chunked => {
                let size = format!("{length:x}\r\n");
                let start = BEFORE - size.len();
                self.0[start..BEFORE].copy_from_slice(size.as_bytes());
                let tail: &[u8] = if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
                self.0[end..end + tail.len()].copy_from_slice(tail);
                &self.0[start..end + tail.len()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_framed_in_place() {
        let mut part = Part::new();
        part.space()[..2].copy_from_slice(b"hi");
        assert_eq!(part.bytes(2), b"hi");
        assert_eq!(part.framed(2, Framing::Plain, true), b"hi");
        assert_eq!(part.framed(2, Framing::Chunked, false), b"2\r\nhi\r\n");
        assert_eq!(part.framed(2, Framing::Chunked, true), b"2\r\nhi\r\n0\r\n\r\n");
        assert_eq!(part.framed(2, Framing::Ended, true), b"");
        part.space().fill(b'x');
        assert_eq!(part.framed(SIZE, Framing::Chunked, true).len(), BEFORE + SIZE + AFTER);
    }
}
