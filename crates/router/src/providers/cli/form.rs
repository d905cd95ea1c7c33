//! The text of a program as an answer of the API that was used: a whole one, or the events of a stream.
//!
//! A program counts no tokens. Where an API leaves no room for that, the counts are 0.

use serde_json::{Value, json};

/// The API of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerApi {
    Completions,
    Messages,
    Responses,
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct AnswerForm {
    api: AnswerApi,
    id: String,
    model: String,
    /// Seconds since 1970.
    created: u64,
    /// All text so far.
    text: String,
    /// Events so far.
    events: u64,
}

impl AnswerApi {
    /// That of a path.
    pub(super) fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/v1/completions" => Self::Completions,
            "/v1/messages" => Self::Messages,
            "/v1/responses" => Self::Responses,
            _ => return None,
        })
    }
}

impl AnswerForm {
    /// For a job with this id, whose client calls the model so.
    pub(super) fn new(api: AnswerApi, job: &str, model: &str, created: u64) -> Self {
        let prefix = match api {
            AnswerApi::Completions => "cmpl-",
            AnswerApi::Messages => "msg_",
            AnswerApi::Responses => "resp_",
        };
        let id = format!("{prefix}{}", job.trim_start_matches("req-"));
        Self { api, id, model: model.to_owned(), created, text: String::new(), events: 0 }
    }

    /// Takes text of a whole answer.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// The whole answer.
    pub(super) fn whole(&self) -> String {
        match self.api {
            AnswerApi::Completions => self.completion(&self.text, Some("stop")),
            AnswerApi::Messages => self.message(&[json!({ "type": "text", "text": self.text })], Some("end_turn")),
            AnswerApi::Responses => self.response("completed", &[self.item("completed", &[self.part(&self.text)])]),
        }
        .to_string()
    }

    /// The events of new text; those of the beginning are before the first.
    pub(super) fn delta(&mut self, text: &str) -> String {
        let mut events = if self.text.is_empty() { self.beginning() } else { String::new() };
        self.text.push_str(text);
        events += &match self.api {
            AnswerApi::Completions => data(&self.completion(text, None)),
            AnswerApi::Messages => named(
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } }),
            ),
            AnswerApi::Responses => self.of_item(
                json!({ "type": "response.output_text.delta", "content_index": 0, "delta": text, "logprobs": [] }),
            ),
        };
        events
    }

    fn beginning(&mut self) -> String {
        match self.api {
            AnswerApi::Completions => String::new(),
            AnswerApi::Messages => {
                named(json!({ "type": "message_start", "message": self.message(&[], None) }))
                    + &named(json!({
                        "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" },
                    }))
            }
            AnswerApi::Responses => {
                let (response, item) = (self.response("in_progress", &[]), self.item("in_progress", &[]));
                let part = self.part("");
                self.numbered(json!({ "type": "response.created", "response": response }))
                    + &self.numbered(json!({ "type": "response.in_progress", "response": response }))
                    + &self.numbered(json!({ "type": "response.output_item.added", "output_index": 0, "item": item }))
                    + &self.of_item(json!({ "type": "response.content_part.added", "content_index": 0, "part": part }))
            }
        }
    }

    /// The events of the end.
    pub(super) fn end(&mut self) -> String {
        match self.api {
            AnswerApi::Completions => data(&self.completion("", Some("stop"))) + "data: [DONE]\n\n",
            AnswerApi::Messages => {
                named(json!({ "type": "content_block_stop", "index": 0 }))
                    + &named(json!({
                        "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
                        "usage": { "output_tokens": 0 },
                    }))
                    + &named(json!({ "type": "message_stop" }))
            }
            AnswerApi::Responses => {
                let part = self.part(&self.text);
                let item = self.item("completed", std::slice::from_ref(&part));
                let response = self.response("completed", std::slice::from_ref(&item));
                let text = json!({
                    "type": "response.output_text.done", "content_index": 0, "text": self.text, "logprobs": [],
                });
                self.of_item(text)
                    + &self.of_item(json!({ "type": "response.content_part.done", "content_index": 0, "part": part }))
                    + &self.numbered(json!({ "type": "response.output_item.done", "output_index": 0, "item": item }))
                    + &self.numbered(json!({ "type": "response.completed", "response": response }))
            }
        }
    }

    fn completion(&self, text: &str, finish_reason: Option<&str>) -> Value {
        json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": self.model,
            "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason }],
        })
    }

    fn message(&self, content: &[Value], stop_reason: Option<&str>) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": content,
            "stop_reason": stop_reason, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
        })
    }

    fn response(&self, status: &str, output: &[Value]) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": self.created, "status": status, "model": self.model,
            "output": output, "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
            "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "temperature": null, "top_p": null,
            "usage": null,
        })
    }

    fn item(&self, status: &str, content: &[Value]) -> Value {
        json!({ "id": self.item_id(), "type": "message", "role": "assistant", "status": status, "content": content })
    }

    fn part(&self, text: &str) -> Value {
        json!({ "type": "output_text", "text": text, "annotations": [] })
    }

    fn item_id(&self) -> String {
        self.id.replace("resp_", "msg_")
    }

    /// An event about the only item of a response.
    fn of_item(&mut self, mut event: Value) -> String {
        event["item_id"] = self.item_id().into();
        event["output_index"] = 0.into();
        self.numbered(event)
    }

    fn numbered(&mut self, mut event: Value) -> String {
        event["sequence_number"] = self.events.into();
        self.events += 1;
        named(event)
    }
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// An event whose name is its type.
#[expect(clippy::needless_pass_by_value, reason = "each event is made for this")]
fn named(event: Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}
