//! Splits a stream of bytes into lines of bounded length.

/// Splits bytes into lines. Of a line longer than the limit the beginning is kept and the rest is dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    partial: Vec<u8>,
}

/// A buffer that grew beyond this is shrunk: one long line must not take memory for ever.
const KEEP: usize = 4 * 1024;

impl Lines {
    pub(crate) fn new(limit: usize) -> Lines {
        Lines { limit, partial: Vec::new() }
    }

    /// Adds bytes and passes on each line that they complete, without its end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() {
                line(trim(&head[..head.len().min(self.limit)]));
            } else {
                self.keep(head);
                line(trim(&self.partial));
                self.partial.clear();
                self.partial.shrink_to(KEEP);
            }
            bytes = rest;
        }
        self.keep(bytes);
    }

    /// Passes on the rest at the end of the stream.
    pub(crate) fn finish(self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(trim(&self.partial));
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
