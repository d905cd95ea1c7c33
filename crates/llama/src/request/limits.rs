//! The checks of a request before an engine gets it: what it would fail on, and which URLs it would fetch.
//!
//! An engine parses JSON recursively, makes a grammar of every tool, and fetches the images of a request itself, from any
//! URL. So depth and numbers are bounded here, and every URL that is not a data URL is found, also when a key is written
//! with escapes or twice.

use std::borrow::Cow;

use memchr::memmem;
use serde_json::value::RawValue;

use super::RequestError;
use crate::text::{Fields, elements};

/// The most levels of JSON in messages or tools, schemas included.
pub(super) const MOST_LEVELS: usize = 64;
/// The most tools of one request.
pub(super) const MOST_TOOLS: usize = 512;

/// Checks messages and tools against the limits of every engine.
///
/// # Errors
/// When they are nested too deep, or there are too many tools.
pub fn check(messages: Option<&RawValue>, tools: Option<&RawValue>) -> Result<(), RequestError> {
    for raw in [messages, tools].into_iter().flatten() {
        if levels(raw.get()) > MOST_LEVELS {
            return Err(RequestError::TooDeep { limit: MOST_LEVELS });
        }
    }
    let count = tools.and_then(elements).map_or(0, |tools| tools.len());
    if count > MOST_TOOLS {
        return Err(RequestError::TooManyTools { count, limit: MOST_TOOLS });
    }
    Ok(())
}

/// The deepest nesting of a JSON text.
fn levels(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.as_bytes();
    while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'"' | b'[' | b'{' | b']' | b'}')) {
        let byte = bytes[at];
        bytes = &bytes[at + 1..];
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => bytes = after_string(bytes),
        }
    }
    deepest
}

/// The bytes after a string whose opening quote is consumed.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
        let is_end = bytes[at] == b'"';
        bytes = bytes.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return bytes;
        }
    }
    &[]
}

/// Every URL in the messages that is not a `data:` URL: an engine would fetch it, or read it from disk.
pub fn foreign_urls(messages: &RawValue) -> Vec<Cow<'_, str>> {
    // Most conversations have none, and this check runs at memory speed. A key may be written with escapes.
    let bytes = messages.get().as_bytes();
    if memmem::find(bytes, b"_url").is_none() && memmem::find(bytes, b"\\u00").is_none() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for message in elements(messages).unwrap_or_default() {
        for content in values(message, |key| key == "content") {
            for part in elements(content).unwrap_or_default() {
                values(part, |key| key.ends_with("_url")).for_each(|value| note(value, &mut found));
            }
        }
    }
    found
}

/// The bytes of the texts that every template puts into its prompt: those of users, systems and tools, without the blanks
/// around them.
pub fn text_bytes(messages: &RawValue) -> usize {
    let mut bytes = 0;
    for fields in elements(messages).unwrap_or_default().into_iter().filter_map(Fields::of) {
        let role = fields.get("role").and_then(read);
        if !matches!(role.as_deref(), Some("user" | "system" | "tool")) {
            continue;
        }
        let Some(content) = fields.get("content") else { continue };
        let of_parts = || elements(content).unwrap_or_default().into_iter().filter_map(Fields::of);
        bytes += match read(content) {
            Some(text) => text.trim().len(),
            None => of_parts().filter_map(|part| read(part.get("text")?)).map(|text| text.trim().len()).sum(),
        };
    }
    bytes
}

fn read(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<crate::text::Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// The values of an object's fields that fit; a field may be there twice.
fn values(raw: &RawValue, fits: impl Fn(&str) -> bool) -> impl Iterator<Item = &RawValue> {
    let fields = Fields::of(raw).map_or_else(Vec::new, |fields| fields.0);
    fields.into_iter().filter(move |(key, _)| fits(key)).map(|(_, value)| value)
}

/// Notes an address, flat or in an object.
fn note<'a>(value: &'a RawValue, found: &mut Vec<Cow<'a, str>>) {
    match serde_json::from_str::<crate::text::Text<'a>>(value.get()) {
        Ok(url) if is_data(&url.0) => {}
        Ok(url) => found.push(url.0),
        Err(_) => values(value, |key| key == "url").for_each(|value| note(value, found)),
    }
}

/// Whether an address is its own content. An empty one is none, and the engine says so.
pub(super) fn is_data(url: &str) -> bool {
    url.is_empty() || url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).expect("JSON")
    }

    fn nested(levels: usize) -> Box<RawValue> {
        raw(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)))
    }

    #[test]
    fn depth_and_number_are_bounded() {
        assert_eq!(check(Some(&nested(64)), Some(&nested(64))), Ok(()));
        assert!(matches!(check(Some(&nested(65)), None), Err(RequestError::TooDeep { .. })));
        assert!(matches!(check(None, Some(&nested(100_000))), Err(RequestError::TooDeep { .. })));
        assert_eq!(levels(r#"["[[[","\"[[", {"a":[1]}, "\\"]"#), 3, "brackets in a text are text");
        assert_eq!(levels(r#""no end \"#), 0);
        let tools = |count: usize| raw(&format!("[{}]", vec!["{}"; count].join(",")));
        assert_eq!(check(None, Some(&tools(MOST_TOOLS))), Ok(()));
        assert!(matches!(check(None, Some(&tools(MOST_TOOLS + 1))), Err(RequestError::TooManyTools { .. })));
    }

    #[test]
    fn the_texts_that_are_counted_are_those_that_no_template_leaves_out() {
        let messages = raw(r#"[{"role":"system","content":" ab\u0063 "},{"role":"assistant","content":"left out"},
                {"role":"user","content":[{"type":"text","text":"de"},{"type":"image_url","image_url":"data:,AAAA"}]},
                {"role":"tool","content":"f"},{"role":"user"},{"role":"user","content":null},7]"#);
        assert_eq!(text_bytes(&messages), 6);
        assert_eq!(text_bytes(&raw("null")), 0);
    }

    #[test]
    fn every_address_that_is_no_data_url_is_found() {
        let urls = |part: &str| {
            let messages = raw(&format!(r#"[{{"role":"user","content":[{{"type":"text","text":"x"}},{part}]}}]"#));
            foreign_urls(&messages).into_iter().map(Cow::into_owned).collect::<Vec<_>>()
        };
        assert!(urls(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}"#).is_empty());
        assert!(urls(r#"{"type":"image_url","image_url":"DATA:image/png;base64,AA"}"#).is_empty());
        let found = ["http://h/x"];
        for part in [
            r#"{"type":"image_url","image_url":{"url":"http://h/x"}}"#,
            r#"{"type":"image_url","image_url":"http://h/x"}"#,
            r#"{"type":"image_url","image\u005furl":{"u\u0072l":"http:\/\/h/x"}}"#,
            r#"{"image_url":{"url":"data:,"},"image_url":{"url":"http://h/x"}}"#,
            r#"{"image_url":{"url":"data:,","url":"http://h/x"}}"#,
            r#"{"type":"video_url","video_url":{"url":"http://h/x"}}"#,
        ] {
            assert_eq!(urls(part), found, "{part}");
        }
        assert_eq!(urls(r#"{"image_url":{"url":"file:///etc/passwd"}}"#), ["file:///etc/passwd"]);
        let twice = raw(r#"[{"content":[],"content":[{"image_url":"http://h/x"}]}]"#);
        assert_eq!(foreign_urls(&twice), found);
        assert!(foreign_urls(&raw(r#"[{"content":"see http://h/x and \"image_url\""}]"#)).is_empty());
    }
}
