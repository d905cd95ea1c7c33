//! One event of a chat stream, read without copying its text.

mod fast;
mod wire;

use std::borrow::Cow;

use crate::EngineError;

/// What one event says. Only the first choice counts; we never ask for more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chunk<'a> {
    /// Visible text; never empty.
    pub content: Option<Cow<'a, str>>,
    /// Chain of thought; never empty.
    pub reasoning: Option<Cow<'a, str>>,
    /// Fragments of tool calls.
    pub tool_calls: Vec<ToolCallDelta<'a>>,
    /// Why generation ended: `stop`, `length` or `tool_calls`. In the last chunk of an answer only.
    pub finish_reason: Option<Cow<'a, str>>,
    /// How far the prompt is.
    pub prompt_progress: Option<PromptProgress>,
    /// The `logprobs` of the choice as the engine wrote them.
    pub logprobs: Option<&'a str>,
    /// What was counted, in the last chunk.
    pub timings: Option<Timings>,
    /// The same in the words of the API, in the last chunk.
    pub usage: Option<Usage>,
    /// The engine broke the answer off.
    pub error: Option<EngineError>,
}

/// A fragment of a tool call. The first one of a call carries its id and name, later ones more arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta<'a> {
    /// Which call of the answer it belongs to.
    pub index: u32,
    /// The call's id.
    pub id: Option<Cow<'a, str>>,
    /// The call's type, always `function` so far.
    pub kind: Option<Cow<'a, str>>,
    /// Name of the function.
    pub name: Option<Cow<'a, str>>,
    /// More text of the arguments.
    pub arguments: Option<Cow<'a, str>>,
}

/// How far the engine is with a prompt, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptProgress {
    /// Of the whole prompt.
    pub total: u64,
    /// Found in the cache.
    pub cache: u64,
    /// Done so far, those from the cache included.
    pub processed: u64,
    /// Time spent so far, in milliseconds.
    pub time_ms: u64,
}

/// What the engine counted for one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Prompt tokens taken from the cache; engines before autumn 2025 do not tell.
    pub cache_n: Option<u64>,
    /// Prompt tokens processed, those from the cache excluded.
    pub prompt_n: u64,
    /// Time for the prompt, in milliseconds.
    pub prompt_ms: f64,
    /// Tokens generated.
    pub predicted_n: u64,
    /// Time for generating them, in milliseconds.
    pub predicted_ms: f64,
}

/// Tokens of one answer as the API counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the whole prompt, those from the cache included.
    pub prompt: u64,
    /// Generated.
    pub completion: u64,
    /// Of the prompt, taken from the cache, where that is told.
    pub cached: Option<u64>,
}

impl Usage {
    /// Prompt tokens that were taken from the cache: as told, or those of the prompt that were not processed.
    #[must_use]
    pub fn cached(&self, timings: Option<&Timings>) -> Option<u64> {
        self.cached.or_else(|| timings.map(|timings| self.prompt.saturating_sub(timings.prompt_n)))
    }
}

/// An event that is not what a llama-server sends. It says where and how, never what: the text is a prompt's
/// answer and has no place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot read an event of the engine: {fault} at byte {at} of {length}")]
pub struct ChunkError {
    /// What is wrong.
    pub fault: ChunkFault,
    /// Where reading stopped.
    pub at: usize,
    /// Length of the event.
    pub length: usize,
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkFault {
    /// Not a JSON object.
    #[error("not a JSON object")]
    NotObject,
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// Not JSON.
    #[error("broken JSON")]
    Syntax,
    /// JSON that stops in the middle.
    #[error("incomplete JSON")]
    Incomplete,
    /// A field of a type it never has, or twice the same field.
    #[error("an unexpected type")]
    Type,
}

impl<'a> Chunk<'a> {
    /// Reads the data of one event.
    pub fn parse(data: &'a [u8]) -> Result<Self, ChunkError> {
        let length = data.len();
        let fail = |fault, at| ChunkError { fault, at, length };
        // One check for the whole event is cheaper than one for each of its dozen strings.
        let text = std::str::from_utf8(data).map_err(|fault| fail(ChunkFault::NotText, fault.valid_up_to()))?;
        if let Some(chunk) = fast::parse(text) {
            return Ok(chunk);
        }
        if !text.trim_start().starts_with('{') {
            return Err(fail(ChunkFault::NotObject, 0));
        }
        wire::parse(text).map_err(|fault| {
            let at = fault.column();
            match fault.classify() {
                serde_json::error::Category::Eof => fail(ChunkFault::Incomplete, at),
                serde_json::error::Category::Data => fail(ChunkFault::Type, at),
                _ => fail(ChunkFault::Syntax, at),
            }
        })
    }
}

/// Whether this is the last event of a chat stream.
pub fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

#[cfg(test)]
mod tests;
