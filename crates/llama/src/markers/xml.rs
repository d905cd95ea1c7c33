//! The inside of a `<tool_call>`: `<function=NAME> <parameter=KEY>VALUE</parameter> … </function>`, or JSON.

use serde_json::{Map, Value};

use super::schema::Schema;
use crate::{
    ToolCall,
    tool_calls::{Care, fresh, tidy},
};

const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

/// Parses a whole block; `None` when it is something else.
pub(super) fn parse(body: &str, schema: &Schema) -> Option<Vec<ToolCall>> {
    let body = body.trim();
    if body.starts_with('{') {
        return Some(vec![from_json(body)?]);
    }
    let mut rest = body;
    let mut calls = Vec::new();
    while !rest.is_empty() {
        let (call, left) = function(rest, schema)?;
        calls.push(call);
        rest = left.trim_start();
    }
    (!calls.is_empty()).then_some(calls)
}

/// Parses a block without an end, if every function in it is complete.
pub(super) fn parse_unfinished(body: &str, schema: &Schema) -> Option<Vec<ToolCall>> {
    let body = body.trim();
    let whole = body.starts_with('{') || body.ends_with(FUNCTION_END);
    if whole { parse(body, schema) } else { None }
}

/// `{"name": …, "arguments": {…}}`
fn from_json(body: &str) -> Option<ToolCall> {
    let mut object: Map<String, Value> = serde_json::from_str(body).ok()?;
    let name = object.get("name")?.as_str()?.to_owned();
    let arguments = match object.remove("arguments") {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => tidy(&text, Care::Execute)?.into_owned(),
        Some(arguments) => arguments.is_object().then(|| arguments.to_string())?,
    };
    call(name, arguments)
}

fn function<'a>(text: &'a str, schema: &Schema) -> Option<(ToolCall, &'a str)> {
    let (name, rest) = text.strip_prefix(FUNCTION)?.split_once('>')?;
    let name = name.trim();
    let mut rest = rest.trim_start();
    let mut arguments = Map::new();
    while let Some(inside) = rest.strip_prefix(PARAMETER) {
        let (key, inside) = inside.split_once('>')?;
        let (value, left) = inside.split_once(PARAMETER_END)?;
        let key = key.trim();
        arguments.insert(key.to_owned(), schema.value(name, key, value.trim()));
        rest = left.trim_start();
    }
    let rest = rest.strip_prefix(FUNCTION_END)?;
    Some((call(name.to_owned(), Value::Object(arguments).to_string())?, rest))
}

fn call(name: String, arguments: String) -> Option<ToolCall> {
    // A name with blanks or brackets belongs to text about calls.
    let plain = !name.is_empty() && !name.contains(|letter: char| letter.is_whitespace() || "<>{}\"".contains(letter));
    plain.then(|| ToolCall { id: fresh("xml_"), kind: "function".to_owned(), name, arguments })
}
