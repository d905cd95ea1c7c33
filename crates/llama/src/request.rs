//! The body of a chat request: the caller's text, changed only where an engine would fail on it.

mod history;
mod limits;
mod peek;
mod reduce;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

pub use self::{
    history::has_images,
    limits::{check, foreign_urls, text_bytes},
    peek::{AnswerOption, ModelName, Peek, PeekError, WholeAnswer, element_ends},
    reduce::{reduce_tools, with_reduced_tools},
};

/// The most bytes of a request that llama-server reads; a longer one gets 413 without a body.
const BODY_LIMIT: usize = 100 << 20;
/// Fields of [`ChatRequest`], and those that would change the form of the answer and not its content.
const OUR_FIELDS: [&str; 13] = [
    "model",
    "messages",
    "tools",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "stream",
    "stream_options",
    "return_progress",
    "n",
    "id_slot",
    "slot_id",
];
/// The field with the values for the template.
const TEMPLATE: &str = "chat_template_kwargs";
/// Switches reasoning off in the known templates.
const NO_THINKING: &str = "\"enable_thinking\":false,\"thinking\":false";

/// A chat request with the fields of the router's jobs.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatRequest<'a> {
    /// Any name; an engine with one model ignores it.
    pub model: &'a str,
    /// The conversation as its caller wrote it; absent or `null` is an empty one.
    pub messages: Option<&'a RawValue>,
    /// The tools as the caller wrote them.
    pub tools: Option<&'a RawValue>,
    /// Absent is not zero: zero is passed on.
    pub temperature: Option<f64>,
    /// Tokens to generate at most.
    pub max_tokens: Option<i64>,
    /// `none`, `low`, `medium`, `high`.
    pub reasoning_effort: Option<&'a str>,
    /// Whether the engine reports prompt progress.
    pub progress: bool,
    /// More fields of the body as the caller wrote them: a JSON object.
    pub parameters: Option<&'a RawValue>,
}

/// Why no request can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The engine would refuse it because of its length.
    #[error("cannot send a request of {bytes} bytes: the engine takes at most {limit}")]
    TooLarge {
        /// Length of the request.
        bytes: usize,
        /// The most an engine takes.
        limit: usize,
    },
    /// Its JSON is nested deeper than an engine can safely read.
    #[error("cannot send a request whose messages or tools are nested deeper than {limit} levels")]
    TooDeep {
        /// The most levels.
        limit: usize,
    },
    /// It has more tools than an engine can safely read.
    #[error("cannot send a request with {count} tools: {limit} are the most")]
    TooManyTools {
        /// The number of tools.
        count: usize,
        /// The most tools.
        limit: usize,
    },
    /// The tools are not a list of objects whose parameters are objects.
    #[error("cannot simplify the tools: they are not a list of tools with object parameters")]
    Tools,
    /// The parameters are not an object.
    #[error("cannot pass on the parameters: they are not a JSON object")]
    Parameters,
}

impl ChatRequest<'_> {
    /// Writes the JSON body of a streamed request. All that is not listed here stays as it was written.
    ///
    /// * A message without `content` gets an empty one (`null` stays); `null` messages are an empty list.
    /// * Tool calls of earlier turns get arguments that a template can read, and a type.
    /// * A flat `image_url` becomes `{"url": …}`.
    /// * Parameters are added, except those that would change the form of the answer.
    /// * Effort `none` also switches reasoning off in the template, for engines that do not know this effort.
    ///
    /// # Errors
    /// When the body is too large, or the parameters are not an object.
    pub fn to_body(&self) -> Result<Vec<u8>, RequestError> {
        self.body_within(BODY_LIMIT)
    }

    /// Whether reasoning must be switched off in the template.
    fn disables_reasoning(&self) -> bool {
        self.reasoning_effort.is_some_and(|effort| effort.eq_ignore_ascii_case("none"))
    }

    fn body_within(&self, limit: usize) -> Result<Vec<u8>, RequestError> {
        let length = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
        let mut body = Vec::with_capacity(length(self.messages) + length(self.tools) + 512);
        body.extend_from_slice(b"{\"model\":");
        text(&mut body, self.model);
        body.extend_from_slice(b",\"messages\":");
        history::write(&mut body, self.messages);
        body.extend_from_slice(b",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
        if self.progress {
            body.extend_from_slice(b",\"return_progress\":true");
        }
        if let Some(tools) = self.tools.map(RawValue::get).filter(|tools| !matches!(*tools, "null" | "[]")) {
            body.extend_from_slice(b",\"tools\":");
            body.extend_from_slice(tools.as_bytes());
        }
        if let Some(temperature) = self.temperature.filter(|number| number.is_finite()) {
            body.extend_from_slice(format!(",\"temperature\":{temperature}").as_bytes());
        }
        if let Some(tokens) = self.max_tokens {
            body.extend_from_slice(format!(",\"max_tokens\":{tokens}").as_bytes());
        }
        if let Some(effort) = self.reasoning_effort.filter(|effort| !effort.is_empty()) {
            body.extend_from_slice(b",\"reasoning_effort\":");
            text(&mut body, effort);
        }
        write_parameters(&mut body, self.parameters, self.disables_reasoning())?;
        body.push(b'}');
        if body.len() > limit {
            return Err(RequestError::TooLarge { bytes: body.len(), limit });
        }
        Ok(body)
    }
}

/// Writes the caller's parameters beside the fields of [`ChatRequest`], each after a comma.
fn write_parameters(body: &mut Vec<u8>, parameters: Option<&RawValue>, no_thinking: bool) -> Result<(), RequestError> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = match parameters.map(RawValue::get) {
        None | Some("null") => BTreeMap::new(),
        Some(parameters) => serde_json::from_str(parameters).map_err(|_| RequestError::Parameters)?,
    };
    for (name, value) in fields.iter().filter(|(name, _)| !OUR_FIELDS.contains(&&***name) && **name != TEMPLATE) {
        field(body, name, value.get());
    }
    let given = fields.get(TEMPLATE).map(|given| given.get().trim());
    let inside = given.and_then(|given| given.strip_prefix('{')?.strip_suffix('}')).map(str::trim);
    match (no_thinking, inside, given) {
        // What the caller says comes last, which counts.
        (true, Some(inside), _) if !inside.is_empty() => field(body, TEMPLATE, &format!("{{{NO_THINKING},{inside}}}")),
        (true, _, _) => field(body, TEMPLATE, &format!("{{{NO_THINKING}}}")),
        (false, _, Some(given)) => field(body, TEMPLATE, given),
        (false, _, None) => {}
    }
    Ok(())
}

/// Writes one field after a comma.
fn field(body: &mut Vec<u8>, name: &str, value: &str) {
    body.push(b',');
    text(body, name);
    body.push(b':');
    body.extend_from_slice(value.as_bytes());
}

/// Writes a JSON string.
fn text(body: &mut Vec<u8>, text: &str) {
    // Every string has a JSON form and a vector takes any length, so this cannot fail.
    let _cannot_fail = serde_json::to_writer(body, text);
}

#[cfg(test)]
mod tests;
