//! What others say, made fit for a log line: escaped and cut.

use auxot_names::push_escaped;

/// Longer is cut.
const MAX_BYTES: usize = 256;

/// `text` without line breaks, control characters and what follows after a few hundred letters.
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
    fn nothing_in_a_word_ends_a_line_or_moves_a_terminal() {
        assert_eq!(log_text("llama-3 Größe"), "llama-3 Größe");
        assert_eq!(log_text("a\nb\u{1b}[2Jc\u{202e}"), "a\\nb\\u{1b}[2Jc\\u{202e}");
        let long = log_text(&"x".repeat(1 << 20));
        assert!(long.len() < 300 && long.ends_with('…'));
    }
}
