//! The caller's parameters for the engine, beside the fields of [`super::ChatRequest`].

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{RequestError, text};

/// Fields of [`super::ChatRequest`], and those that would change the form of the answer and not its content.
const OURS: [&str; 13] = [
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
const TEMPLATE: &str = "chat_template_kwargs";
/// Switches reasoning off in the known templates.
const NO_THINKING: &str = "\"enable_thinking\":false,\"thinking\":false";

/// Writes the fields of `parameters`, each after a comma.
pub(super) fn write(body: &mut Vec<u8>, parameters: Option<&RawValue>, no_thinking: bool) -> Result<(), RequestError> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = match parameters.map(RawValue::get) {
        None | Some("null") => BTreeMap::new(),
        Some(parameters) => serde_json::from_str(parameters).map_err(|_| RequestError::Parameters)?,
    };
    for (name, value) in fields.iter().filter(|(name, _)| !OURS.contains(&&***name) && **name != TEMPLATE) {
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

fn field(body: &mut Vec<u8>, name: &str, value: &str) {
    body.push(b',');
    text(body, name);
    body.push(b':');
    body.extend_from_slice(value.as_bytes());
}
