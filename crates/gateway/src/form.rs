//! The one field that must be known of a form: the audio endpoints take their model in it.

/// A longer value is no name.
const LONGEST: usize = 512;

/// The value of a field of text: the lines of its part are ended by a blank one, and its value by the next line end.
pub(crate) fn field(body: &[u8], name: &str) -> Option<String> {
    let marker = format!("form-data; name=\"{name}\"\r\n");
    let at = body.windows(marker.len()).position(|part| part.eq_ignore_ascii_case(marker.as_bytes()))?;
    let rest = &body[at + marker.len() - 2..];
    let value = &rest[rest.windows(4).position(|part| part == b"\r\n\r\n")? + 4..];
    let end = value.iter().take(LONGEST).position(|byte| *byte == b'\r')?;
    std::str::from_utf8(&value[..end]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_of_a_form_is_found() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n\x00\xff\r\n\
            --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";
        assert_eq!(field(body, "model").as_deref(), Some("whisper"));
        let typed =
            b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Type: text/plain\r\n\r\nm\r\n--x--";
        assert_eq!(field(typed, "model").as_deref(), Some("m"));
        assert_eq!((field(body, "other"), field(b"form-data; name=\"model\"\r\n", "model")), (None, None));
    }
}
