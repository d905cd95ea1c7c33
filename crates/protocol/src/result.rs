//! What a worker answers to a job.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::{is_false, null_default};

/// Some text of the answer; the router appends it to what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token<'a> {
    /// The job answered.
    pub job_id: Cow<'a, str>,
    /// Text of any length.
    #[serde(default)]
    pub token: Cow<'a, str>,
    /// Whether this is chain of thought rather than answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reasoning: bool,
    /// The `logprobs` of this piece, in the form of [`Complete::logprobs`], where the job's parameters asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Json>,
}

/// How far the engine is with the prompt. The measured open-source router warns about each one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptProgress<'a> {
    /// The job meant.
    pub job_id: Cow<'a, str>,
    /// Prompt tokens in all.
    #[serde(default)]
    pub total: u64,
    /// Of them, taken from the cache.
    #[serde(default)]
    pub cached: u64,
    /// Of them, done so far.
    #[serde(default)]
    pub processed: u64,
}

/// The good end of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete<'a> {
    /// The job ended.
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
    /// Calls the model made; each `arguments` is the text of a JSON object.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the engine stopped (`stop`, `length`, `tool_calls`); an old router ignores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<Cow<'a, str>>,
    /// The `logprobs` of the choice, where the job's parameters asked for them; see [`crate::extension::PARAMETERS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Json>,
}

/// One call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Not empty, unique in its job.
    #[serde(default)]
    pub id: String,
    /// `function`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// What is called, and with what.
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

/// The bad end of a job, or a fault of the link when there is no job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError<'a> {
    /// The job ended; absent for the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<Cow<'a, str>>,
    /// What the caller reads: short, stable, no internal address.
    #[serde(default)]
    pub error: Cow<'a, str>,
    /// What the router logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Cow<'a, str>>,
    /// What kind of fault it is, in the words of the OpenAI API (`context_length_exceeded`); or [`NOT_STARTED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'a, str>>,
    /// The field of the caller's request that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<Cow<'a, str>>,
    /// The HTTP status that the caller is to get: 400 for a fault of the caller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Seconds after which the same job may succeed; absent where another try is of no use or nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// The `code` of a job that its worker gives back without having begun it. It is no end: the router gives the job to
/// another worker. Only for routers that announce [`crate::extension::NOT_STARTED`].
pub const NOT_STARTED: &str = "not_started";

/// JSON that is passed on as it came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(pub Box<RawValue>);

/// Equal where the text is.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Json {}
