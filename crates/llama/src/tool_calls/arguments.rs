//! Makes the text of a call's arguments a JSON object when there is only one way.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The use of the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// A tool runs with them: a value that was cut must not be used as a complete one.
    Execute,
    /// A chat template must be able to read them as history; a value that was cut may be closed.
    Remember,
}

/// Whether the text is a JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The arguments as a JSON object; `None` when that needs a guess.
pub(crate) fn tidy(text: &str, care: Care) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if text.is_empty() || text == "null" {
        return Some(Cow::Borrowed("{}"));
    }
    if is_object(text) {
        return Some(Cow::Borrowed(text));
    }
    if text.starts_with('"') {
        // Some models write the object as a JSON string of it.
        let inner: String = serde_json::from_str(text).ok()?;
        return match inner.trim() {
            "" => Some(Cow::Borrowed("{}")),
            inner if is_object(inner) => Some(Cow::Owned(inner.to_owned())),
            _ => None,
        };
    }
    repair(text, care).filter(|text| is_object(text)).map(Cow::Owned)
}

/// Repairs the most frequent faults of models: line breaks in a string, a comma before a closing bracket, a bracket too many
/// at the end, or missing brackets at the end. The result need not be JSON.
fn repair(text: &str, care: Care) -> Option<String> {
    if !text.starts_with('{') {
        return None;
    }
    let mut repaired = String::with_capacity(text.len() + 8);
    let mut open = Vec::new();
    let (mut in_string, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        if in_string {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                '\0'..' ' => {
                    repaired.push_str(&format!("\\u{:04x}", u32::from(letter)));
                    continue;
                }
                _ => {}
            }
            repaired.push(letter);
            continue;
        }
        match letter {
            '"' => in_string = true,
            '{' => open.push('}'),
            '[' => open.push(']'),
            '}' | ']' => {
                drop_comma(&mut repaired);
                if open.pop() != Some(letter) {
                    return None;
                }
                if open.is_empty() {
                    repaired.push(letter);
                    let rest = &text[at + 1..];
                    let harmless = rest.chars().all(|letter| letter.is_whitespace() || matches!(letter, '}' | ']'));
                    return harmless.then_some(repaired);
                }
            }
            _ => {}
        }
        repaired.push(letter);
    }
    let end = Unfinished { in_string, escaped };
    let mut repaired = finish(repaired, end, care)?;
    repaired.extend(open.into_iter().rev());
    Some(repaired)
}

/// Where the text ends before its last bracket.
#[derive(Clone, Copy)]
struct Unfinished {
    in_string: bool,
    escaped: bool,
}

/// Ends the value that the text breaks off in, as far as `care` allows.
fn finish(mut repaired: String, end: Unfinished, care: Care) -> Option<String> {
    match care {
        Care::Execute => {
            let whole = !end.in_string
                && ["\"", "}", "]", "true", "false", "null"].iter().any(|end| repaired.trim_end().ends_with(end));
            if !whole {
                return None;
            }
        }
        Care::Remember => {
            if end.escaped {
                repaired.pop();
            }
            if end.in_string {
                repaired.push('"');
            } else {
                drop_comma(&mut repaired);
                if repaired.ends_with(':') {
                    repaired.push_str("null");
                }
            }
        }
    }
    Some(repaired)
}

/// Removes a comma, and blanks around it, at the end.
fn drop_comma(text: &mut String) {
    text.truncate(text.trim_end().len());
    if text.ends_with(',') {
        text.pop();
        text.truncate(text.trim_end().len());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn faults_with_one_repair_are_repaired_and_the_others_are_not() {
        for (text, execute, remember) in [
            ("", Some("{}"), Some("{}")),
            ("  null\n", Some("{}"), Some("{}")),
            (" {\"a\": 1} ", Some("{\"a\": 1}"), Some("{\"a\": 1}")),
            (r#""{\"a\":1}""#, Some(r#"{"a":1}"#), Some(r#"{"a":1}"#)),
            (r#""""#, Some("{}"), Some("{}")),
            (r#""hello""#, None, None),
            (r#"{"a":"b""#, Some(r#"{"a":"b"}"#), Some(r#"{"a":"b"}"#)),
            (r#"{"a":[{"b":"c"}"#, Some(r#"{"a":[{"b":"c"}]}"#), Some(r#"{"a":[{"b":"c"}]}"#)),
            (r#"{"a":true"#, Some(r#"{"a":true}"#), Some(r#"{"a":true}"#)),
            (r#"{"a":1}}"#, Some(r#"{"a":1}"#), Some(r#"{"a":1}"#)),
            (r#"{"a":[1,2,],}"#, Some(r#"{"a":[1,2]}"#), Some(r#"{"a":[1,2]}"#)),
            ("{\"a\":\"x\ny\t\"}", Some(r#"{"a":"x\u000ay\u0009"}"#), Some(r#"{"a":"x\u000ay\u0009"}"#)),
            // A value that was cut is not complete: the path may be the root of the file system.
            (r#"{"path":"/home"#, None, Some(r#"{"path":"/home"}"#)),
            (r#"{"path":"a\"#, None, Some(r#"{"path":"a"}"#)),
            (r#"{"n":12"#, None, Some(r#"{"n":12}"#)),
            (r#"{"a":1,"#, None, Some(r#"{"a":1}"#)),
            (r#"{"a":"#, None, Some(r#"{"a":null}"#)),
            ("{", None, Some("{}")),
            (r#"{"a""#, None, None),
            (r#"{"a":1}{"b":2}"#, None, None),
            (r#"{"a":1] "#, None, None),
            ("[1]", None, None),
            ("12", None, None),
            ("city=Paris", None, None),
            ("{city: Paris}", None, None),
        ] {
            assert_eq!(tidy(text, Care::Execute).as_deref(), execute, "execute {text}");
            assert_eq!(tidy(text, Care::Remember).as_deref(), remember, "remember {text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_out_is_an_object(text in r#"[\{\}\[\]",:\\a1 \n]{0,24}"#) {
            for care in [Care::Execute, Care::Remember] {
                if let Some(repaired) = tidy(&text, care) {
                    let value: serde_json::Value = serde_json::from_str(&repaired).unwrap();
                    prop_assert!(value.is_object());
                }
            }
        }
    }
}
