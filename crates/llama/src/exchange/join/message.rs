//! The message of `/v1/messages`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{quoted, rewritten};
use super::{JoinedAnswer, Taken};

/// The message as far as it has come.
#[derive(Debug)]
pub(super) struct Message {
    /// Whether text may be held back that is the beginning of a stop sequence.
    stops: bool,
    start: Option<Start>,
    thinking: String,
    text: String,
    tools: Vec<Tool>,
    end: Option<End>,
}

/// Fields of the first event, in JSON.
#[derive(Debug)]
struct Start {
    id: String,
    model: String,
    cache_read_input_tokens: String,
    input_tokens: String,
}

/// Fields of the last event, in JSON.
#[derive(Debug)]
struct End {
    stop_reason: String,
    stop_sequence: String,
    output_tokens: String,
}

#[derive(Debug)]
struct Tool {
    block: u64,
    id: String,
    name: String,
    input: String,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    usage: Option<Usage<'a>>,
}

#[derive(Deserialize)]
struct StartMessage<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    usage: Usage<'a>,
}

#[derive(Deserialize)]
struct Usage<'a> {
    #[serde(borrow)]
    cache_read_input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    input_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    output_tokens: &'a RawValue,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    partial_json: Option<Cow<'a, str>>,
    #[serde(borrow)]
    stop_reason: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_sequence: Option<&'a RawValue>,
}

fn text_of(value: Option<&RawValue>) -> String {
    value.map_or("null", RawValue::get).to_owned()
}

impl Message {
    pub(super) fn new(stops: bool) -> Self {
        let (thinking, text) = (String::new(), String::new());
        Self { stops, start: None, thinking, text, tools: Vec::new(), end: None }
    }

    pub(super) fn take(&mut self, data: &str) -> Result<Taken, serde_json::Error> {
        let event: Event<'_> = serde_json::from_str(data)?;
        match &*event.kind {
            "message_start" => self.start = event.message.map(Start::of).transpose()?,
            // The first event comes with the first token, and not at all where that one is a part of a character.
            "content_block_start" | "content_block_delta" | "message_delta" if self.start.is_none() => {
                return Ok(Taken::Lacking);
            }
            "content_block_start" => {
                if let Some((id, name)) = event.content_block.and_then(|block| block.id.zip(block.name)) {
                    let (id, name) = (id.get().to_owned(), name.get().to_owned());
                    self.tools.push(Tool { block: event.index, id, name, input: String::new() });
                }
            }
            "content_block_delta" => {
                return Ok(Taken::Part(event.delta.map_or(0, |delta| self.add(event.index, &delta))));
            }
            "message_delta" => {
                if let Some((delta, usage)) = event.delta.zip(event.usage) {
                    self.end = Some(End {
                        stop_reason: text_of(delta.stop_reason),
                        stop_sequence: text_of(delta.stop_sequence),
                        output_tokens: usage.output_tokens.get().to_owned(),
                    });
                }
            }
            "content_block_stop" | "message_stop" => {}
            _ => return Ok(Taken::Error(data.to_owned())),
        }
        Ok(Taken::Part(0))
    }

    fn add(&mut self, block: u64, delta: &Delta<'_>) -> usize {
        let thinking = delta.thinking.as_deref().unwrap_or_default();
        let text = delta.text.as_deref().unwrap_or_default();
        let input = delta.partial_json.as_deref().unwrap_or_default();
        self.thinking.push_str(thinking);
        self.text.push_str(text);
        if let Some(tool) = self.tools.iter_mut().rfind(|tool| tool.block == block) {
            tool.input.push_str(input);
        }
        thinking.len() + text.len() + input.len()
    }

    pub(super) fn finish(self) -> Option<JoinedAnswer> {
        let (start, end) = (self.start?, self.end?);
        let mut blocks = Vec::new();
        if !self.thinking.is_empty() {
            let thinking = quoted(&self.thinking);
            blocks.push(format!(r#"{{"type":"thinking","thinking":{thinking},"signature":""}}"#));
        }
        if !self.text.is_empty() {
            blocks.push(format!(r#"{{"type":"text","text":{}}}"#, quoted(&self.text)));
        }
        for Tool { id, name, input, .. } in &self.tools {
            let input = rewritten(input).unwrap_or_else(|| "{}".to_owned());
            blocks.push(format!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{input}}}"#));
        }
        // Text of which the engine's parser makes nothing is in no event.
        if blocks.is_empty() || (self.stops && end.stop_reason == r#""max_tokens""#) {
            return Some(JoinedAnswer::lacking());
        }
        let Start { id, model, cache_read_input_tokens, input_tokens } = start;
        let End { stop_reason, stop_sequence, output_tokens } = end;
        let content = blocks.join(",");
        Some(JoinedAnswer::whole(format!(
            r#"{{"id":{id},"type":"message","role":"assistant","content":[{content}],"model":{model},"stop_reason":{stop_reason},"stop_sequence":{stop_sequence},"usage":{{"cache_read_input_tokens":{cache_read_input_tokens},"input_tokens":{input_tokens},"output_tokens":{output_tokens}}}}}"#
        )))
    }
}

impl Start {
    fn of(message: &RawValue) -> Result<Self, serde_json::Error> {
        let StartMessage { id, model, usage } = serde_json::from_str(message.get())?;
        Ok(Self {
            id: id.get().to_owned(),
            model: model.get().to_owned(),
            cache_read_input_tokens: text_of(usage.cache_read_input_tokens),
            input_tokens: text_of(usage.input_tokens),
        })
    }
}
