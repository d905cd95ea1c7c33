//! Names and paths of files, in a form that fits one line of a log or of a table.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use auxot_names::one_line;

/// The most characters that are shown of a name.
pub const SHOWN: usize = 200;

/// A path in one line; bytes that are no UTF-8 are escaped.
#[must_use]
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&one_line(chunk.valid(), usize::MAX));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The last part of a path, as [`path_text`].
pub(crate) fn file_text(path: &Path) -> String {
    path.file_name().map(|name| path_text(Path::new(name))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn what_would_break_a_line_is_escaped_and_what_is_too_long_is_cut() {
        assert_eq!(one_line("Qwen 2.5 – Größe", SHOWN), "Qwen 2.5 – Größe");
        assert_eq!(one_line("a\nb\x1b[31mc\u{202e}d", SHOWN), "a\\nb\\u{1b}[31mc\\u{202e}d");
        let long = one_line(&"x".repeat(1 << 20), SHOWN);
        assert_eq!(long.chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_path_that_is_no_text_is_escaped() {
        assert_eq!(path_text(Path::new(OsStr::from_bytes(b"/m/a\xffb\n.gguf"))), "/m/a\\xffb\\n.gguf");
    }
}
