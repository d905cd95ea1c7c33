//! What others say, made fit for a log line: escaped and cut.

use auxot_names::push_escaped;

/// Longer is cut.
const LONGEST: usize = 256;

/// `text` without line breaks, control characters and what follows after a few hundred letters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        if shown.len() >= LONGEST {
            shown.push('…');
            break;
        }
        push_escaped(&mut shown, letter);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_word_ends_a_line_or_moves_a_terminal() {
        assert_eq!(shown("llama-3 Größe"), "llama-3 Größe");
        assert_eq!(shown("a\nb\u{1b}[2Jc\u{202e}"), "a\\nb\\u{1b}[2Jc\\u{202e}");
        let long = shown(&"x".repeat(1 << 20));
        assert!(long.len() < 300 && long.ends_with('…'));
    }
}
