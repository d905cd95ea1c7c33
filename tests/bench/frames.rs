//! The router's side of a WebSocket, by hand: a length, a mask, and the type of the message.

use std::ops::Range;

use anyhow::ensure;

/// Size of one read.
const READ: usize = 256 * 1024;

/// The kind of a frame, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Hello,
    Token,
    Complete,
    Error,
    Ping,
    Other,
}

/// One frame in the buffer of [`Frames`].
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub said: Said,
    payload: Range<usize>,
}

/// Frames found in a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    input: Vec<u8>,
    used: usize,
}

impl Frames {
    /// The space for the next read; consumed bytes are dropped.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.reserve(READ);
        &mut self.input
    }

    /// The next whole frame, unmasked in place.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        let bytes = &self.input[self.used..];
        let [first, second, ..] = *bytes else { return Ok(None) };
        ensure!(first & 0x80 != 0 && second & 0x80 != 0, "a worker sends whole, masked frames");
        let (length, at) = match second & 0x7f {
            126 => match bytes.get(2..4) {
                Some(length) => (length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), 4),
                None => return Ok(None),
            },
            127 => match bytes.get(2..10) {
                Some(length) => (length.iter().fold(0, |all, byte| all << 8 | usize::from(*byte)), 10),
                None => return Ok(None),
            },
            length => (usize::from(length), 2),
        };
        let Some(&[a, b, c, d]) = bytes.get(at..at + 4) else { return Ok(None) };
        if bytes.len() < at + 4 + length {
            return Ok(None);
        }
        let start = self.used + at + 4;
        let payload = start..start + length;
        unmask(&mut self.input[payload.clone()], [a, b, c, d]);
        self.used = payload.end;
        Ok(Some(Frame { said: said(first & 0x0f, &self.input[payload.clone()]), payload }))
    }

    /// The content of a frame in this buffer; valid until the next [`Frames::space`].
    pub(crate) fn payload(&self, frame: &Frame) -> &[u8] {
        &self.input[frame.payload.clone()]
    }
}

/// A frame as a server sends it.
pub(crate) fn encode(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..65_536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        for (byte, mask) in word.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The type is the first field of every message that a worker writes.
fn said(opcode: u8, payload: &[u8]) -> Said {
    if opcode == 9 {
        return Said::Ping;
    }
    match payload.strip_prefix(br#"{"type":""#).and_then(|rest| rest.split(|byte| *byte == b'"').next()) {
        Some(b"hello") => Said::Hello,
        Some(b"token") => Said::Token,
        Some(b"complete") => Said::Complete,
        Some(b"error") => Said::Error,
        _ => Said::Other,
    }
}
