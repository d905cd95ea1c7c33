//! The types of tool parameters.

use std::collections::HashMap;

use serde_json::{Value, value::RawValue};

/// The types of all parameters of all tools of a request.
#[derive(Debug, Default)]
pub(super) struct Schema(HashMap<String, HashMap<String, String>>);

impl Schema {
    /// Parses a request's tools; a parameter that cannot be parsed has no type.
    pub(super) fn of(tools: &RawValue) -> Self {
        let tools: Vec<Value> = serde_json::from_str(tools.get()).unwrap_or_default();
        let typed = tools.iter().filter_map(|tool| {
            let function = tool.get("function")?;
            let properties = function.get("parameters")?.get("properties")?.as_object()?;
            let types = properties.iter().filter_map(|(name, property)| Some((name.clone(), kind(property)?)));
            Some((function.get("name")?.as_str()?.to_owned(), types.collect()))
        });
        Self(typed.collect())
    }

    /// The JSON value of `text`.
    pub(super) fn value(&self, function: &str, parameter: &str, text: &str) -> Value {
        let json = || serde_json::from_str::<Value>(text).ok();
        let value = match self.0.get(function).and_then(|types| types.get(parameter)).map(String::as_str) {
            Some("string") => None,
            Some("integer" | "number") => json().filter(Value::is_number),
            Some("boolean") => text.to_ascii_lowercase().parse().ok().map(Value::Bool),
            Some("object") => json().filter(Value::is_object),
            Some("array") => json().filter(Value::is_array),
            Some("null") => json().filter(Value::is_null),
            _ => json().filter(|value| value.is_object() || value.is_array()),
        };
        value.unwrap_or_else(|| Value::from(text))
    }
}

/// The type of a property; of several the first that is not `null`.
fn kind(property: &Value) -> Option<String> {
    match property.get("type")? {
        Value::String(kind) => Some(kind.clone()),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").map(str::to_owned),
        _ => None,
    }
}
