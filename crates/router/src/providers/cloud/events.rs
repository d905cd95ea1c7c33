//! Reads a stream of events: passes whole events on, and knows the last one and a wrong one.

use auxot_llama::sse::Splitter;
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The largest event.
const LARGEST_EVENT: usize = 8 << 20;

/// Why a stream is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrongStream {
    NoJson,
    TooLarge,
    /// The provider reports an error in place of the answer, or of its rest.
    Error,
}

/// How the last event of a stream is known.
#[derive(Debug, Clone, Copy)]
enum LastEvent {
    /// `[DONE]`.
    Done,
    /// Its type is one of these.
    Type(&'static [&'static str]),
    /// Either: some servers end a stream of audio as a chat.
    TypeOrDone(&'static str),
}

/// The stream as far as it is read.
#[derive(Debug)]
pub(super) struct EventReader {
    splitter: Splitter,
    /// Bytes after the last whole event. The splitter may change them in place.
    pending: Vec<u8>,
    /// The same as they came.
    raw: BytesMut,
    last: LastEvent,
    has_data: bool,
    is_over: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

impl EventReader {
    /// For the answer to a path.
    pub(super) fn for_path(path: &str) -> Self {
        let last = match path {
            "/v1/messages" => LastEvent::Type(&["message_stop"]),
            "/v1/responses" => LastEvent::Type(&["response.completed", "response.incomplete", "response.failed"]),
            "/v1/audio/transcriptions" => LastEvent::TypeOrDone("transcript.text.done"),
            "/v1/audio/speech" => LastEvent::TypeOrDone("speech.audio.done"),
            _ => LastEvent::Done,
        };
        Self {
            splitter: Splitter::new(LARGEST_EVENT),
            pending: Vec::new(),
            raw: BytesMut::new(),
            last,
            has_data: false,
            is_over: false,
        }
    }

    /// Whether an event with data has come.
    pub(super) fn has_data(&self) -> bool {
        self.has_data
    }

    /// Whether the last event has come.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes bytes, and returns the whole events that are passed on now: none before the first with data. An event behind
    /// the last is dropped.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Bytes, WrongStream> {
        self.pending.extend_from_slice(bytes);
        self.raw.extend_from_slice(bytes);
        let mut used = 0;
        while !self.is_over {
            let next = self.splitter.next(&mut self.pending[used..]).map_err(|_| WrongStream::TooLarge)?;
            let Some(block) = next else { break };
            if let Some(data) = block.data {
                self.check(used + data.start..used + data.end)?;
            }
            used += block.used;
        }
        self.pending.drain(..used);
        if !self.has_data {
            self.raw.truncate(0);
            self.raw.extend_from_slice(&self.pending);
            return Ok(Bytes::new());
        }
        Ok(self.raw.split_to(used).freeze())
    }

    fn check(&mut self, data: std::ops::Range<usize>) -> Result<(), WrongStream> {
        let data = &self.pending[data];
        self.has_data = true;
        if data == b"[DONE]" {
            self.is_over = !matches!(self.last, LastEvent::Type(_));
            return Ok(());
        }
        if !data.trim_ascii_start().starts_with(b"{") {
            return Err(WrongStream::NoJson);
        }
        let event: Event<'_> = serde_json::from_slice(data).map_err(|_| WrongStream::NoJson)?;
        if event.error.is_some() {
            return Err(WrongStream::Error);
        }
        let is_one_of = |kinds: &[&str]| event.kind.is_some_and(|kind| kinds.contains(&&*kind));
        self.is_over = match self.last {
            LastEvent::Done => false,
            LastEvent::Type(kinds) => is_one_of(kinds),
            LastEvent::TypeOrDone(kind) => is_one_of(&[kind]),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &str = "/v1/chat/completions";

    fn read(path: &str, parts: &[&str]) -> (String, Result<bool, WrongStream>) {
        let (mut reader, mut passed) = (EventReader::for_path(path), String::new());
        for part in parts {
            match reader.read(part.as_bytes()) {
                Ok(bytes) => passed.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(wrong) => return (passed, Err(wrong)),
            }
        }
        (passed, Ok(reader.is_over()))
    }

    #[test]
    fn whole_events_are_passed_on_as_they_came_up_to_the_last() {
        let stream = "data: {\"a\":1}\n\n: note\n\ndata: {\"b\":\r\ndata: 2}\r\n\r\ndata: [DONE]\n\n";
        let expected = (stream.to_owned(), Ok(true));
        assert_eq!(read(CHAT, &[stream]), expected);
        let single: Vec<&str> = stream.split_inclusive(|_| true).collect();
        assert_eq!(read(CHAT, &single), expected, "byte by byte");
        assert_eq!(read(CHAT, &[stream, "data: {\"more\":1}\n\n"]), expected);
        assert_eq!(read(CHAT, &["data: {\"a\":1}\n\ndata: {\"b"]), ("data: {\"a\":1}\n\n".to_owned(), Ok(false)));
    }

    #[test]
    fn the_last_event_is_that_of_the_api() {
        let ends = |path: &str, data: &str| read(path, &[&format!("event: x\ndata: {data}\n\n")]).1.unwrap();
        assert!(ends("/v1/messages", r#"{"type":"message_stop"}"#));
        assert!(!ends("/v1/messages", r#"{"type":"message_delta"}"#) && !ends("/v1/messages", "[DONE]"));
        for kind in ["completed", "incomplete", "failed"] {
            assert!(ends("/v1/responses", &format!(r#"{{"type":"response.{kind}","error":null}}"#)));
        }
        for (path, kind) in [("transcriptions", "transcript.text"), ("speech", "speech.audio")] {
            let (path, done) = (format!("/v1/audio/{path}"), format!(r#"{{"type":"{kind}.done"}}"#));
            assert!(ends(&path, &done) && ends(&path, "[DONE]") && !ends(&path, r#"{"type":"transcript.text.delta"}"#));
        }
        assert!(ends(CHAT, "[DONE]") && !ends(CHAT, r#"{"type":"message_stop"}"#));
    }

    #[test]
    fn comments_before_the_first_data_are_not_passed_on_and_wrong_events_end_it() {
        assert_eq!(read(CHAT, &[": wait\n\n", ": wait\n\nda"]), (String::new(), Ok(false)));
        let (passed, _) = read(CHAT, &[": wait\n\nda", "ta: {}\n\n"]);
        assert_eq!(passed, "data: {}\n\n");
        let good = "data: {}\n\n".to_owned();
        for (event, wrong) in [
            ("data: <html>\n\n", WrongStream::NoJson),
            ("data: {\"a\n\n", WrongStream::NoJson),
            ("data: [1]\n\n", WrongStream::NoJson),
            ("data: {\"error\":{\"message\":\"no\"}}\n\n", WrongStream::Error),
        ] {
            assert_eq!(read(CHAT, &["data: {}\n\n", event]), (good.clone(), Err(wrong)), "{event}");
        }
        let long = "x".repeat(LARGEST_EVENT + 1);
        assert_eq!(read(CHAT, &["data: {}\n\n", &long]), (good, Err(WrongStream::TooLarge)));
    }
}
