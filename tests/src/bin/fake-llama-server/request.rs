//! A chat request, as far as it changes the answer.

use serde::Deserialize;
use serde_json::Value;

use crate::engine::Engine;
use crate::switches::Switches;

/// A refusal in the engine's words.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub body: String,
}

impl Refusal {
    /// A refusal with nothing but its code, type and message.
    pub(crate) fn new(status: u16, kind: &str, message: &str) -> Refusal {
        Refusal { status, body: crate::http::error_body(status, kind, message) }
    }
}

/// The parts of a request that change the answer.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    pub stream: bool,
    pub include_usage: bool,
    pub progress: bool,
    pub timings: bool,
    pub max_tokens: Option<u64>,
    /// Blank-separated words of all messages: the fake's idea of a token.
    pub prompt_tokens: u64,
    /// The engine's switches with what the last user message adds.
    pub switches: Switches,
}

#[derive(Deserialize)]
struct Body {
    messages: Option<Value>,
    tools: Option<Value>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    return_progress: bool,
    #[serde(default)]
    timings_per_token: bool,
    max_tokens: Option<i64>,
    n_predict: Option<i64>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl ChatRequest {
    /// Reads a body; b10434 answers malformed JSON with 500, and so does this.
    pub(crate) fn read(engine: &Engine, body: &[u8]) -> Result<ChatRequest, Refusal> {
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| Refusal::new(500, "server_error", &format!("[json.exception.parse_error.101] {error}")))?;
        let invalid = |message: &str| Refusal::new(400, "invalid_request_error", message);
        let messages = body.messages.ok_or_else(|| invalid("'messages' is required"))?;
        let messages = messages.as_array().ok_or_else(|| invalid("Expected 'messages' to be an array"))?;
        if has_image(messages) && !engine.arguments.vision {
            let message =
                "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj";
            return Err(Refusal::new(500, "server_error", message));
        }
        let mut switches = engine.switches.clone();
        if let Some(text) = last_user_text(messages).and_then(|text| text.strip_prefix("fake:").map(str::to_owned)) {
            switches.read(&text).map_err(|error| invalid(&error))?;
        }
        if switches.simple_tools && body.tools.is_some_and(|tools| tools.to_string().contains("\"items\"")) {
            let message = "Jinja Exception: Unknown (built-in) filter 'items' for type Array";
            return Err(Refusal::new(500, "server_error", message));
        }
        let words = messages.iter().map(|message| text_of(message).split_whitespace().count() as u64).sum::<u64>();
        Ok(ChatRequest {
            stream: body.stream,
            include_usage: body.stream_options.is_some_and(|options| options.include_usage),
            progress: body.return_progress,
            timings: body.timings_per_token,
            max_tokens: body
                .max_tokens
                .or(body.n_predict)
                .and_then(|count| u64::try_from(count).ok())
                .filter(|count| *count > 0),
            prompt_tokens: words.max(1),
            switches,
        })
    }

    /// The refusal of a prompt that no slot can hold.
    pub(crate) fn check_context(&self, n_ctx: u32) -> Result<(), Refusal> {
        let wants = self.prompt_tokens;
        if wants <= u64::from(n_ctx) {
            return Ok(());
        }
        let message =
            format!("request ({wants} tokens) exceeds the available context size ({n_ctx} tokens), try increasing it");
        let body = serde_json::json!({"error": {
            "code": 400, "message": message, "type": "exceed_context_size_error",
            "n_prompt_tokens": wants, "n_ctx": n_ctx,
        }});
        Err(Refusal { status: 400, body: body.to_string() })
    }
}

fn has_image(messages: &[Value]) -> bool {
    let parts = messages.iter().filter_map(|message| message["content"].as_array()).flatten();
    parts.into_iter().any(|part| part["type"] == "image_url")
}

fn last_user_text(messages: &[Value]) -> Option<String> {
    messages.iter().rev().find(|message| message["role"] == "user").map(text_of)
}

fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
