//! The one buffer of an exchange: bytes come in at its end and are used up from its front.

use std::ops::Range;

/// What a quiet exchange holds: some thirty events.
pub(super) const SMALL: usize = 8 << 10;
/// A buffer above this is given back as soon as what is left in it fits into a small one.
const KEEP: usize = 64 << 10;
/// With less room than this at the end, the bytes are moved to the front before the next read.
const CRAMPED: usize = 1 << 10;

/// A buffer that grows only for an event that does not fit, and shrinks back.
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

    /// Changes the bound for what comes from now on.
    pub(super) fn set_most(&mut self, most: usize) {
        self.most = most.saturating_add(SMALL);
    }

    /// What has come in and is not used up.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.held.clone()]
    }

    /// A part of what [`Self::bytes`] showed last, even when it has been used up since.
    pub(super) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Where [`Self::bytes`] starts in the buffer.
    pub(super) fn start(&self) -> usize {
        self.held.start
    }

    /// Uses up bytes from the front.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.held.start = (self.held.start + bytes).min(self.held.end);
    }

    /// Takes the framing out of bytes that lie at the end of what is held and were never shown: `decode` moves
    /// the payload to their front and says how long it is, the rest is forgotten.
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

    /// Takes in bytes written to [`Self::space`] and says where they lie.
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
            // Growing while less than half is free keeps the moving linear: a full half is read between moves.
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
