//! Parses a chat request: fields of the protocol, fields that are passed on as they are, and unsupported ones.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::failure::{BadRequest, Failure};
use crate::parameters::{IGNORED, is_neutral};

/// Fields that are passed on: their number and bytes.
const MAX_PARAMETERS: usize = 64;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;
/// A longer field name is cut in messages.
const MAX_SHOWN_NAME: usize = 64;

/// Fields that no engine supports: an answer without them would not be what was requested.
const UNSUPPORTED: [&str; 6] = ["audio", "functions", "function_call", "web_search_options", "prediction", "id_slot"];

/// A chat request, checked.
#[derive(Debug, Default)]
pub(crate) struct ParsedRequest {
    pub(crate) model: Option<String>,
    pub(crate) messages: Option<Box<RawValue>>,
    pub(crate) tools: Option<Box<RawValue>>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_tokens: Option<i64>,
    pub(crate) reasoning_effort: Option<String>,
    pub(crate) include_usage: bool,
    /// The fields that the protocol does not have, as one JSON object.
    pub(crate) parameters: Option<Box<RawValue>>,
    /// The first of them that changes the answer: it must not get lost.
    pub(crate) required_parameter: Option<String>,
    /// Valid for an engine, and not for a chat job.
    pub(crate) unsupported: Option<BadRequest>,
}

type RequestFields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Parses and checks a request.
pub(crate) fn read(body: &[u8]) -> Result<ParsedRequest, Failure> {
    let mut fields: RequestFields<'_> = serde_json::from_slice(body).map_err(|error| {
        BadRequest::new(format!(
            "cannot read the request: {} at line {} column {}",
            if error.is_data() { "not a JSON object" } else { "not JSON" },
            error.line(),
            error.column()
        ))
    })?;
    fields.retain(|_, value| value.get() != "null");
    let mut request = ParsedRequest {
        model: take::<String>(&mut fields, "model", "a string")?.filter(|model| !model.trim().is_empty()),
        messages: fields.remove("messages").map(ToOwned::to_owned),
        temperature: take(&mut fields, "temperature", "a number")?,
        reasoning_effort: take(&mut fields, "reasoning_effort", "a string")?,
        ..ParsedRequest::default()
    };
    take::<bool>(&mut fields, "stream", "true or false")?;
    let old = take(&mut fields, "max_tokens", "a whole number")?;
    request.max_tokens = take(&mut fields, "max_completion_tokens", "a whole number")?.or(old);
    let options: Option<StreamOptions> = take(&mut fields, "stream_options", "an object")?;
    request.include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    if !request.messages.as_deref().is_some_and(is_filled_list) {
        let code = if request.messages.is_some() { "invalid_value" } else { "missing_required_parameter" };
        let fault = BadRequest::new("`messages` must be a list with at least one message");
        return Err(fault.of("messages").code(code).into());
    }
    if let Some(n) = fields.remove("n").filter(|n| n.get() != "1") {
        let fault = BadRequest::new("`n` must be 1: no worker that has the model gives more answers").of("n");
        if n.get().parse::<u32>().is_err() {
            return Err(fault.code("invalid_type").into());
        }
        request.unsupported = Some(fault.code("invalid_value"));
    }
    request.tools = tools(&mut fields)?;
    fields.retain(|name, _| !IGNORED.contains(&&**name));
    if let Some(name) = UNSUPPORTED.iter().find(|name| fields.contains_key(**name)) {
        let fault = BadRequest::new(format!("`{name}` is not served here"));
        request.unsupported = Some(fault.of(name).code("unsupported_parameter"));
    }
    keep_other_fields(&mut request, &fields);
    Ok(request)
}

#[derive(serde::Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// The tools, unless `tool_choice` forbids their use.
fn tools(fields: &mut RequestFields<'_>) -> Result<Option<Box<RawValue>>, Failure> {
    let chosen = fields.get("tool_choice").map_or("\"auto\"", |chosen| chosen.get());
    // "none" is honoured by leaving the tools out.
    if chosen == "\"none\"" {
        fields.remove("tool_choice");
        fields.remove("tools");
        return Ok(None);
    }
    let tools = fields.remove("tools").filter(|tools| is_filled_list(tools)).map(ToOwned::to_owned);
    if tools.is_none() {
        if chosen != "\"auto\"" {
            let fault = BadRequest::new("`tool_choice` needs `tools` to choose from");
            return Err(fault.of("tool_choice").code("invalid_value").into());
        }
        fields.remove("tool_choice");
        fields.remove("parallel_tool_calls");
    }
    Ok(tools)
}

