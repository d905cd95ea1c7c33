//! Reduces tool schemas to what every template and grammar can read.

use std::ops::Range;

use serde_json::{Map, Value, value::RawValue};

use super::RequestError;

/// Keeps of each tool's parameters only `type`, `properties` and `required`, and of each property only `type`,
/// `description`, `enum` and `required`. Tools are as in chats, responses (`parameters`) or messages (`input_schema`).
///
/// This loses the element types of arrays and objects, so it is for one more attempt after the engine refused the full
/// schemas ([`crate::EngineError::is_template_fault`]).
///
/// # Errors
/// When the tools are not a list of objects whose parameters are objects.
pub fn reduce_tools(tools: &RawValue) -> Result<Box<RawValue>, RequestError> {
    let mut tools: Vec<Value> = serde_json::from_str(tools.get()).map_err(|_| RequestError::Tools)?;
    for tool in &mut tools {
        match tool.get_mut("function") {
            Some(function) => reduce_field(function, "parameters")?,
            None => {
                reduce_field(tool, "parameters")?;
                reduce_field(tool, "input_schema")?;
            }
        }
    }
    serde_json::value::to_raw_value(&tools).map_err(|_| RequestError::Tools)
}

/// A request's body whose list of tools, which is at this place, is reduced.
///
/// # Errors
/// As [`reduce_tools`].
pub fn with_reduced_tools(body: &[u8], place: Range<usize>) -> Result<Vec<u8>, RequestError> {
    let tools = body.get(place.clone()).and_then(|tools| serde_json::from_slice::<&RawValue>(tools).ok());
    let reduced = reduce_tools(tools.ok_or(RequestError::Tools)?)?;
    Ok([&body[..place.start], reduced.get().as_bytes(), &body[place.end..]].concat())
}

fn reduce_field(object: &mut Value, name: &str) -> Result<(), RequestError> {
    match object.get_mut(name) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(parameters)) => {
            reduce(parameters);
            Ok(())
        }
        Some(_) => Err(RequestError::Tools),
    }
}

fn reduce(parameters: &mut Map<String, Value>) {
    parameters.retain(|key, _| matches!(key.as_str(), "type" | "properties" | "required"));
    let Some(Value::Object(properties)) = parameters.get_mut("properties") else { return };
    properties.retain(|_, property| property.is_object());
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        property.retain(|key, _| matches!(key.as_str(), "type" | "description" | "enum" | "required"));
        if property.get("type").is_none_or(Value::is_null) {
            property.insert("type".to_owned(), Value::from("string"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tools_of_a_body_change_in_each_api() {
        let full = r#"{"type":"object","$defs":{},"properties":{"a":{"type":"array","items":{"type":"string"}}}}"#;
        let reduced = r#"{"type":"object","properties":{"a":{"type":"array"}}}"#;
        for tool in [
            r#"{"type":"function","function":{"name":"f","parameters":SCHEMA}}"#,
            r#"{"type":"function","name":"f","parameters":SCHEMA}"#,
            r#"{"name":"f","input_schema":SCHEMA}"#,
        ] {
            let with = |schema: &str| format!(r#"[{}]"#, tool.replace("SCHEMA", schema));
            let (before, behind) = (r#"{ "x" : 1.0, "tools": "#, r#" ,"y":"\u0041"}"#);
            let body = format!("{before}{}{behind}", with(full));
            let place = before.len()..body.len() - behind.len();
            let found = with_reduced_tools(body.as_bytes(), place).expect("tools");
            let found = String::from_utf8(found).expect("text");
            let tools = found.strip_prefix(before).and_then(|rest| rest.strip_suffix(behind)).expect("the rest stays");
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(value(tools), value(&with(reduced)), "{tool}");
        }
        for (body, place) in [("[1]", 0..3), (r#"[{"parameters":"x"}]"#, 0..20), ("[", 0..1), ("[]", 0..9)] {
            let found = with_reduced_tools(body.as_bytes(), place);
            assert_eq!(found.is_err(), body != "[1]", "{body}: {found:?}");
        }
    }
}
