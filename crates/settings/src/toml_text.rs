//! Keys and values as TOML writes them.

use std::fmt::Write;

use figment::value::{Empty, Value};

/// A key with dots between its parts, as the file and every fault write it: `fleet.models."llama-3.2".slots`.
pub(crate) fn dotted(key: &[String]) -> String {
    key.iter().map(|part| bare(part)).collect::<Vec<_>>().join(".")
}

/// A key as TOML writes it: quoted where it holds anything but letters, digits, dash and underscore.
pub(crate) fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(plain) { key.to_owned() } else { quoted(key) }
}

/// A value as TOML writes it; `None` for no value.
pub(crate) fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, character) => quoted(&character.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (.., fraction) => format!("{:?}", fraction.unwrap_or_default()),
        },
        Value::Empty(_, Empty::None | Empty::Unit) => return None,
        Value::Array(_, items) => format!("[{}]", items.iter().filter_map(toml).collect::<Vec<_>>().join(", ")),
        Value::Dict(_, dict) => {
            let pairs = dict.iter().filter_map(|(key, value)| Some(format!("{} = {}", bare(key), toml(value)?)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(other));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
