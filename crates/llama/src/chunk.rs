//! One event of a chat stream, parsed without copying its text.

mod wire;

use std::borrow::Cow;

use memchr::memchr2;

use crate::EngineError;

/// The bytes before the delta in all events of both known builds.
const FRAME: &str = "{\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":{\"";

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
        if let Some(chunk) = parse_text(text) {
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

/// Parses the one form that nearly every event has, a piece of text alone, without a JSON parser; `None` for every other.
///
/// An event has two hundred bytes, of which ten are new. The general parser reads every byte three times. This one checks
/// that the frame is the known one and that the rest is flat and not needed, so it only saves time; a test compares the two.
fn parse_text(text: &str) -> Option<Chunk<'_>> {
    // Control characters are not valid in JSON strings, and the engine writes none outside.
    if text.bytes().fold(false, |found, byte| found | (byte < b' ')) {
        return None;
    }
    let delta = text.strip_prefix(FRAME)?;
    let (thinking, value) = match delta.strip_prefix("content\":\"") {
        Some(value) => (false, value),
        None => (true, delta.strip_prefix("reasoning_content\":\"")?),
    };
    let (said, rest) = string(value)?;
    let mut rest = rest.strip_prefix("}}]")?;
    while rest != "}" {
        let (key, value) = string(rest.strip_prefix(",\"")?)?;
        if matches!(key, "choices" | "timings" | "prompt_progress" | "error") {
            return None;
        }
        rest = flat(value.strip_prefix(':')?)?;
    }
    let said = (!said.is_empty()).then_some(Cow::Borrowed(said));
    let (content, reasoning) = if thinking { (None, said) } else { (said, None) };
    Some(Chunk { content, reasoning, ..Chunk::default() })
}

/// The text up to the closing quote, and the rest; `None` when it contains an escape.
fn string(text: &str) -> Option<(&str, &str)> {
    let end = memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes()[end] == b'\\' { None } else { Some((&text[..end], &text[end + 1..])) }
}

/// The rest after a value that is text, a natural number or `null`.
fn flat(text: &str) -> Option<&str> {
    match text.as_bytes().first()? {
        b'"' => Some(string(&text[1..])?.1),
        b'n' => text.strip_prefix("null"),
        b'1'..=b'9' => {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            // A fraction or an exponent follows: not the end of the value.
            matches!(text.as_bytes().get(digits)?, b',' | b'}').then(|| &text[digits..])
        }
        _ => None,
    }
}

/// Whether this is the last event of a chat stream.
pub fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

#[cfg(test)]
mod tests;
