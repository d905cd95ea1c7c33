//! Finds values in their debug form in the macros that write log lines.

/// The macros that write the log.
const MACROS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "event"];

/// The faults of one source: the number of the line on which a macro begins, and what is wrong in it.
pub(crate) fn debug_forms(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word, place) = token else { continue };
        if MACROS.contains(word)
            && matches!(tokens.get(at + 1..at + 3), Some([Token::Sign('!'), Token::Sign('(' | '[' | '{')]))
        {
            let line = source[..*place].matches('\n').count() + 1;
            found.extend(arguments(&tokens[at + 2..]).into_iter().map(|fault| (line, fault)));
        }
    }
    found
}

/// The faults of the arguments that begin with a bracket.
fn arguments(tokens: &[Token]) -> Vec<String> {
    let (mut depth, mut faults) = (0, Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth -= 1,
            // Behind a value it is the operator for errors.
            Token::Sign('?') if at > 0 && matches!(tokens[at - 1], Token::Sign('(' | '[' | '{' | ',' | '=')) => {
                let value: Vec<&str> = tokens[at + 1..].iter().map_while(|token| token.of_a_path()).collect();
                // A time that has gone by is shown with its unit.
                if value.last() != Some(&"elapsed") {
                    faults.push(format!("?{}", value.concat()));
                }
            }
            Token::Text(text) => faults.extend(
                placeholders(text).filter(|inside| inside.ends_with('?')).map(|inside| format!("{{{inside}}}")),
            ),
            Token::Sign(_) | Token::Word(..) => {}
        }
        if depth == 0 {
            break;
        }
    }
    faults
}

/// What is between the braces of a format string.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    // Braces that stand for themselves come in pairs.
    let begins = text.split("{{").flat_map(|part| part.split('{').skip(1));
    begins.filter_map(|rest| rest.split_once('}')).map(|(inside, _)| inside).filter(|inside| inside.contains(':'))
}

/// As much of the language as is needed here.
#[derive(Debug)]
enum Token<'a> {
    /// A name or a number, and where it is.
    Word(&'a str, usize),
    /// The inside of a text.
    Text(&'a str),
    /// Anything else but blanks and comments.
    Sign(char),
}

impl<'a> Token<'a> {
    /// Its text where it may be a part of `a.b::c`.
    fn of_a_path(&self) -> Option<&'a str> {
        match self {
            Token::Word(word, _) => Some(word),
            Token::Sign('.') => Some("."),
            Token::Sign(':') => Some(":"),
            Token::Sign('&') => Some("&"),
            _ => None,
        }
    }
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some((text, length)) = text(rest) {
            tokens.push(Token::Text(text));
            length
        } else if let Some(length) = character(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let length = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..length], at));
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            first.len_utf8()
        };
        at += length;
    }
    tokens
}

/// The inside of the text that begins here, and the length of all of it.
fn text(rest: &str) -> Option<(&str, usize)> {
    let prefix = ["br", "b", "r", "c", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|behind| behind.trim_start_matches('#').starts_with('"'))
    })?;
    let behind = &rest[prefix.len()..];
    let marks = behind.len() - behind.trim_start_matches('#').len();
    if marks > 0 && !prefix.contains('r') {
        return None;
    }
    let inside = &behind[marks + 1..];
    let length = if prefix.contains('r') {
        inside.find(&format!("\"{}", "#".repeat(marks)))?
    } else {
        let mut escaped = false;
        inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?
    };
    Some((&inside[..length], prefix.len() + 2 * marks + 2 + length))
}

/// The length of the character that is quoted here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let end =
        if inside.starts_with('\\') { 2 + inside.get(2..)?.find('\'')? } else { inside.chars().next()?.len_utf8() };
    inside.get(end..)?.starts_with('\'').then_some(end + 2)
}

#[test]
fn a_debug_form_is_found_in_whatever_way_it_is_written() {
    let faults = |source: &str| {
        debug_forms(source).into_iter().map(|(line, fault)| format!("{line} {fault}")).collect::<Vec<_>>()
    };
    assert_eq!(faults("fn f() {\n    info!(?name, \"x\");\n}"), ["2 ?name"]);
    assert_eq!(faults("tracing::warn!(\n  a = 1,\n  library = ?self.library, \"x\")"), ["1 ?self.library"]);
    assert_eq!(faults("debug!(\"x {name:?} {{kept:?}} {:#?} {:>3}\", a)"), ["1 {name:?}", "1 {:#?}"]);
    assert_eq!(faults("error!(text = %format!(\"{:?}\", a), \"x\"); info!{? a}"), ["1 {:?}", "1 ?a"]);
    let clean = [
        "info!(took = ?start.elapsed(), \"x\")",
        "info!(a = read(b)?, c = d?.e, \"{f} a?\")",
        "panic!(\"{a:?}\"); let x = format!(\"{a:?}\"); // info!(?a)",
        "info!(a = '\"', b = r#\"say \"what:?\" \"#); let info = ?a;",
        "fn f<'a>(info: &'a str) { g(\"\\\"info!(?b)\") }",
    ];
    for source in clean {
        assert_eq!(faults(source), Vec::<String>::new(), "{source}");
    }
}
