//! Reduces tool schemas to what every template and grammar can read.

use serde_json::{Map, Value, value::RawValue};

use super::RequestError;

/// Keeps of each tool's parameters only `type`, `properties` and `required`, and of each property only `type`,
/// `description`, `enum` and `required`.
///
/// This loses the element types of arrays and objects, so it is for one more attempt after the engine refused the full
/// schemas ([`crate::EngineError::is_template_fault`]).
///
/// # Errors
/// When the tools are not a list of objects whose parameters are objects.
pub fn reduce_tools(tools: &RawValue) -> Result<Box<RawValue>, RequestError> {
    let mut tools: Vec<Value> = serde_json::from_str(tools.get()).map_err(|_| RequestError::Tools)?;
    for tool in &mut tools {
        let parameters = tool.get_mut("function").and_then(|function| function.get_mut("parameters"));
        match parameters {
            None | Some(Value::Null) => {}
            Some(Value::Object(parameters)) => reduce(parameters),
            Some(_) => return Err(RequestError::Tools),
        }
    }
    serde_json::value::to_raw_value(&tools).map_err(|_| RequestError::Tools)
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
