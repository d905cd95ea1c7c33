//! JSON as the engine's library (nlohmann) writes it: no blanks, and numbers in its own form.

/// A string in JSON.
pub(super) fn quoted(text: &str) -> String {
    // A string always has a JSON form.
    serde_json::to_string(text).unwrap_or_default()
}

/// The same value as the engine's library writes it after it has read it; `None` where the text is not JSON.
pub(super) fn rewritten(text: &str) -> Option<String> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
    let (bytes, mut at) = (text.as_bytes(), 0);
    let mut written = String::with_capacity(text.len());
    while at < bytes.len() {
        let length = token_length(&bytes[at..]);
        let token = text.get(at..at + length)?;
        at += length;
        match token.as_bytes()[0] {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => written.push_str(&quoted(&serde_json::from_str::<String>(token).ok()?)),
            b'-' | b'0'..=b'9' => written.push_str(&number(token)?),
            _ => written.push_str(token),
        }
    }
    Some(written)
}

/// The length of the first token of valid JSON: a string, a number, a word or one sign.
fn token_length(bytes: &[u8]) -> usize {
    let run = |is_part: fn(&u8) -> bool| bytes.iter().take_while(|byte| is_part(byte)).count();
    match bytes[0] {
        b'"' => {
            let mut end = 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            end + 1
        }
        b'-' | b'0'..=b'9' => run(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)),
        b'a'..=b'z' => run(u8::is_ascii_lowercase),
        _ => 1,
    }
}

fn number(text: &str) -> Option<String> {
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_whole && let Ok(value) = text.parse::<i64>() {
        return Some(value.to_string());
    }
    if is_whole && let Ok(value) = text.parse::<u64>() {
        return Some(value.to_string());
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(fraction)
}

/// The shortest digits that give the same number: plain up to 15 digits before the point and 4 zeros behind it.
fn fraction(value: f64) -> String {
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        let plain = value.to_string();
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_engine_does() {
        for (read, written) in [
            (r#" { "a" : [ 1 , -0, 1.0, 1e2, 0.5e-3 ] } "#, r#"{"a":[1,0,1.0,100.0,0.0005]}"#),
            (
                "[1e15,1e14,123456789012345678,0.00001,-2.5E-7]",
                "[1e+15,100000000000000.0,123456789012345678,1e-05,-2.5e-07]",
            ),
            (r#"["\u00e9\/\"\n\u001F", true, null, {}]"#, r#"["é/\"\n\u001f",true,null,{}]"#),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
        ] {
            assert_eq!(rewritten(read).as_deref(), Some(written), "{read}");
        }
        for broken in ["", "{", "{} x", r#""\ud800""#, "1e999"] {
            assert_eq!(rewritten(broken), None, "{broken}");
        }
    }
}
