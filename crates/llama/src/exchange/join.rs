//! An answer that is no stream, joined from one.
//!
//! llama-server looks whether the client of an answer that is no stream has left only after a second in which no request of
//! any client got a token; while another stream runs, that is never. A stream is cancelled with its next token. So an answer
//! is asked for as a stream and joined here, in the form that the engine would have given it.

use std::borrow::Cow;
use std::future::poll_fn;

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{AnswerHead, EVENT_LIMIT, ExchangeError, Forward};
use crate::sse::Splitter;
use crate::{Chunk, is_done};

/// The most bytes of a joined answer.
const LIMIT: usize = 16 << 20;
/// Bytes of one read.
const READ: usize = 8 << 10;

/// The fields that a body needs before its closing brace so that its answer comes as a stream; the last of two fields with
/// one name counts.
pub const STREAM_FIELDS: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

/// The endpoints whose answers can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinedForm {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// An answer that was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedAnswer {
    /// The status: an error in the middle of a stream is one.
    pub status: u16,
    /// The JSON body.
    pub body: Vec<u8>,
    /// Whether the engine may have generated text that is not in it: text of which its parser makes nothing is not in a stream,
    /// and as it is in an answer that is none.
    pub lacks_text: bool,
}

impl AnswerHead {
    /// The head of an answer that was joined from a stream with this head.
    #[must_use]
    pub fn of_joined(&self, answer: &JoinedAnswer) -> Self {
        let of_stream = |line: &&[u8]| {
            let lower = line.to_ascii_lowercase();
            !lower.starts_with(b"content-type:") && !lower.starts_with(b"x-accel-buffering:")
        };
        let reason = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
        let mut lines = format!("{} {}\r\n", answer.status, reason.unwrap_or_default()).into_bytes();
        self.lines
            .split_inclusive(|byte| *byte == b'\n')
            .skip(1)
            .filter(of_stream)
            .for_each(|line| lines.extend_from_slice(line));
        lines.extend_from_slice(b"Content-Type: application/json; charset=utf-8\r\n");
        Self { status: answer.status, lines, length: Some(answer.body.len() as u64), is_events: false }
    }
}

impl Forward {
    /// Reads a stream to its end and joins it. Calls `progressed` for every read. Not cancel safe.
    ///
    /// # Errors
    /// When the stream ends too early, or is not one of llama-server.
    pub async fn join(
        &mut self,
        form: JoinedForm,
        mut progressed: impl FnMut(),
    ) -> Result<JoinedAnswer, ExchangeError> {
        let (mut held, mut splitter) = (Vec::new(), Splitter::new(EVENT_LIMIT));
        let mut joiner = Joiner::new(form);
        loop {
            let from = held.len();
            held.resize(from + READ, 0);
            let read = poll_fn(|context| self.poll_body(context, &mut held[from..])).await?;
            held.truncate(from + read);
            if read == 0 {
                return joiner.finish();
            }
            progressed();
            let mut used = 0;
            while let Some(block) =
                splitter.next(&mut held[used..]).map_err(|fault| ExchangeError::TooLarge { limit: fault.limit })?
            {
                if let Some(data) = block.data {
                    joiner.take(&held[used + data.start..used + data.end])?;
                }
                used += block.used;
            }
            held.drain(..used);
        }
    }
}

/// The parts of an answer that have come.
#[derive(Debug)]
struct Joiner {
    form: JoinedForm,
    text: String,
    reasoning: String,
    calls: Vec<Call>,
    finish_reason: Option<String>,
    /// Fields of the last events, in JSON.
    tail: Tail,
    error: Option<(u16, String)>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

#[derive(Debug, Default)]
struct Tail {
    created: Option<Box<RawValue>>,
    id: Option<Box<RawValue>>,
    model: Option<Box<RawValue>>,
    system_fingerprint: Option<Box<RawValue>>,
    usage: Option<Box<RawValue>>,
    timings: Option<Box<RawValue>>,
}

/// The fields of an event as they are written.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    created: Option<Box<RawValue>>,
    id: Option<Box<RawValue>>,
    model: Option<Box<RawValue>>,
    system_fingerprint: Option<Box<RawValue>>,
    usage: Option<Box<RawValue>>,
    timings: Option<Box<RawValue>>,
    error: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

impl Joiner {
    fn new(form: JoinedForm) -> Self {
        let (text, reasoning) = (String::new(), String::new());
        Self { form, text, reasoning, calls: Vec::new(), finish_reason: None, tail: Tail::default(), error: None }
    }

