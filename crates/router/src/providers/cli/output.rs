//! The output of a program as text: whole characters, and without the line breaks at its end.

/// The output as far as it is read.
#[derive(Debug, Default)]
pub(super) struct OutputText {
    /// The beginning of a character.
    partial: Vec<u8>,
    /// Line breaks that are a part of the answer only if more text follows.
    breaks: String,
    has_text: bool,
}

impl OutputText {
    /// Whether there was any text.
    pub(super) fn has_text(&self) -> bool {
        self.has_text
    }

    /// Takes bytes and returns the text that is certain with them. A byte that is no text becomes U+FFFD.
    pub(super) fn read(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let mut decoded = String::new();
        let mut used = 0;
        for chunk in self.partial.utf8_chunks() {
            decoded.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            let is_last = used + invalid.len() == self.partial.len();
            if is_last && is_beginning(invalid) {
                break;
            }
            if !invalid.is_empty() {
                decoded.push(char::REPLACEMENT_CHARACTER);
                used += invalid.len();
            }
        }
        self.partial.drain(..used);
        let text_ends = decoded.trim_end_matches(['\n', '\r']).len();
        if text_ends == 0 {
            self.breaks.push_str(&decoded);
            return String::new();
        }
        self.has_text = true;
        let after = decoded.split_off(text_ends);
        let before = std::mem::replace(&mut self.breaks, after);
        before + &decoded
    }
}

/// Whether these bytes can be the beginning of a character.
fn is_beginning(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|fault| fault.valid_up_to() == 0 && fault.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<String> {
        let mut output = OutputText::default();
        parts.iter().map(|part| output.read(part)).collect()
    }

    #[test]
    fn characters_come_whole_and_wrong_bytes_are_replaced() {
        assert_eq!(read(&["Gr\u{fc}".as_bytes(), b"\xc3", b"\xa9", b"x"]), ["Grü", "", "é", "x"]);
        assert_eq!(read(&[b"a\xffb", b"\xe2\x82", b"\xffc"]), ["a\u{fffd}b", "", "\u{fffd}\u{fffd}c"]);
    }

    #[test]
    fn line_breaks_at_the_end_are_no_part_of_the_text() {
        assert_eq!(read(&[b"one\n", b"two\n\n", b"\n", b"three\r\n"]), ["one", "\ntwo", "", "\n\n\nthree"]);
        let mut output = OutputText::default();
        assert_eq!((output.read(b"\n\n"), output.has_text()), (String::new(), false));
    }
}
