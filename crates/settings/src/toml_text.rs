//! Keys and values as TOML writes them.

use figment::value::{Empty, Value};
use toml_writer::{ToTomlKey, ToTomlValue, TomlKeyBuilder, TomlStringBuilder};

/// A key with dots between its parts, as the file and every fault write it: `fleet.models."llama-3.2".slots`.
pub(crate) fn dotted(key: &[String]) -> String {
    key.iter().map(|part| bare(part)).collect::<Vec<_>>().join(".")
}

/// A key as TOML writes it: quoted where it holds anything but letters, digits, dash and underscore.
pub(crate) fn bare(key: &str) -> String {
    let key = TomlKeyBuilder::new(key);
    key.as_unquoted().unwrap_or_else(|| key.as_basic()).to_toml_key()
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
    TomlStringBuilder::new(text).as_basic().to_toml_value()
}
