//! One event of a chat stream, parsed without copying its text.

mod fast;
mod wire;

use std::borrow::Cow;

use crate::EngineError;

/// The content of one event. Only the first choice is used; requests never ask for more.
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
    /// The prompt progress.
    pub prompt_progress: Option<PromptProgress>,
    /// The `logprobs` of the choice as the engine wrote them.
    pub logprobs: Option<&'a str>,
    /// The engine's counts, in the last chunk.
    pub timings: Option<Timings>,
    /// The counts of the API, in the last chunk.
    pub usage: Option<Usage>,
    /// The engine stopped the answer with an error.
    pub error: Option<EngineError>,
}

/// A fragment of a tool call. The first one of a call has its id and name, later ones more arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCallDelta<'a> {
    /// The number of the call in the answer.
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

/// The progress of a prompt, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptProgress {
    /// All tokens of the prompt.
    pub total: u64,
    /// Tokens found in the cache.
    pub cache: u64,
    /// Tokens processed so far, those from the cache included.
    pub processed: u64,
}

/// The engine's counts of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Prompt tokens taken from the cache; engines before autumn 2025 do not report them.
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
    /// All tokens of the prompt, those from the cache included.
    pub prompt: u64,
    /// Tokens generated.
    pub completion: u64,
    /// Prompt tokens taken from the cache, when they are reported.
    pub cached: Option<u64>,
}

impl Usage {
    /// Prompt tokens that were taken from the cache: as reported, or those that were not processed.
    #[must_use]
    pub fn cached(&self, timings: Option<&Timings>) -> Option<u64> {
        self.cached.or_else(|| timings.map(|timings| self.prompt.saturating_sub(timings.prompt_n)))
    }
}

/// An event that llama-server does not send. It names the position and the fault, never the text: an answer must not be
/// logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot read an event of the engine: {fault} at byte {at} of {length}")]
pub struct ChunkError {
    /// What is wrong.
    pub fault: ChunkFault,
    /// The position of the fault.
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
    /// Incomplete JSON.
    #[error("incomplete JSON")]
    Incomplete,
    /// A field of a wrong type, or the same field twice.
    #[error("an unexpected type")]
    Type,
}

impl<'a> Chunk<'a> {
    /// Parses the data of one event.
    ///
    /// # Errors
    /// When the data is not an event of llama-server.
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