    /// Takes the data of one event.
    fn take(&mut self, data: &[u8]) -> Result<(), ExchangeError> {
        if is_done(data) {
            return Ok(());
        }
        if self.form == JoinedForm::Chat {
            let chunk =
                Chunk::parse(data).map_err(|_| ExchangeError::Malformed("an event that is not one of a chat"))?;
            self.take_chunk(&chunk)?;
            let is_last = chunk.finish_reason.is_some() || chunk.usage.is_some() || chunk.error.is_some();
            if !is_last {
                return Ok(());
            }
        }
        let event: Event<'_> =
            serde_json::from_slice(data).map_err(|_| ExchangeError::Malformed("an event that is not JSON"))?;
        if let Some(error) = event.error {
            let code = serde_json::from_str::<serde_json::Value>(error.get()).ok();
            let code = code.and_then(|error| u16::try_from(error["code"].as_u64()?).ok());
            self.error = Some((code.filter(|code| (400..600).contains(code)).unwrap_or(500), error.get().to_owned()));
            return Ok(());
        }
        if let Some(choice) = event.choices.into_iter().next() {
            self.text.push_str(&choice.text.unwrap_or_default());
            self.finish_reason = choice.finish_reason.map(Cow::into_owned).or_else(|| self.finish_reason.take());
        }
        let Tail { created, id, model, system_fingerprint, usage, timings } = &mut self.tail;
        *created = event.created.or_else(|| created.take());
        *id = event.id.or_else(|| id.take());
        *model = event.model.or_else(|| model.take());
        *system_fingerprint = event.system_fingerprint.or_else(|| system_fingerprint.take());
        *usage = event.usage.or_else(|| usage.take());
        *timings = event.timings.or_else(|| timings.take());
        self.bound()
    }

    fn take_chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), ExchangeError> {
        self.text.push_str(chunk.content.as_deref().unwrap_or_default());
        self.reasoning.push_str(chunk.reasoning.as_deref().unwrap_or_default());
        for delta in &chunk.tool_calls {
            let index = usize::try_from(delta.index).unwrap_or(usize::MAX);
            if index == self.calls.len() {
                self.calls.push(Call::default());
            }
            let call = self.calls.get_mut(index).ok_or(ExchangeError::Malformed("a tool call out of its order"))?;
            call.id.push_str(delta.id.as_deref().unwrap_or_default());
            call.name.push_str(delta.name.as_deref().unwrap_or_default());
            call.arguments.push_str(delta.arguments.as_deref().unwrap_or_default());
        }
        self.bound()
    }

    fn bound(&self) -> Result<(), ExchangeError> {
        let calls: usize = self.calls.iter().map(|call| call.arguments.len()).sum();
        let held = self.text.len() + self.reasoning.len() + calls;
        if held > LIMIT { Err(ExchangeError::TooLarge { limit: LIMIT }) } else { Ok(()) }
    }

    fn finish(self) -> Result<JoinedAnswer, ExchangeError> {
        if let Some((status, error)) = self.error {
            return Ok(JoinedAnswer {
                status,
                body: format!(r#"{{"error":{error}}}"#).into_bytes(),
                lacks_text: false,
            });
        }
        let Some(finish_reason) = &self.finish_reason else { return Err(ExchangeError::Cut) };
        let finish_reason = quoted(finish_reason);
        let is_empty = self.text.is_empty() && self.reasoning.is_empty() && self.calls.is_empty();
        let lacks_text = is_empty && self.form == JoinedForm::Chat;
        let (object, choice) = match self.form {
            JoinedForm::Chat => (
                "chat.completion",
                format!(r#"{{"finish_reason":{finish_reason},"index":0,"message":{}}}"#, self.message()),
            ),
            JoinedForm::Text => {
                let text = quoted(&self.text);
                let choice = format!(r#"{{"text":{text},"index":0,"logprobs":null,"finish_reason":{finish_reason}}}"#);
                ("text_completion", choice)
            }
        };
        let mut body = format!(r#"{{"choices":[{choice}]"#);
        let Tail { created, id, model, system_fingerprint, usage, timings } = self.tail;
        let object = RawValue::from_string(quoted(object)).ok();
        for (name, value) in [
            ("created", created),
            ("model", model),
            ("system_fingerprint", system_fingerprint),
            ("object", object),
            ("usage", usage),
            ("id", id),
            ("timings", timings),
        ] {
            if let Some(value) = value {
                body.push_str(&format!(r#","{name}":{value}"#));
            }
        }
        body.push('}');
        Ok(JoinedAnswer { status: 200, body: body.into_bytes(), lacks_text })
    }

    fn message(&self) -> String {
        let mut message = format!(r#"{{"role":"assistant","content":{}"#, quoted(&self.text));
        if !self.reasoning.is_empty() {
            message.push_str(&format!(r#","reasoning_content":{}"#, quoted(&self.reasoning)));
        }
        if !self.calls.is_empty() {
            let calls: Vec<String> = self.calls.iter().map(Call::json).collect();
            message.push_str(&format!(r#","tool_calls":[{}]"#, calls.join(",")));
        }
        message.push('}');
        message
    }
}

impl Call {
    fn json(&self) -> String {
        let (name, arguments) = (quoted(&self.name), quoted(&self.arguments));
        let id = if self.id.is_empty() { String::new() } else { format!(r#","id":{}"#, quoted(&self.id)) };
        format!(r#"{{"type":"function","function":{{"name":{name},"arguments":{arguments}}}{id}}}"#)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
