//! The choices of `/v1/chat/completions` and `/v1/completions`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::json::quoted;
use super::{JoinedAnswer, JoinedForm, Taken};

/// The choices that have come.
#[derive(Debug)]
pub(super) struct Choices {
    is_chat: bool,
    /// Whether text may be held back that is the beginning of a stop sequence.
    stops: bool,
    probabilities: bool,
    choices: BTreeMap<u64, Choice>,
    /// The one that has ended last; the usage behind it is its own.
    ended: u64,
    tail: Tail,
}

#[derive(Debug, Default)]
struct Choice {
    text: String,
    reasoning: String,
    calls: Vec<Call>,
    /// One for each token, in JSON.
    probabilities: Vec<String>,
    finish_reason: Option<String>,
    /// The tokens up to the last event with text.
    counted: Option<u64>,
    /// All of its tokens.
    total: Option<u64>,
    is_last_empty: bool,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// Fields of the answer as they are written in the last events; usage and timings are those of the first choice.
#[derive(Debug, Default)]
struct Tail {
    created: Option<Box<RawValue>>,
    model: Option<Box<RawValue>>,
    system_fingerprint: Option<Box<RawValue>>,
    usage: Option<Box<RawValue>>,
    id: Option<Box<RawValue>>,
    timings: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    choices: Vec<EventChoice<'a>>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    system_fingerprint: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    timings: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    prompt_progress: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct EventChoice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    delta: Delta<'a>,
    #[serde(borrow, default)]
    logprobs: Option<Probabilities<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<CallDelta<'a>>>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(default)]
    index: usize,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    function: FunctionDelta<'a>,
}

#[derive(Default, Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    arguments: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Probabilities<'a> {
    #[serde(borrow, default)]
    content: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Timings {
    predicted_n: Option<u64>,
}

impl Choices {
    pub(super) fn new(form: JoinedForm, stops: bool, probabilities: bool) -> Self {
        let is_chat = form == JoinedForm::Chat;
        Self { is_chat, stops, probabilities, choices: BTreeMap::new(), ended: 0, tail: Tail::default() }
    }

    pub(super) fn take(&mut self, data: &str) -> Result<Taken, serde_json::Error> {
        // Most events; how many tokens there are is not needed then.
        if self.is_chat
            && !self.stops
            && let Some((index, text)) = content_delta(data.as_bytes())
        {
            self.choices.entry(index).or_default().text.push_str(&text);
            return Ok(Taken::Part(text.len()));
        }
        let event: Event<'_> = serde_json::from_str(data)?;
        if let Some(error) = event.error {
            return Ok(Taken::Error(error.get().to_owned()));
        }
        if event.prompt_progress.is_some() {
            return Ok(Taken::Part(0));
        }
        let tokens = event.timings.and_then(|timings| serde_json::from_str::<Timings>(timings.get()).ok()?.predicted_n);
        let (mut held, mut is_end) = (0, event.choices.is_empty());
        for part in &event.choices {
            let choice = self.choices.entry(part.index).or_default();
            let Some(taken) = choice.take(part) else { return Ok(Taken::Lacking) };
            held += taken;
            if part.finish_reason.is_some() {
                (self.ended, is_end) = (part.index, true);
            } else {
                choice.counted = tokens.or(choice.counted);
                if self.probabilities && part.logprobs.is_none() {
                    return Ok(Taken::Lacking);
                }
            }
        }
        if is_end {
            if let Some(choice) = self.choices.get_mut(&self.ended) {
                choice.total = tokens.or(choice.total);
            }
            self.tail.take(&event, self.ended == 0);
        }
        Ok(Taken::Part(held))
    }

