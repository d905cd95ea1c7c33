//! The ways to read one value: what was written, and what the writer may have meant.

use figment::Figment;
use figment::value::{Num, Value};
use serde::de::DeserializeOwned;

use crate::entry::Entry;
use crate::file::bracketed;

/// Reads one entry alone against the defaults of `T`.
///
/// The section's own types decide: the first reading that they take is the one meant. So nobody keeps
/// a list of which keys are durations or lists, and a new key needs no entry in such a list.
///
/// # Errors
/// What the section says about the value as it was written.
pub(crate) fn understand<T: DeserializeOwned>(entry: &Entry) -> Result<Entry, Box<figment::Error>> {
    let Err(as_written) = attempt::<T>(entry) else { return Ok(entry.clone()) };
    others::<T>(entry)
        .into_iter()
        .map(|value| entry.with_value(value))
        .find(|other| attempt::<T>(other).is_ok())
        .ok_or(as_written)
}

/// Whether the key of `entry` takes durations, and not just any text.
pub(crate) fn is_duration<T: DeserializeOwned>(entry: &Entry) -> bool {
    takes::<T>(entry, "1h30m") && !takes_any_text::<T>(entry)
}

/// Whether the key of `entry` takes sizes, and not just any text.
pub(crate) fn is_size<T: DeserializeOwned>(entry: &Entry) -> bool {
    takes::<T>(entry, "1GiB") && !takes_any_text::<T>(entry)
}

fn takes_any_text<T: DeserializeOwned>(entry: &Entry) -> bool {
    takes::<T>(entry, "no such thing")
}

fn takes<T: DeserializeOwned>(entry: &Entry, word: &str) -> bool {
    attempt::<T>(&entry.with_value(Value::from(word))).is_ok()
}

fn attempt<T: DeserializeOwned>(entry: &Entry) -> Result<(), Box<figment::Error>> {
    match Figment::from(entry).extract_lossy::<T>() {
        // What is still missing beside this entry is a question to the whole, not to the part.
        Err(error) if !error.missing() => Err(Box::new(error)),
        _ => Ok(()),
    }
}

fn others<T: DeserializeOwned>(entry: &Entry) -> Vec<Value> {
    let mut readings = Vec::new();
    let seconds = match &entry.value {
        Value::Num(_, number) => whole(number),
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

/// The number, if it is whole and not negative.
pub(crate) fn whole(number: &Num) -> Option<u128> {
    number.to_u128().or_else(|| number.to_i128().and_then(|signed| u128::try_from(signed).ok()))
}

/// `a, b,` is the list of `a` and `b`.
fn list(text: &str) -> Value {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::from(items.map(Value::from).collect::<Vec<_>>())
}
