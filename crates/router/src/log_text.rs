//! Text of other programs, escaped and cut for a log line.

use auxot_names::push_escaped;

/// Longer text is cut.
const MAX_BYTES: usize = 256;

/// `text` with line breaks and control characters escaped, cut to a few hundred characters.
pub(crate) fn log_text(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if escaped.len() >= MAX_BYTES {
            escaped.push('…');
            break;
        }
        push_escaped(&mut escaped, character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_ends_a_line_or_controls_a_terminal() {
        assert_eq!(log_text("llama-3 Größe"), "llama-3 Größe");
        assert_eq!(log_text("a\nb\u{1b}[2Jc\u{202e}"), "a\\nb\\u{1b}[2Jc\\u{202e}");
        let long = log_text(&"x".repeat(1 << 20));
        assert!(long.len() < 300 && long.ends_with('…'));
    }
}
