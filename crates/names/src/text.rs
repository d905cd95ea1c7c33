//! Texts from outside, in a form that one line of a log or of a table can hold.

/// A text in one line: what would end the line, or change how the rest of it is shown, is escaped; what is longer than
/// `most` characters is cut.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let mut line = String::with_capacity(text.len().min(most));
    for (at, letter) in text.chars().enumerate() {
        if at == most {
            line.push('…');
            break;
        }
        push_escaped(&mut line, letter);
    }
    line
}

/// Adds a letter to a line; one that would end the line, or change how the rest of it is shown, is escaped.
pub fn push_escaped(line: &mut String, letter: char) {
    if is_plain(letter) { line.push(letter) } else { line.extend(letter.escape_default()) }
}

/// Neither a control character nor one of those that turn the direction of writing.
fn is_plain(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !letter.is_control() && !turns && !matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}')
}
