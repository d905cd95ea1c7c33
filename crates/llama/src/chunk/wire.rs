//! The JSON of one event, for serde: borrowed where possible, `null` the same as absent.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Chunk, PromptProgress, Timings, ToolCallDelta, Usage};
use crate::{EngineError, text::Text};

/// Parses one JSON object.
pub(super) fn parse(text: &str) -> serde_json::Result<Chunk<'_>> {
    let event: WireEvent<'_> = serde_json::from_str(text)?;
    let choice = event.choices.0.unwrap_or_default();
    let delta = choice.delta.unwrap_or_default();
    Ok(Chunk {
        content: delta.content.and_then(Text::not_empty),
        reasoning: delta.reasoning_content.and_then(Text::not_empty),
        tool_calls: delta.tool_calls.unwrap_or_default().into_iter().map(Call::into_delta).collect(),
        finish_reason: choice.finish_reason.and_then(Text::not_empty),
        logprobs: choice.logprobs.map(RawValue::get).filter(|value| *value != "null"),
        prompt_progress: event.prompt_progress.map(WireProgress::into_progress),
        timings: event.timings.map(Times::into_timings),
        usage: event.usage.map(Used::into_usage),
        error: event.error.map(|error| EngineError::from_value(None, error)),
    })
}

#[derive(Deserialize)]
struct WireEvent<'a> {
    #[serde(borrow, default)]
    choices: First<'a>,
    prompt_progress: Option<WireProgress>,
    timings: Option<Times>,
    usage: Option<Used>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    logprobs: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize, Default)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
}

impl<'a> Call<'a> {
    fn into_delta(self) -> ToolCallDelta<'a> {
        let function = self.function.unwrap_or_default();
        ToolCallDelta {
            index: self.index.unwrap_or(0),
            id: self.id.and_then(Text::not_empty),
            kind: self.kind.and_then(Text::not_empty),
            name: function.name.and_then(Text::not_empty),
            arguments: function.arguments.and_then(Text::not_empty),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct WireProgress {
    total: Count,
    cache: Count,
    processed: Count,
}

impl WireProgress {
    fn into_progress(self) -> PromptProgress {
        PromptProgress { total: self.total.0, cache: self.cache.0, processed: self.processed.0 }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Used {
    prompt_tokens: Count,
    completion_tokens: Count,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<Count>,
}

impl Used {
    fn into_usage(self) -> Usage {
        Usage {
            prompt: self.prompt_tokens.0,
            completion: self.completion_tokens.0,
            cached: self.prompt_tokens_details.and_then(|details| details.cached_tokens).map(|count| count.0),
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Times {
    cache_n: Option<Count>,
    prompt_n: Count,
    // The engine writes a number that was not measured as null.
    prompt_ms: Option<f64>,
    predicted_n: Count,
    predicted_ms: Option<f64>,
}

impl Times {
    fn into_timings(self) -> Timings {
        Timings {
            cache_n: self.cache_n.map(|count| count.0),
            prompt_n: self.prompt_n.0,
            prompt_ms: self.prompt_ms.unwrap_or_default(),
            predicted_n: self.predicted_n.0,
            predicted_ms: self.predicted_ms.unwrap_or_default(),
        }
    }
}

/// The first of several choices; none, `null` and `[]` are the same.
#[derive(Default)]
struct First<'a>(Option<Choice<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Option<Choice<'de>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let first: Option<Option<Choice<'de>>> = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first.flatten())
            }
        }
        deserializer.deserialize_any(Reader).map(First)
    }
}

/// A count. Any other number is rounded to one; `null` is zero.
#[derive(Default)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
                Ok(u64::try_from(number).unwrap_or(0))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
                // `as` saturates: negative becomes 0.
                Ok(number as u64)
            }
            fn visit_unit<E: Error>(self) -> Result<u64, E> {
                Ok(0)
            }
        }
        deserializer.deserialize_any(Reader).map(Count)
    }
}
