//! The body of a chat request: what a caller wrote, changed only where an engine would trip over it.

mod history;
mod limits;
mod parameters;
mod reduce;

use serde_json::value::RawValue;

pub use self::{history::has_images, limits::check, limits::foreign_urls, limits::text_bytes, reduce::reduce_tools};

/// The most bytes of a request that llama-server reads; beyond it answers 413 without a word.
const BODY_LIMIT: usize = 100 << 20;

/// A chat request with what the router's jobs carry.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChatRequest<'a> {
    /// Any name; an engine with one model does not look at it.
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
    /// Whether to be told how far the prompt is.
    pub progress: bool,
    /// More fields of the body as the caller wrote them: a JSON object.
    pub parameters: Option<&'a RawValue>,
}

/// Why there is no request to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The engine would refuse it for its length.
    #[error("cannot send a request of {bytes} bytes: the engine takes at most {limit}")]
    TooLarge {
        /// Length of the request.
        bytes: usize,
        /// The most an engine takes.
        limit: usize,
    },
    /// Its JSON is nested deeper than an engine can be trusted with.
    #[error("cannot send a request whose messages or tools are nested deeper than {limit} levels")]
    TooDeep {
        /// The deepest that is passed on.
        limit: usize,
    },
    /// It has more tools than an engine can be trusted with.
    #[error("cannot send a request with {count} tools: {limit} are the most")]
    TooManyTools {
        /// How many it has.
        count: usize,
        /// The most that are passed on.
        limit: usize,
    },
    /// The tools are no list of objects whose parameters are objects.
    #[error("cannot simplify the tools: they are not a list of tools with object parameters")]
    Tools,
    /// The parameters are no object.
    #[error("cannot pass on the parameters: they are not a JSON object")]
    Parameters,
}

impl ChatRequest<'_> {
    /// Writes the JSON body of a streamed request. Everything that is not named here stays as it was written.
    ///
    /// * A message without `content` gets an empty one (`null` stays); `null` messages are none.
    /// * Tool calls of earlier turns get arguments that a template can read, and their type.
    /// * A flat `image_url` becomes `{"url": …}`.
    /// * Parameters stand beside it, but for those that would change how we talk with the engine.
    /// * Effort `none` also switches thinking off in the template, for engines that do not know the word.
    pub fn to_body(&self) -> Result<Vec<u8>, RequestError> {
        self.body_within(BODY_LIMIT)
    }

    /// Whether thinking must be switched off in the template.
    fn thinks_not(&self) -> bool {
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
        parameters::write(&mut body, self.parameters, self.thinks_not())?;
        body.push(b'}');
        if body.len() > limit {
            return Err(RequestError::TooLarge { bytes: body.len(), limit });
        }
        Ok(body)
    }
}

/// Writes a JSON string.
fn text(body: &mut Vec<u8>, text: &str) {
    // Strings always have a JSON form and a vector takes any length, so there is nothing to report.
    let _cannot_fail = serde_json::to_writer(body, text);
}

#[cfg(test)]
mod tests;
