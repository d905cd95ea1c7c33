//! Strings, lists and keys as TOML writes them.

use std::fmt::Write;

/// A key: quoted where it has other characters than letters, digits, dashes and underscores.
pub(crate) fn key(text: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if !text.is_empty() && text.chars().all(is_bare) { text.to_owned() } else { string(text) }
}

/// A string.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            other if other.is_control() => {
                // A string takes all that is written to it.
                let _ = write!(out, "\\u{:04X}", u32::from(other));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A list of strings.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    format!("[{}]", items.into_iter().map(string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes_has_them() {
        assert_eq!((key("a-b_1"), key("a.b"), key("")), ("a-b_1".into(), "\"a.b\"".into(), "\"\"".into()));
        assert_eq!(string("a\"\\\n\u{1}é"), r#""a\"\\\n\u0001é""#);
        assert_eq!(list(["a", "b c"]), r#"["a", "b c"]"#);
    }
}