    pub(super) fn finish(self) -> Option<JoinedAnswer> {
        let mut texts = Vec::with_capacity(self.choices.len());
        for (index, choice) in &self.choices {
            let finish_reason = choice.finish_reason.as_deref()?;
            if self.lacks_text(choice, finish_reason) {
                return Some(JoinedAnswer::lacking());
            }
            let finish_reason = quoted(finish_reason);
            texts.push(if self.is_chat {
                format!(r#"{{"finish_reason":{finish_reason},"index":{index},"message":{}}}"#, choice.message())
            } else {
                let (text, logprobs) = (choice.whole_text(), choice.logprobs());
                format!(r#"{{"text":{text},"index":{index},"logprobs":{logprobs},"finish_reason":{finish_reason}}}"#)
            });
        }
        if texts.is_empty() {
            return None;
        }
        let object = if self.is_chat { "chat.completion" } else { "text_completion" };
        Some(JoinedAnswer::whole(self.tail.written(&texts, object)))
    }

    fn lacks_text(&self, choice: &Choice, finish_reason: &str) -> bool {
        let is_held_back = self.stops && finish_reason == "length";
        if self.is_chat {
            // Text of which the engine's parser makes nothing is in no event.
            let is_empty = choice.text.is_empty() && choice.reasoning.is_empty() && choice.calls.is_empty();
            return is_empty || (is_held_back && choice.counted < choice.total);
        }
        is_held_back && choice.is_last_empty
    }
}

/// The index and the text of an event with nothing else that matters, in the form in which the engine writes it.
fn content_delta(data: &[u8]) -> Option<(u64, Cow<'_, str>)> {
    let rest = data.strip_prefix(br#"{"choices":[{"finish_reason":null,"index":"#)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let index = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let literal = rest[digits..].strip_prefix(br#","delta":{"content":"#)?;
    let mut end = 1;
    loop {
        let found = memchr::memchr2(b'"', b'\\', literal.get(end..)?)?;
        if literal[end + found] == b'"' {
            end += found + 1;
            break;
        }
        end += found + 2;
    }
    if literal[0] != b'"' || !literal[end..].starts_with(b"}}],") {
        return None;
    }
    let inside = std::str::from_utf8(&literal[1..end - 1]).ok()?;
    Some((
        index,
        match inside.contains('\\') {
            true => Cow::Owned(serde_json::from_slice(&literal[..end]).ok()?),
            false => Cow::Borrowed(inside),
        },
    ))
}

impl Choice {
    /// The bytes that the event has brought; `None` for a tool call out of its order.
    fn take(&mut self, part: &EventChoice<'_>) -> Option<usize> {
        let before = self.held();
        let delta = &part.delta;
        let text = part.text.as_deref().or(delta.content.as_deref()).unwrap_or_default();
        self.text.push_str(text);
        self.reasoning.push_str(delta.reasoning_content.as_deref().unwrap_or_default());
        for part in delta.tool_calls.iter().flatten() {
            if part.index == self.calls.len() {
                self.calls.push(Call::default());
            }
            let call = self.calls.get_mut(part.index)?;
            call.id.push_str(part.id.as_deref().unwrap_or_default());
            call.name.push_str(part.function.name.as_deref().unwrap_or_default());
            call.arguments.push_str(part.function.arguments.as_deref().unwrap_or_default());
        }
        let mut probabilities = 0;
        for entry in part.logprobs.iter().flat_map(|entries| &entries.content) {
            probabilities += entry.get().len();
            self.probabilities.push(entry.get().to_owned());
        }
        match &part.finish_reason {
            Some(reason) => self.finish_reason = Some(reason.clone().into_owned()),
            None => self.is_last_empty = text.is_empty(),
        }
        Some(self.held() - before + probabilities)
    }

    fn held(&self) -> usize {
        let calls: usize = self.calls.iter().map(|call| call.arguments.len()).sum();
        self.text.len() + self.reasoning.len() + calls
    }

    /// The text in JSON. The first bytes of a character that was cut are in no event, and one sign in an answer.
    fn whole_text(&self) -> String {
        match self.counted < self.total && self.counted.is_some() {
            true => quoted(&format!("{}\u{fffd}", self.text)),
            false => quoted(&self.text),
        }
    }

    fn logprobs(&self) -> String {
        match self.probabilities.as_slice() {
            [] => "null".to_owned(),
            entries => format!(r#"{{"content":[{}]}}"#, entries.join(",")),
        }
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

impl Tail {
    fn take(&mut self, event: &Event<'_>, is_first: bool) {
        let keep = |field: &mut Option<Box<RawValue>>, value: Option<&RawValue>| {
            if let Some(value) = value {
                *field = Some(value.to_owned());
            }
        };
        keep(&mut self.created, event.created);
        keep(&mut self.model, event.model);
        keep(&mut self.system_fingerprint, event.system_fingerprint);
        keep(&mut self.id, event.id);
        if is_first {
            keep(&mut self.usage, event.usage);
            keep(&mut self.timings, event.timings);
        }
    }

    fn written(self, choices: &[String], object: &str) -> String {
        let mut body = String::with_capacity(1024 + choices.iter().map(String::len).sum::<usize>());
        body.push_str(r#"{"choices":["#);
        for (number, choice) in choices.iter().enumerate() {
            body.push_str(if number == 0 { "" } else { "," });
            body.push_str(choice);
        }
        body.push(']');
        let object = quoted(object);
        for (name, value) in [
            ("created", self.created.as_deref().map(RawValue::get)),
            ("model", self.model.as_deref().map(RawValue::get)),
            ("system_fingerprint", self.system_fingerprint.as_deref().map(RawValue::get)),
            ("object", Some(object.as_str())),
            ("usage", self.usage.as_deref().map(RawValue::get)),
            ("id", self.id.as_deref().map(RawValue::get)),
            ("timings", self.timings.as_deref().map(RawValue::get)),
        ] {
            let Some(value) = value else { continue };
            for part in [",\"", name, "\":", value] {
                body.push_str(part);
            }
        }
        body.push('}');
        body
    }
}
