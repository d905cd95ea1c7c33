//! Finds the type and job id of a frame that cannot be parsed.
//!
//! The bytes may be anything: not UTF-8, incomplete, not JSON. Only the keys of the outermost object count, so that text of
//! a prompt is never used.

/// The parts of a frame that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    pub(crate) kind: Option<String>,
    pub(crate) job_id: Option<String>,
}

/// Searches the outermost object, as far as it goes.
pub(crate) fn salvage(bytes: &[u8]) -> Salvaged {
    let mut found = Salvaged::default();
    let mut rest = Cursor { bytes, at: 0 };
    if rest.next_token() != Some(b'{') {
        return found;
    }
    rest.at += 1;
    while let Some(key) = rest.string() {
        if rest.next_token() != Some(b':') {
            break;
        }
        rest.at += 1;
        match (key, rest.next_token()) {
            (br#""type""#, Some(b'"')) => found.kind = rest.string().and_then(text),
            (br#""job_id""#, Some(b'"')) => found.job_id = rest.string().and_then(text),
            _ => rest.skip_value(),
        }
        if rest.next_token() != Some(b',') {
            break;
        }
        rest.at += 1;
    }
    found
}

fn text(quoted: &[u8]) -> Option<String> {
    serde_json::from_slice(quoted).ok()
}

/// A position in the bytes.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next byte that is not white space; it is not consumed.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Consumes the string that begins here, quotes included; `None` when no string begins or it does not end.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.next_token() != Some(b'"') {
            return None;
        }
        let begin = self.at;
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                return self.bytes.get(begin..self.at);
            }
        }
        None
    }

    /// Moves to the comma or bracket that ends the value that begins here.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.next_token() {
            match byte {
                b'"' => {
                    if self.string().is_none() {
                        self.at = self.bytes.len();
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b',' | b'}' | b']' if depth == 0 => return,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> (Option<String>, Option<String>) {
        let found = salvage(bytes);
        (found.kind, found.job_id)
    }

    #[test]
    fn the_outermost_keys_are_found_in_anything() {
        let job = (Some("job".to_owned()), Some("j".to_owned()));
        assert_eq!(found(br#"{"type":"job","job_id":"j","messages":[{"a":"\xff"#), job);
        assert_eq!(found(b"{\"type\":\"job\",\"job_id\":\"j\",\"messages\":[\"\xff\xfe\"]}"), job);
        assert_eq!(
            found(br#" { "messages" : [{"job_id":"x","type":"y"},"\"}]"], "n":1, "type":"job" ,"job_id":"j"}"#),
            job
        );
        assert_eq!(found(br#"{"messages":"{\"job_id\":\"x\"}","type":"job","job_id":"\u006a""#), job);
        assert_eq!(found(br#"{"type":"job","job_id":7}"#), (Some("job".to_owned()), None));
        for nothing in [&b""[..], b"[1]", b"{", b"{\"type", b"{\"type\":", b"junk", b"{]]}}", b"{\"a\":1}\xff", b"\"\\"]
        {
            assert_eq!(found(nothing), (None, None), "{nothing:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = salvage(&bytes);
        }

        #[test]
        fn no_cut_panics(at in 0_usize..60) {
            let whole = br#"{"a":{"b":["\\",null]},"type":"job","job_id":"j","c":"d"}"#;
            let _ = salvage(&whole[..at.min(whole.len())]);
        }
    }
}
