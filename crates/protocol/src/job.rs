//! Jobs of the router.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lenient::null_default;

/// One chat request. There is no stream flag: a worker always streams.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Opaque; the same id comes again when the router dispatches a job again or adds a tool round.
    pub job_id: String,
    /// The conversation as the caller wrote it: a JSON array, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Box<RawValue>>,
    /// Tool definitions as the caller wrote them: a JSON array, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<RawValue>>,
    /// Absent is not 0: 0 is forwarded as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Tokens to generate at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// `none`, `low`, `medium`, `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Conversation id of a hosted router; a hint only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_id: Option<String>,
    /// The model; absent means the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Extras of a hosted router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<JobData>,
    /// Names of tools that the API caller owns; informational.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub caller_tools: Vec<String>,
    /// Further fields of the caller's request; sent only to workers with [`crate::extension::PARAMETERS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<JobRequest>,
}

/// The fields of the caller's request that a job does not have.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct JobRequest {
    /// A JSON object: fields of the request's body as the caller wrote them, which are added to the engine's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Box<RawValue>>,
}

/// Extras of a hosted router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobData {
    /// The window, in tokens, to which the router cuts a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_size: Option<f64>,
}

/// The router cancels a job. An unknown id is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The job.
    pub job_id: String,
}
