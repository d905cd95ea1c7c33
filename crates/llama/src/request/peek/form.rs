//! The model in a form, which the audio endpoints take.
//!
//! Servers read forms with more or less tolerance. One that any of them may read in another way is refused: the name of the
//! model decides about access.

use std::ops::Range;

use memchr::memmem;

use super::{ModelName, Peek, PeekError};

/// A longer value is no name.
const LONGEST_NAME: usize = 512;
/// The longest boundary.
const LONGEST_BOUNDARY: usize = 70;
const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Looks into a form of this content type.
pub(super) fn peek(content_type: &str, body: &[u8]) -> Result<Peek, PeekError> {
    let boundary = boundary(content_type).ok_or(PeekError::NotForm { at: 0 })?;
    let delimiter = format!("--{boundary}").into_bytes();
    let (mut peek, mut has_model) = (Peek::default(), false);
    let mut at = 0;
    if !body.starts_with(&delimiter) {
        return Err(PeekError::NotForm { at });
    }
    loop {
        at += delimiter.len();
        let broken = PeekError::NotForm { at };
        let rest = body.get(at..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"--") {
            return if behind.is_empty() || behind == LINE_END { Ok(peek) } else { Err(broken) };
        }
        let head = rest.strip_prefix(LINE_END).ok_or(broken.clone())?;
        let head_length = memmem::find(head, HEAD_END).ok_or(broken.clone())?;
        let from = at + LINE_END.len() + head_length + HEAD_END.len();
        let next = from + memmem::find(body.get(from..).unwrap_or_default(), &delimiter).ok_or(broken.clone())?;
        // The line end before a delimiter is a part of it.
        let content = body.get(from..next).and_then(|content| content.strip_suffix(LINE_END)).ok_or(broken.clone())?;
        let Field { name, is_file } = head.get(..head_length).and_then(field).ok_or(broken.clone())?;
        if name.eq_ignore_ascii_case("model") {
            // Some servers take it for a field, others for a file.
            if is_file {
                return Err(broken);
            }
            peek.has_other_models |= std::mem::replace(&mut has_model, true) || name != "model";
            peek.model = Some(model(content, from..from + content.len()).ok_or(broken)?);
        }
        at = next;
    }
}

/// The boundary of a content type with that one parameter, or with others before and behind.
fn boundary(content_type: &str) -> Option<String> {
    let mut found = None;
    for (name, value) in parameters(content_type)? {
        if name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return None;
        }
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    found.filter(|found| (1..=LONGEST_BOUNDARY).contains(&found.len()) && found.bytes().all(is_plain))
}

/// A field of a form.
struct Field {
    name: String,
    /// Whether it has a file's name.
    is_file: bool,
}

/// A field, from the head of its part.
fn field(head: &[u8]) -> Option<Field> {
    let head = std::str::from_utf8(head).ok()?;
    let (mut name, mut is_file) = (None, false);
    for line in head.split("\r\n") {
        let (field, value) = line.split_once(':')?;
        let is_odd = |sign: char| sign == '\r' || sign == '\n' || sign == '\0';
        if field.is_empty() || field.contains(char::is_whitespace) || value.contains(is_odd) {
            return None;
        }
        if field.eq_ignore_ascii_case("content-transfer-encoding") && !is_as_written(value.trim()) {
            return None;
        }
        if !field.eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        for (parameter, value) in parameters(value)? {
            let is_name = parameter.eq_ignore_ascii_case("name");
            let is_known =
                is_name || ["filename", "filename*"].iter().any(|known| parameter.eq_ignore_ascii_case(known));
            if !is_known || (is_name && name.replace(value).is_some()) {
                return None;
            }
            is_file |= !is_name;
        }
    }
    name.map(|name| Field { name, is_file })
}

/// Whether an encoding is none.
fn is_as_written(encoding: &str) -> bool {
    ["binary", "8bit", "7bit"].iter().any(|none| encoding.eq_ignore_ascii_case(none))
}

