//! A worker's messages about a job.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::{is_false, null_default};

/// A piece of the answer; the router appends it to the previous pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token<'a> {
    /// The job.
    pub job_id: Cow<'a, str>,
    /// Text of any length.
    #[serde(default)]
    pub token: Cow<'a, str>,
    /// Whether this is chain of thought and not answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reasoning: bool,
    /// The `logprobs` of this piece, in the form of [`Complete::logprobs`], when the job's parameters request them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Json>,
}

/// The progress of the prompt. The measured open-source router logs a warning for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptProgress<'a> {
    /// The job.
    pub job_id: Cow<'a, str>,
    /// All prompt tokens.
    #[serde(default)]
    pub total: u64,
    /// Prompt tokens taken from the cache.
    #[serde(default)]
    pub cached: u64,
    /// Prompt tokens processed so far.
    #[serde(default)]
    pub processed: u64,
}

/// The end of a job, with its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete<'a> {
    /// The job.
    pub job_id: Cow<'a, str>,
    /// All of the visible text; may be empty.
    #[serde(default)]
    pub full_response: Cow<'a, str>,
    /// All of the chain of thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<Cow<'a, str>>,
    /// Prompt and generation time in milliseconds, without queueing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Prompt tokens taken from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_tokens: Option<u64>,
    /// Prompt tokens processed, without the cached ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens generated, chain of thought included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Number of chain-of-thought pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// The model's tool calls; each `arguments` is a JSON object as text.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the engine stopped (`stop`, `length`, `tool_calls`); an old router ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The `logprobs` of the choice, when the job's parameters request them; see [`crate::extension::PARAMETERS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Json>,
    /// The bytes of an answer that was sent as [`crate::AnswerData`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Not empty, and unique in its job.
    #[serde(default)]
    pub id: String,
    /// `function`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Name and arguments.
    pub function: FunctionCall,
}

/// The function of a [`ToolCall`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Name of the tool.
    #[serde(default)]
    pub name: String,
    /// A JSON object as text: anything else makes the measured router answer with an empty body.
    #[serde(default)]
    pub arguments: String,
}

/// The end of a job, with an error; without a job a fault of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError<'a> {
    /// The job; absent for a fault of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Cow<'a, str>>,
    /// The text for the caller: short, stable, without internal addresses.
    #[serde(default)]
    pub error: Cow<'a, str>,
    /// Details for the router's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Cow<'a, str>>,
    /// The code of the OpenAI API for this fault (`context_length_exceeded`); or [`NOT_STARTED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// The field of the caller's request that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<Cow<'a, str>>,
    /// The HTTP status for the caller: 400 for a fault of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Seconds after which the same job may succeed; absent when another attempt is useless or this is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// The `code` of a job that its worker gives back before starting it. The job does not end: the router gives it to another
/// worker. Only for routers that announce [`crate::extension::NOT_STARTED`].
pub const NOT_STARTED: &str = "not_started";

/// JSON that is passed on unchanged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(pub Box<RawValue>);

/// Equal when the text is.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Json {}
