//! One answer of a model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A conversation whose next message is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The messages so far.
    pub messages: Vec<ChatMessage>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// A part of an answer. The last one has an error, or the stream ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatEvent {
    /// Text of the answer.
    pub text: Option<String>,
    /// Text of the chain of thought.
    pub reasoning: Option<String>,
    /// Why there is no more.
    pub error: Option<String>,
}

impl ChatEvent {
    /// The end of an answer that failed.
    pub(crate) fn error(error: String) -> Self {
        Self { error: Some(error), ..Self::default() }
    }
}