/// Keeps the other fields for workers that support them.
fn keep_other_fields(request: &mut ParsedRequest, fields: &RequestFields<'_>) {
    if fields.is_empty() {
        return;
    }
    let bytes: usize = fields.iter().map(|(name, value)| name.len() + value.get().len()).sum();
    if fields.len() > MAX_PARAMETERS || bytes > MAX_PARAMETER_BYTES {
        request.unsupported = Some(BadRequest::new(format!(
            "cannot pass on {} parameters of {bytes} bytes: {MAX_PARAMETERS} of {MAX_PARAMETER_BYTES} bytes in all are allowed",
            fields.len()
        )));
        return;
    }
    request.required_parameter = fields
        .iter()
        .find(|(name, value)| !is_neutral(name, value.get()))
        .map(|(name, _)| name.chars().take(MAX_SHOWN_NAME).collect());
    request.parameters = serde_json::value::to_raw_value(fields).ok();
}

/// Removes and parses one field of a known type.
fn take<T: DeserializeOwned>(
    fields: &mut RequestFields<'_>,
    name: &'static str,
    expected: &str,
) -> Result<Option<T>, Failure> {
    let Some(value) = fields.remove(name) else { return Ok(None) };
    // Without the value that serde quotes: it may be a prompt.
    let fault = |_| BadRequest::new(format!("`{name}` must be {expected}")).of(name).code("invalid_type").into();
    serde_json::from_str(value.get()).map(Some).map_err(fault)
}

/// Whether a JSON text is a list with at least one element.
fn is_filled_list(json: &RawValue) -> bool {
    let inside = json.get().strip_prefix('[');
    inside.is_some_and(|inside| !inside.trim_start().starts_with(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(rest: &str) -> Result<ParsedRequest, Failure> {
        read(format!(r#"{{"messages":[{{"role":"user","content":"a secret"}}]{rest}}}"#).as_bytes())
    }

    fn passed(rest: &str) -> (Option<String>, Option<String>) {
        let request = with(rest).unwrap();
        (request.parameters.map(|parameters| parameters.get().to_owned()), request.required_parameter)
    }

    #[test]
    fn fields_without_a_protocol_field_are_kept_and_those_that_change_the_answer_are_required() {
        assert_eq!(passed(r#","user":"u","metadata":{},"seed":null"#), (None, None));
        let (kept, required_parameter) = passed(r#","seed":7,"stop":["x"],"top_p":1.0"#);
        assert_eq!(kept.as_deref(), Some(r#"{"seed":7,"stop":["x"],"top_p":1.0}"#));
        assert_eq!(required_parameter.as_deref(), Some("seed"));
        for neutral in [
            r#""top_p":1"#,
            r#""presence_penalty":0"#,
            r#""logprobs":false"#,
            r#""stop":[]"#,
            r#""response_format":{"type":"text"}"#,
            r#""logit_bias":{}"#,
        ] {
            assert_eq!(passed(&format!(",{neutral}")).1, None, "{neutral}");
        }
        for changing in [
            r#""top_p":0.5"#,
            r#""response_format":{"type":"json_object"}"#,
            r#""min_p":0.1"#,
            r#""logprobs":true"#,
            r#""unknown_field":1"#,
        ] {
            assert!(passed(&format!(",{changing}")).1.is_some(), "{changing}");
        }
    }

    #[test]
    fn tool_choice_is_kept_where_there_are_tools() {
        let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
        let request = with(&format!(r#"{tools},"tool_choice":"required""#)).unwrap();
        assert!(request.tools.is_some() && request.required_parameter.as_deref() == Some("tool_choice"));
        assert!(with(&format!(r#"{tools},"tool_choice":"none""#)).unwrap().tools.is_none());
        assert_eq!(with(&format!(r#"{tools},"tool_choice":"auto""#)).unwrap().required_parameter, None);
        assert!(with(r#","tool_choice":"required""#).is_err());
        assert!(
            with(r#","tools":[],"tool_choice":"auto","parallel_tool_calls":false"#)
                .unwrap()
                .required_parameter
                .is_none()
        );
    }

    #[test]
    fn an_error_names_its_field_and_quotes_no_value() {
        for (rest, field) in [
            (r#","temperature":"a secret""#, "temperature"),
            (r#","stream":"a secret""#, "stream"),
            (r#","max_tokens":1.5"#, "max_tokens"),
            (r#","n":"a secret""#, "n"),
            (r#","model":7"#, "model"),
        ] {
            let fault = serde_json::to_value(with(rest).unwrap_err().body()).unwrap();
            assert_eq!(fault["error"]["param"], field);
            assert!(fault["error"]["code"].is_string() && !fault.to_string().contains("secret"), "{fault}");
        }
        assert!(with(r#","n":1,"model":" ","temperature":0"#).is_ok_and(|request| request.model.is_none()));
    }

    #[test]
    fn what_a_chat_job_cannot_carry_is_named() {
        for (rest, field) in [(r#","n":2"#, "n"), (r#","audio":{}"#, "audio")] {
            let fault = Failure::from(with(rest).unwrap().unsupported.unwrap());
            assert_eq!(serde_json::to_value(fault.body()).unwrap()["error"]["param"], field);
        }
        let many: String = (0..=MAX_PARAMETERS).map(|number| format!(r#","p{number}":1"#)).collect();
        assert!(with(&many).unwrap().unsupported.is_some());
        assert_eq!(with(r#","n":1,"seed":7"#).unwrap().unsupported, None);
    }
}
