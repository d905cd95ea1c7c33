//! Interprets one value: as it is written, or as an alternative that the key accepts.

use figment::Figment;
use figment::value::{Num, Value};
use serde::de::DeserializeOwned;

use crate::entry::SettingEntry;
use crate::file::bracketed;

/// Checks one entry alone against the defaults of `T`, and returns it with the first accepted interpretation.
///
/// The types of the section decide. No list says which keys are durations or lists, so that a new key needs no entry in
/// one.
///
/// # Errors
/// The section's error about the value as it is written.
pub(crate) fn interpret<T: DeserializeOwned>(entry: &SettingEntry) -> Result<SettingEntry, Box<figment::Error>> {
    let Err(as_written) = attempt::<T>(entry) else { return Ok(entry.clone()) };
    alternatives::<T>(entry)
        .into_iter()
        .map(|value| entry.with_value(value))
        .find(|other| attempt::<T>(other).is_ok())
        .ok_or(as_written)
}

/// Whether the key of `entry` accepts durations, and not any text.
pub(crate) fn is_duration<T: DeserializeOwned>(entry: &SettingEntry) -> bool {
    accepts::<T>(entry, "1h30m") && !accepts_any_text::<T>(entry)
}

/// Whether the key of `entry` accepts sizes, and not any text.
pub(crate) fn is_size<T: DeserializeOwned>(entry: &SettingEntry) -> bool {
    accepts::<T>(entry, "1GiB") && !accepts_any_text::<T>(entry)
}

fn accepts_any_text<T: DeserializeOwned>(entry: &SettingEntry) -> bool {
    accepts::<T>(entry, "no such thing")
}

fn accepts<T: DeserializeOwned>(entry: &SettingEntry, word: &str) -> bool {
    attempt::<T>(&entry.with_value(Value::from(word))).is_ok()
}

fn attempt<T: DeserializeOwned>(entry: &SettingEntry) -> Result<(), Box<figment::Error>> {
    match Figment::from(entry).extract_lossy::<T>() {
        // A key that is missing beside this entry is a fault of the whole, not of the entry.
        Err(error) if !error.missing() => Err(Box::new(error)),
        _ => Ok(()),
    }
}

fn alternatives<T: DeserializeOwned>(entry: &SettingEntry) -> Vec<Value> {
    let mut readings = Vec::new();
    let seconds = match &entry.value {
        Value::Num(_, number) => whole_number(number),
        Value::String(_, text) => text.parse().ok(),
        _ => None,
    };
    if let Some(seconds) = seconds.filter(|_| is_duration::<T>(entry)) {
        readings.push(Value::from(format!("{seconds}s")));
    }
    if let Some(text) = entry.value.as_str().filter(|_| entry.is_textual()) {
        readings.extend(text.parse::<i64>().ok().map(Value::from));
        readings.push(bracketed(text).unwrap_or_else(|| list(text)));
    }
    readings
}

/// The number, if it is a whole number from 0.
pub(crate) fn whole_number(number: &Num) -> Option<u128> {
    number.to_u128().or_else(|| number.to_i128().and_then(|signed| u128::try_from(signed).ok()))
}

/// `a, b,` is the list of `a` and `b`.
fn list(text: &str) -> Value {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::from(items.map(Value::from).collect::<Vec<_>>())
}
