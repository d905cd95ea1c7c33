//! Cuts a stream of bytes into lines of bounded length.

/// The cutter. Of a line longer than the limit the beginning is given and the rest is let go.
#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    partial: Vec<u8>,
}

/// A kept buffer that grew beyond this is given back: one long line must not cost memory for ever.
const KEEP: usize = 4 * 1024;

impl Lines {
    pub(crate) fn new(limit: usize) -> Lines {
        Lines { limit, partial: Vec::new() }
    }

    /// Takes in bytes and gives each line that they complete, without its end.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() {
                line(trim(&head[..head.len().min(self.limit)]));
            } else {
                self.hold(head);
                line(trim(&self.partial));
                self.partial.clear();
                self.partial.shrink_to(KEEP);
            }
            bytes = rest;
        }
        self.hold(bytes);
    }

    /// Gives what is left at the end of the stream.
    pub(crate) fn finish(self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(trim(&self.partial));
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.limit - self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn trim(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
