//! The `logprobs` of a stream: with their text where the worker sends them so, else at the end.

use auxot_protocol::Json;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The entries that arrived with text, in order.
#[derive(Debug, Default)]
pub(super) struct Logprobs {
    /// Entries for the open chunk, separated by commas.
    waiting: String,
    /// All entries that arrived with text, the waiting ones included.
    count: usize,
}

impl Logprobs {
    /// Bytes that are in no chunk yet.
    pub(super) fn unread(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the entries of one piece of text. Unreadable ones are left to the end.
    pub(super) fn add(&mut self, logprobs: &Json) {
        let entries = entries(logprobs);
        self.count += entries.len();
        self.wait(&entries);
    }

    /// Writes the waiting entries as a field of a choice.
    pub(super) fn write(&mut self, bytes: &mut Vec<u8>) {
        if !self.waiting.is_empty() {
            bytes.extend_from_slice(b",\"logprobs\":{\"content\":[");
            bytes.extend_from_slice(self.waiting.as_bytes());
            bytes.extend_from_slice(b"]}");
            self.waiting = String::new();
        }
    }

    /// The entries of `all` for the last chunk: those that came with no text.
    pub(super) fn rest(&mut self, all: &Json) -> Option<Json> {
        if self.count == 0 {
            return Some(all.clone());
        }
        self.wait(entries(all).get(self.count..).unwrap_or_default());
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return None;
        }
        RawValue::from_string(format!("{{\"content\":[{waiting}]}}")).ok().map(Json)
    }

    fn wait(&mut self, entries: &[&RawValue]) {
        for entry in entries {
            let comma = if self.waiting.is_empty() { "" } else { "," };
            self.waiting.extend([comma, entry.get()]);
        }
    }
}

fn entries(logprobs: &Json) -> Vec<&RawValue> {
    #[derive(Default, Deserialize)]
    struct LogprobsContent<'a> {
        #[serde(borrow, default)]
        content: Option<Vec<&'a RawValue>>,
    }
    serde_json::from_str::<LogprobsContent<'_>>(logprobs.0.get()).unwrap_or_default().content.unwrap_or_default()
}
