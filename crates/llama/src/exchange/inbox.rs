//! The buffer of an exchange: bytes are added at its end and consumed at its front.

use std::ops::Range;

/// The initial size: some thirty events.
pub(super) const SMALL: usize = 8 << 10;
/// A larger buffer is replaced by a small one as soon as its bytes fit into that.
const KEEP: usize = 64 << 10;
/// With less space than this at the end, the bytes are moved to the front before the next read.
const CRAMPED: usize = 1 << 10;

/// A buffer that grows only for an event that does not fit, and shrinks again.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    held: Range<usize>,
    most: usize,
}

impl Inbox {
    /// An inbox that can hold at least `most` bytes at once.
    pub(super) fn new(most: usize) -> Self {
        Self { buffer: vec![0; SMALL], held: 0..0, most: most.saturating_add(SMALL) }
    }

    /// The bytes that are not consumed.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.held.clone()]
    }

    /// A part of what [`Self::bytes`] returned last, even when it was consumed since.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Where [`Self::bytes`] starts in the buffer.
    pub(super) fn start(&self) -> usize {
        self.held.start
    }

    /// Consumes bytes at the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.held.start = (self.held.start + bytes).min(self.held.end);
    }

    /// Removes the framing from bytes at the end that [`Self::bytes`] has not returned yet: `decode` moves the payload to
    /// their front and returns its length; the rest is dropped.
    pub(super) fn decode<E>(
        &mut self,
        raw: Range<usize>,
        decode: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.held.end = raw.start;
        let payload = decode(&mut self.buffer[raw])?;
        self.held.end += payload;
        Ok(payload)
    }

    /// Where the next bytes may be written; empty only when the bound is reached.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.make_room();
        &mut self.buffer[self.held.end..]
    }

    /// Adds bytes that were written to [`Self::space`] and returns their range.
    pub(super) fn accept(&mut self, bytes: usize) -> Range<usize> {
        let raw = self.held.end..self.held.end + bytes;
        self.held.end = raw.end;
        raw
    }

    fn make_room(&mut self) {
        let length = self.held.len();
        if self.buffer.len() > KEEP && length <= SMALL / 2 {
            let mut small = vec![0; SMALL];
            small[..length].copy_from_slice(&self.buffer[self.held.clone()]);
            (self.buffer, self.held) = (small, 0..length);
        } else if length == 0 {
            self.held = 0..0;
        } else if self.buffer.len() - self.held.end < CRAMPED {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..length;
            // Growing while less than half is free keeps the cost of moving linear: half a buffer is read between moves.
            if length > self.buffer.len() / 2 {
                let bigger = (self.buffer.len() * 2).min(self.most).max(self.buffer.len());
                self.buffer.resize(bigger, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(inbox: &mut Inbox, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let space = inbox.space();
            let length = space.len().min(bytes.len());
            if length == 0 {
                return false;
            }
            space[..length].copy_from_slice(&bytes[..length]);
            inbox.accept(length);
            bytes = &bytes[length..];
        }
        true
    }

    #[test]
    fn it_stays_small_while_events_are_small() {
        let mut inbox = Inbox::new(1 << 20);
        for round in 0..1000_u32 {
            assert!(push(&mut inbox, &[round as u8; 700]));
            assert_eq!(inbox.bytes().len(), 700);
            assert!(inbox.bytes().iter().all(|byte| *byte == round as u8));
            inbox.consume(700);
        }
        assert_eq!(inbox.buffer.len(), SMALL);
    }

    #[test]
    fn it_grows_for_one_big_event_and_shrinks_back() {
        let mut inbox = Inbox::new(1 << 20);
        let big: Vec<u8> = (0..900_000_u32).map(|number| number as u8).collect();
        assert!(push(&mut inbox, b"xyz"));
        inbox.consume(3);
        assert!(push(&mut inbox, &big));
        assert!(inbox.bytes() == big);
        inbox.consume(899_990);
        assert!(push(&mut inbox, b"next"));
        assert_eq!(inbox.buffer.len(), SMALL);
        assert_eq!(inbox.bytes().len(), 14);
        assert!(inbox.bytes().ends_with(b"next"));
    }

    #[test]
    fn it_never_passes_its_bound() {
        let mut inbox = Inbox::new(100_000);
        assert!(!push(&mut inbox, &[1; 200_000]));
        assert!(inbox.bytes().len() >= 100_000 && inbox.buffer.len() <= 100_000 + SMALL);
    }
}
