//! The JSON of the chat API.

use std::borrow::Cow;

use auxot_protocol::{Complete, Json, ToolCall};
use serde::Serialize;

/// A whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Completion<'a> {
    pub(crate) id: &'a str,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<TokenUsage>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Choice<'a> {
    pub(crate) index: u32,
    pub(crate) message: Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) logprobs: Option<&'a Json>,
    pub(crate) finish_reason: Cow<'a, str>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) tool_calls: &'a [ToolCall],
}

/// Token counts.
#[derive(Debug, Serialize)]
pub(crate) struct TokenUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl TokenUsage {
    /// The counts, where there is any. Workers report cached prompt tokens separately; the OpenAI API includes them.
    pub(crate) fn of(complete: &Complete<'_>) -> Option<Self> {
        let counts = [complete.input_tokens, complete.cache_tokens, complete.output_tokens];
        if counts.iter().all(Option::is_none) {
            return None;
        }
        let cached_tokens = complete.cache_tokens.unwrap_or(0);
        let prompt_tokens = complete.input_tokens.unwrap_or(0).saturating_add(cached_tokens);
        let completion_tokens = complete.output_tokens.unwrap_or(0);
        Some(Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails { cached_tokens },
            completion_tokens_details: CompletionDetails { reasoning_tokens: complete.reasoning_tokens.unwrap_or(0) },
        })
    }
}

/// The finish reason of the OpenAI API.
pub(crate) fn finish_reason<'a>(complete: &'a Complete<'_>) -> &'a str {
    match complete.finish_reason.as_deref() {
        Some(reason) if !reason.is_empty() => reason,
        _ if !complete.tool_calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

/// The choice of the last chunk of a stream.
#[derive(Debug, Serialize)]
pub(crate) struct FinishChoice<'a> {
    index: u32,
    delta: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Json>,
    finish_reason: &'a str,
}

#[derive(Debug, Serialize)]
struct Empty {}

impl<'a> FinishChoice<'a> {
    pub(crate) fn of(complete: &'a Complete<'_>, logprobs: Option<Json>) -> Self {
        Self { index: 0, delta: Empty {}, logprobs, finish_reason: finish_reason(complete) }
    }
}

/// One tool call of a stream, whole in one delta.
#[derive(Debug, Serialize)]
pub(crate) struct CallDelta<'a> {
    index: usize,
    #[serde(flatten)]
    call: &'a ToolCall,
}

#[derive(Debug, Serialize)]
pub(crate) struct CallChoice<'a> {
    index: u32,
    delta: Calls<'a>,
    finish_reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Calls<'a> {
    tool_calls: [CallDelta<'a>; 1],
}

impl<'a> CallDelta<'a> {
    pub(crate) fn choice(index: usize, call: &'a ToolCall) -> CallChoice<'a> {
        CallChoice { index: 0, delta: Calls { tool_calls: [Self { index, call }] }, finish_reason: None }
    }
}
