//! Turns figment's error about a value into a sentence for the operator.

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use crate::entry::SettingEntry;
use crate::fault::SettingFault;
use crate::interpret::{is_duration, is_size};
use crate::nearest::nearest;
use crate::toml_text::dotted;
use crate::tree::Tree;

/// The fault that `error` reports about `entry`.
pub(crate) fn explain<T: DeserializeOwned>(error: &figment::Error, entry: &SettingEntry, tree: &Tree) -> SettingFault {
    // A section instead of a value: the fault is the outer key's, and the error's path ends there.
    if !error.path.is_empty()
        && entry.key.len() > error.path.len()
        && entry.key.starts_with(&error.path)
        && !is_unknown(error)
    {
        let outer =
            SettingEntry { key: error.path.clone(), value: Value::from(Dict::new()), origin: entry.origin.clone() };
        return explain::<T>(error, &outer, tree);
    }
    let mut key = if error.path.len() > entry.key.len() { error.path.clone() } else { entry.key.clone() };
    let quotable = tree.get(&entry.key).is_some();
    let text = match &error.kind {
        Kind::UnknownField(name, known) => {
            // The path ends in the unknown key itself. An outer user-defined key may have the same name.
            let depth = error.path.len().saturating_sub(1);
            key.truncate(depth + 1);
            unknown_key(name, known, &key[..depth])
        }
        Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) | Kind::Unsupported(found)
            if let Some(form) = form::<T>(entry) =>
        {
            format!("{form}{}", but_found(found, quotable))
        }
        Kind::Message(_) if let Some(form) = form::<T>(entry) => match entry.value.as_str() {
            Some(text) if quotable => format!("{form}, found {text:?}"),
            _ => form.to_owned(),
        },
        Kind::InvalidType(found, wanted) | Kind::InvalidValue(found, wanted) => {
            format!("expected {}{}", plain_words(wanted), but_found(found, quotable))
        }
        Kind::UnknownVariant(found, known) => {
            let near = nearest(found, known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let found = if quotable { format!(", found {found:?}") } else { String::new() };
            format!("expected {}{found}{near}", one_of(known))
        }
        Kind::Message(text) if text.starts_with("data did not match any variant") => {
            "the value is of the wrong kind".to_owned()
        }
        Kind::Message(text) if quotable => text.clone(),
        Kind::Message(_) => "the value cannot be used".to_owned(),
        other if quotable => other.to_string(),
        _ => "the value cannot be used".to_owned(),
    };
    SettingFault { origin: entry.origin.clone(), key: dotted(&key), text }
}

/// Whether the fault is the key and not its value.
pub(crate) fn is_unknown(error: &figment::Error) -> bool {
    matches!(error.kind, Kind::UnknownField(..))
}

fn unknown_key(name: &str, known: &[&str], section: &[String]) -> String {
    let what = if section.is_empty() { "section" } else { "key" };
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown {what}; did you mean `{near}`?"),
        None => format!("unknown {what}; expected {}", one_of(known)),
    }
}

fn one_of(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing here".to_owned(),
        [only] => only.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

/// The expected form of a duration or a size; `None` for other keys.
fn form<T: DeserializeOwned>(entry: &SettingEntry) -> Option<&'static str> {
    if is_duration::<T>(entry) {
        return Some("expected a duration such as \"30s\", \"5m\" or \"1h30m\", or whole seconds");
    }
    is_size::<T>(entry).then_some("expected a size such as \"512MiB\" or \"20GiB\"")
}

fn but_found(found: &Actual, quotable: bool) -> String {
    if !quotable {
        return String::new();
    }
    match found {
        Actual::Str(text) => format!(", found {text:?}"),
        Actual::Bool(flag) => format!(", found {flag}"),
        Actual::Unsigned(number) => format!(", found {number}"),
        Actual::Signed(number) => format!(", found {number}"),
        Actual::Float(number) => format!(", found {number}"),
        Actual::Seq => ", found a list".to_owned(),
        Actual::Map => ", found a section".to_owned(),
        _ => String::new(),
    }
}

/// The name of a type in plain words; serde reports the Rust type.
fn plain_words(wanted: &str) -> String {
    let numbers = |least: i128, most: u128| format!("a whole number from {least} to {most}");
    match wanted {
        "u8" => numbers(0, u8::MAX.into()),
        "u16" => numbers(0, u16::MAX.into()),
        "u32" => numbers(0, u32::MAX.into()),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list such as [\"a\", \"b\"]".to_owned(),
        "path string" | "a string" | "string" => "text in quotes".to_owned(),
        _ if wanted.starts_with("struct") => "a section".to_owned(),
        other => other.to_owned(),
    }
}