/// The parameters behind the first word of a value.
fn parameters(value: &str) -> Option<Vec<(&str, String)>> {
    let mut all = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while !rest.trim().is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                // What a backslash means differs.
                let text = quoted.get(..end).filter(|text| !text.contains('\\'))?;
                (text.to_owned(), quoted.get(end + 1..)?)
            }
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                (behind.get(..end)?.trim().to_owned(), behind.get(end..)?)
            }
        };
        all.push((name.trim(), value));
        let behind = behind.trim_start();
        rest = if behind.is_empty() { behind } else { behind.strip_prefix(';')? };
    }
    Some(all)
}

fn model(content: &[u8], place: Range<usize>) -> Option<ModelName> {
    let name = std::str::from_utf8(content).ok().filter(|name| name.len() <= LONGEST_NAME)?;
    (!name.contains(char::is_control)).then(|| ModelName { name: name.to_owned(), place })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=\"x-y\"";

    fn part(disposition: &str, content: &str) -> String {
        format!("--x-y\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    }

    fn file() -> String {
        part("name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav", "RIFF\0\n--x\r\n\r\nname=\"model\"")
    }

    fn form(parts: &[String]) -> Vec<u8> {
        format!("{}--x-y--\r\n", parts.concat()).into_bytes()
    }

    #[test]
    fn the_model_is_found_with_its_place() {
        for disposition in [
            "name=\"model\"",
            "name=model",
            "name=\"model\"\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary",
        ] {
            let body = form(&[file(), part(disposition, "whisper")]);
            let found = peek(KIND, &body).unwrap();
            let model = found.model.unwrap();
            assert_eq!(
                (model.name.as_str(), &body[model.place], found.has_other_models),
                ("whisper", &b"whisper"[..], false)
            );
        }
        assert_eq!(peek(KIND, &form(&[file()])).unwrap(), Peek::default());
    }

    #[test]
    fn a_further_model_is_found() {
        let models = |names: [&str; 2]| {
            let parts = names.map(|name| part(&format!("name=\"{name}\""), "a"));
            peek(KIND, &form(&parts)).unwrap().has_other_models
        };
        assert!(models(["model", "model"]) && models(["x", "Model"]) && !models(["x", "model"]));
    }

    #[test]
    fn what_servers_may_read_in_different_ways_is_refused() {
        let good = part("name=\"model\"", "a");
        for disposition in [
            "name=\"model\"; name=\"x\"",
            "name=\"x\"; name*=UTF-8''model",
            "name=\"mo\\del\"",
            "name=\"x\" model",
            "filename=\"x\"",
            "name=\"model\"; filename=\"x\"",
            "name=\"model\"\r\nContent-Transfer-Encoding: base64",
            "\r\n name=\"model\"",
            "name=\"x\"\nX: y",
        ] {
            assert!(peek(KIND, &form(&[part(disposition, "a"), good.clone()])).is_err(), "{disposition}");
        }
        for content in ["a\n--x-y\nContent-Disposition: form-data; name=\"model\"\n\nb", "--x-y", "a\u{1}"] {
            assert!(peek(KIND, &form(&[part("name=\"model\"", content)])).is_err(), "{content}");
        }
        let whole = form(&[good]);
        for body in
            [&b""[..], b"--x-y", b"--x-y\r\n", &whole[1..], &whole[..whole.len() - 4], &[&whole[..], b"more"].concat()]
        {
            assert!(peek(KIND, body).is_err(), "{}", String::from_utf8_lossy(body));
        }
        for kind in
            ["multipart/form-data", "multipart/form-data; boundary=x-y; boundary=z", "multipart/form-data; boundary="]
        {
            assert!(peek(kind, &whole).is_err(), "{kind}");
        }
        assert!(peek("multipart/form-data; charset=utf-8; Boundary=x-y", &whole).is_ok());
    }
}
