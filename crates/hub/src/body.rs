//! Writes what arrives: one thread hashes and writes while the runtime receives.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::HubError;
use crate::part::Part;

/// Pieces that may wait for the disk.
const QUEUE: usize = 64;
/// The most bytes at the start of a file that show what it is.
const HEAD: usize = 32;

/// The writing end of a part file.
pub(crate) struct BodyWriter {
    sender: mpsc::Sender<Bytes>,
    task: JoinHandle<(Part, Result<(), HubError>)>,
}

impl BodyWriter {
    pub(crate) fn start(mut part: Part) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(QUEUE);
        let task = spawn_blocking(move || {
            while let Some(bytes) = receiver.blocking_recv() {
                if let Err(fault) = part.append(&bytes) {
                    return (part, Err(fault));
                }
            }
            (part, Ok(()))
        });
        Self { sender, task }
    }

    /// Takes the next bytes; `false` where they cannot be written, which [`BodyWriter::end`] explains.
    pub(crate) async fn write(&self, bytes: Bytes) -> bool {
        self.sender.send(bytes).await.is_ok()
    }

    /// Waits until all is written.
    pub(crate) async fn end(self) -> Result<(Part, Result<(), HubError>), HubError> {
        drop(self.sender);
        self.task.await.map_err(|fault| HubError::Setup(fault.to_string()))
    }
}

/// The first bytes of a file, until there are enough to see what it is.
#[derive(Debug)]
pub(crate) struct Head {
    bytes: Vec<u8>,
    is_model: bool,
}

impl Head {
    /// For a file of which `have` bytes are here, so that its head was seen.
    pub(crate) fn new(name: &str, have: u64) -> Option<Self> {
        (have == 0).then(|| Self { bytes: Vec::new(), is_model: name.to_ascii_lowercase().ends_with(".gguf") })
    }

    /// Adds bytes; whether the head is long enough for [`Head::fault`].
    pub(crate) fn add(&mut self, bytes: &[u8]) -> bool {
        let missing = HEAD - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.bytes.len() == HEAD
    }

    /// What the file is, where it is no model.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let lower = self.bytes.to_ascii_lowercase();
        if self.bytes.starts_with(b"version https://git-lfs") {
            Some("a pointer of git-lfs")
        } else if self.is_model && !self.bytes.starts_with(b"GGUF") {
            let is_page =
                lower.trim_ascii_start().starts_with(b"<!doctype") || lower.trim_ascii_start().starts_with(b"<html");
            Some(if is_page { "a web page" } else { "something else than GGUF" })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_file_shows_what_it_is() {
        for (name, text, fault) in [
            ("m.gguf", "GGUF\u{3}", None),
            ("m.gguf", "version https://git-lfs.github.com/spec/v1\noid", Some("a pointer of git-lfs")),
            ("m.json", "version https://git-lfs.github.com/spec/v1\noid", Some("a pointer of git-lfs")),
            ("m.GGUF", "\n<!DOCTYPE html><html><body>sign in", Some("a web page")),
            ("m.gguf", "{\"error\":\"no\"}", Some("something else than GGUF")),
            ("m.gguf", "", Some("something else than GGUF")),
            ("m.json", "{}", None),
        ] {
            let mut head = Head::new(name, 0).unwrap();
            let full = text.as_bytes().chunks(3).map(|piece| head.add(piece)).last().unwrap_or(false);
            assert_eq!((head.fault(), full), (fault, text.len() >= HEAD), "{text}");
        }
        assert!(Head::new("m.gguf", 1).is_none());
    }
}
