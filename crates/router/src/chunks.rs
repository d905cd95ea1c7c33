//! The bytes of a streamed answer: OpenAI chunks as server-sent events, written as the text arrives.
//!
//! Text is escaped once, directly into the bytes for the socket. The last chunk stays open until the reader takes the
//! bytes: text of the same channel that arrives before goes into the same chunk. There is no other merging.

mod logprobs;

use bytes::Bytes;
use serde::Serialize;

use auxot_protocol::{Complete, Json};

use crate::chunks::logprobs::Logprobs;
use crate::failure::Failure;
use crate::openai::{CallDelta, FinishChoice, TokenUsage};

/// One of the two texts of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    /// The answer itself.
    Answer,
    /// The chain of thought.
    Reasoning,
}

/// Bytes for one client.
#[derive(Debug)]
pub(crate) struct Chunks {
    bytes: Vec<u8>,
    /// `data: {"id":…,"model":`.
    before_model: Box<[u8]>,
    /// `data: {"id":…,"choices":[` without the choice.
    head: Box<[u8]>,
    open: Option<Channel>,
    logprobs: Logprobs,
    begun: bool,
    usage: bool,
}

impl Chunks {
    /// For the answer `id` of `model`; `usage` asks for a last chunk with the counts.
    pub(crate) fn new(id: &str, created: u64, model: &str, usage: bool) -> Self {
        let mut before_model = b"data: {\"id\":".to_vec();
        quote(&mut before_model, id);
        before_model.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        before_model.extend_from_slice(created.to_string().as_bytes());
        before_model.extend_from_slice(b",\"model\":");
        let mut chunks = Self {
            bytes: Vec::new(),
            before_model: before_model.into(),
            head: Box::default(),
            open: None,
            logprobs: Logprobs::default(),
            begun: false,
            usage,
        };
        chunks.set_model(model);
        chunks
    }

    /// Sets the name of the model, unless a chunk has been written: one answer has one name.
    pub(crate) fn set_model(&mut self, model: &str) {
        if self.begun {
            return;
        }
        let mut head = self.before_model.to_vec();
        quote(&mut head, model);
        head.extend_from_slice(b",\"choices\":[");
        self.head = head.into();
    }

    /// Bytes that the reader has not taken yet.
    pub(crate) fn unread(&self) -> usize {
        self.bytes.len() + self.logprobs.unread()
    }

    /// Whether any byte has been written.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Appends text.
    pub(crate) fn text(&mut self, channel: Channel, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.open != Some(channel) {
            self.close();
            self.begin();
            self.bytes.extend_from_slice(&self.head);
            self.bytes.extend_from_slice(match channel {
                Channel::Answer => b"{\"index\":0,\"delta\":{\"content\":\"",
                Channel::Reasoning => b"{\"index\":0,\"delta\":{\"reasoning_content\":\"",
            });
            self.open = Some(channel);
        }
        escape(&mut self.bytes, text);
    }

    /// Appends the `logprobs` of the last text.
    pub(crate) fn logprobs(&mut self, logprobs: &Json) {
        self.logprobs.add(logprobs);
    }

    /// Appends the end of a complete answer: tool calls, the finish reason, the counts, `[DONE]`.
    pub(crate) fn finish(&mut self, complete: &Complete<'_>) {
        self.close();
        self.begin();
        for (index, call) in complete.tool_calls.iter().enumerate() {
            self.choice(&CallDelta::choice(index, call));
        }
        let logprobs = complete.logprobs.as_ref().and_then(|all| self.logprobs.rest(all));
        self.choice(&FinishChoice::of(complete, logprobs));
        if let Some(usage) = TokenUsage::of(complete).filter(|_| self.usage) {
            self.bytes.extend_from_slice(&self.head);
            self.bytes.extend_from_slice(b"],\"usage\":");
            json(&mut self.bytes, &usage);
            self.bytes.extend_from_slice(b"}\n\n");
        }
        self.done();
    }

    /// Appends a failure after the stream has begun.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        self.close();
        self.begun = true;
        self.bytes.extend_from_slice(b"data: ");
        json(&mut self.bytes, &failure.body());
        self.bytes.extend_from_slice(b"\n\n");
        self.done();
    }

    /// Takes all bytes, as whole events.
    pub(crate) fn take(&mut self) -> Bytes {
        self.close();
        Bytes::from(std::mem::take(&mut self.bytes))
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.bytes.extend_from_slice(&self.head);
            self.bytes.extend_from_slice(
                b"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            );
        }
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.bytes.extend_from_slice(b"\"}");
            self.logprobs.write(&mut self.bytes);
            self.bytes.extend_from_slice(b",\"finish_reason\":null}]}\n\n");
        }
    }

    fn choice<T: Serialize>(&mut self, choice: &T) {
        self.bytes.extend_from_slice(&self.head);
        json(&mut self.bytes, choice);
        self.bytes.extend_from_slice(b"]}\n\n");
    }

    fn done(&mut self) {
        self.bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// These types have string keys only and the sink is memory: writing cannot fail.
fn json<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(bytes, value);
}

fn quote(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'"');
    escape(bytes, text);
    bytes.push(b'"');
}

/// Appends `text` as the inside of a JSON string; parts without characters to escape are copied whole.
fn escape(bytes: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        bytes.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => bytes.extend_from_slice(&[b'\\', byte]),
            b'\n' => bytes.extend_from_slice(b"\\n"),
            b'\r' => bytes.extend_from_slice(b"\\r"),
            b'\t' => bytes.extend_from_slice(b"\\t"),
            control => {
                bytes.extend_from_slice(b"\\u00");
                bytes.push(HEX[usize::from(control >> 4)]);
                bytes.push(HEX[usize::from(control & 15)]);
            }
        }
    }
    bytes.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests;
