//! Strings, lists and keys as TOML writes them.

use toml_writer::{ToTomlKey, ToTomlValue, TomlKeyBuilder, TomlStringBuilder};

/// A key: quoted where it has other characters than letters, digits, dashes and underscores.
pub(crate) fn key(text: &str) -> String {
    let key = TomlKeyBuilder::new(text);
    key.as_unquoted().unwrap_or_else(|| key.as_basic()).to_toml_key()
}

/// A string.
pub(crate) fn string(text: &str) -> String {
    TomlStringBuilder::new(text).as_basic().to_toml_value()
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
