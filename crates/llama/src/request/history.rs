//! The messages of a request: parsed one level at a time; unknown parts stay as they were written.

use std::borrow::Cow;

use memchr::memmem;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::text;
use crate::{
    text::{Fields, elements},
    tool_calls::{Care, tidy},
};

/// Writes the list of messages.
pub(super) fn write(body: &mut Vec<u8>, messages: Option<&RawValue>) {
    match messages {
        Some(messages) if messages.get() != "null" => list(body, messages, message),
        _ => body.extend_from_slice(b"[]"),
    }
}

/// Whether any message contains an image.
pub fn has_images(messages: &RawValue) -> bool {
    // Most conversations have none, and this check runs at memory speed.
    if memmem::find(messages.get().as_bytes(), b"image_url").is_none() {
        return false;
    }
    let is_image = |part: &RawValue| Fields::of(part).is_some_and(|part| part.get("image_url").is_some());
    let messages = elements(messages).unwrap_or_default();
    let contents = messages.into_iter().filter_map(|message| Fields::of(message)?.get("content"));
    contents.filter_map(elements).flatten().any(is_image)
}

/// Writes a list with each element changed by `each`; anything but a list stays as it is.
fn list(body: &mut Vec<u8>, raw: &RawValue, each: fn(&mut Vec<u8>, &RawValue)) {
    let Some(elements) = elements(raw) else { return body.extend_from_slice(raw.get().as_bytes()) };
    body.push(b'[');
    for (number, element) in elements.into_iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        each(body, element);
    }
    body.push(b']');
}

/// Writes an object: `change` may write another value for a field (and returns whether it did), `added` are fields that are
/// added when they are missing. Anything but an object stays as it is.
fn object(
    body: &mut Vec<u8>,
    raw: &RawValue,
    change: fn(&mut Vec<u8>, &str, &RawValue) -> bool,
    added: &[(&str, &str)],
) {
    let Some(fields) = Fields::of(raw) else { return body.extend_from_slice(raw.get().as_bytes()) };
    body.push(b'{');
    for (key, value) in &fields.0 {
        text(body, key);
        body.push(b':');
        if !change(body, key, value) {
            body.extend_from_slice(value.get().as_bytes());
        }
        body.push(b',');
    }
    for (key, value) in added.iter().filter(|(key, _)| fields.get(key).is_none()) {
        body.extend_from_slice(format!("\"{key}\":{value},").as_bytes());
    }
    if body.ends_with(b",") {
        body.pop();
    }
    body.push(b'}');
}

fn message(body: &mut Vec<u8>, raw: &RawValue) {
    let change = |body: &mut Vec<u8>, key: &str, value: &RawValue| {
        match key {
            "content" => list(body, value, part),
            "tool_calls" => list(body, value, call),
            _ => return false,
        }
        true
    };
    object(body, raw, change, &[("content", "\"\"")]);
}

/// A part of a content. Some callers send the flat form of an image, which no engine reads.
fn part(body: &mut Vec<u8>, raw: &RawValue) {
    let change = |body: &mut Vec<u8>, key: &str, value: &RawValue| {
        let flat = key == "image_url" && value.get().starts_with('"') && value.get() != "\"\"";
        if flat {
            body.extend_from_slice(b"{\"url\":");
            body.extend_from_slice(value.get().as_bytes());
            body.push(b'}');
        }
        flat
    };
    object(body, raw, change, &[]);
}

fn call(body: &mut Vec<u8>, raw: &RawValue) {
    let change = |body: &mut Vec<u8>, key: &str, value: &RawValue| {
        if key == "function" {
            object(body, value, arguments, &[("arguments", "\"{}\"")]);
        }
        key == "function"
    };
    object(body, raw, change, &[("type", "\"function\"")]);
}

/// The arguments of an earlier call. Templates parse them and fail on anything but JSON.
fn arguments(body: &mut Vec<u8>, key: &str, value: &RawValue) -> bool {
    if key != "arguments" {
        return false;
    }
    let raw = value.get();
    let written: Cow<'_, str> = match raw.as_bytes().first() {
        Some(b'"') => {
            let Ok(said) = serde_json::from_str::<String>(raw) else { return false };
            match tidy(&said, Care::Remember) {
                Some(tidied) if *tidied == *said => return false,
                Some(tidied) => Cow::Owned(tidied.into_owned()),
                // JSON of another kind can be read; the template decides whether it is valid.
                None if serde_json::from_str::<IgnoredAny>(&said).is_ok() => return false,
                None => Cow::Borrowed("{}"),
            }
        }
        // An object instead of its text.
        Some(b'{') => Cow::Borrowed(raw),
        Some(b'n') => Cow::Borrowed("{}"),
        _ => return false,
    };
    text(body, &written);
    true
}
