//! Text from outside in the form that goes into the log.

use auxot_names::one_line;

/// The most characters of a text from outside in the log.
const SHOWN: usize = 300;

/// A text from outside for the log: one line, without control characters, shortened.
pub(crate) fn shown(text: &str) -> String {
    one_line(text, SHOWN)
}

/// The same as a `Display` value, for fields without quotes.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_short_line() {
        assert_eq!(shown("full, come back"), "full, come back");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        let long = shown(&"x".repeat(1 << 20));
        assert!(long.chars().count() == SHOWN + 1 && long.ends_with('…'));
    }
}
