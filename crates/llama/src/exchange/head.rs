//! Parses the head of an HTTP answer, and removes the framing of its body: in place and for any division of the bytes.

/// The most bytes a head may have. llama-server's are below 400.
pub(super) const HEAD_LIMIT: usize = 32 << 10;
const MOST_HEADERS: usize = 64;
/// The most bytes of a size line or of all trailers together. cpp-httplib sends neither extensions nor trailers; the bound
/// stops reading from a broken peer.
const FRAMING_LIMIT: u32 = 16 << 10;

/// A complete head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the head; the body starts after them.
    pub(super) length: usize,
    pub(super) body: Body,
}

/// How the body is framed.
#[derive(Debug)]
pub(super) enum Body {
    Chunked(Chunked),
    /// Bytes still to come.
    Length(u64),
    UntilClose,
    /// The body is complete.
    Complete,
}

impl Body {
    /// Removes the framing from `bytes`, which were just read, and returns the length of the payload at their front.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, &'static str> {
        match self {
            Self::Chunked(chunked) => {
                let payload = chunked.decode(bytes)?;
                if chunked.is_done() {
                    *self = Self::Complete;
                }
                Ok(payload)
            }
            Self::Length(left) => {
                let payload = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= payload as u64;
                if *left == 0 {
                    *self = Self::Complete;
                }
                Ok(payload)
            }
            Self::UntilClose => Ok(bytes.len()),
            Self::Complete => Ok(0),
        }
    }
}

/// The part of the framing that the next byte belongs to.
#[derive(Debug, Clone, Copy)]
enum ChunkState {
    Size { value: u64, digits: u32 },
    Extension { value: u64, length: u32 },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataReturn,
    DataNewline,
    Trailer { line: u32, total: u32 },
    Done,
}

/// The decoder of one chunked body.
#[derive(Debug)]
pub(super) struct Chunked(ChunkState);

impl Chunked {
    pub(super) fn new() -> Self {
        Self(ChunkState::Size { value: 0, digits: 0 })
    }

    /// Whether the last chunk and the trailers have been read.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.0, ChunkState::Done)
    }

    /// Decodes all of `bytes`: moves the payload to their front and returns its length.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> Result<usize, &'static str> {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() {
            if let ChunkState::Data { left } = self.0 {
                let room = bytes.len() - read;
                let take = usize::try_from(left).map_or(room, |left| left.min(room));
                bytes.copy_within(read..read + take, written);
                (read, written) = (read + take, written + take);
                let left = left - take as u64;
                self.0 = if left == 0 { ChunkState::DataReturn } else { ChunkState::Data { left } };
            } else {
                self.0 = self.0.step(bytes[read])?;
                read += 1;
            }
        }
        Ok(written)
    }
}

impl ChunkState {
    /// One byte of framing.
    fn step(self, byte: u8) -> Result<Self, &'static str> {
        Ok(match (self, byte) {
            (Self::Size { value, digits }, _) => match (byte as char).to_digit(16) {
                Some(digit) if digits < 16 => Self::Size { value: value << 4 | u64::from(digit), digits: digits + 1 },
                Some(_) => return Err("a chunk size of more than 16 digits"),
                None if digits == 0 => return Err("a chunk without a size"),
                None => match byte {
                    b'\r' => Self::SizeEnd { value },
                    b';' | b' ' | b'\t' => Self::Extension { value, length: 0 },
                    _ => return Err("a chunk size that is not hexadecimal"),
                },
            },
            (Self::Extension { value, .. }, b'\r') => Self::SizeEnd { value },
            (Self::Extension { length: FRAMING_LIMIT.., .. }, _) => return Err("an endless chunk extension"),
            (Self::Extension { value, length }, _) => Self::Extension { value, length: length + 1 },
            (Self::SizeEnd { value: 0 }, b'\n') => Self::Trailer { line: 0, total: 0 },
            (Self::SizeEnd { value }, b'\n') => Self::Data { left: value },
            (Self::DataReturn, b'\r') => Self::DataNewline,
            (Self::DataNewline, b'\n') => Self::Size { value: 0, digits: 0 },
            (Self::SizeEnd { .. } | Self::DataReturn | Self::DataNewline, _) => {
                return Err("a chunk without a line end");
            }
            (Self::Trailer { line: 0, .. }, b'\n') => Self::Done,
            (Self::Trailer { total: FRAMING_LIMIT.., .. }, _) => return Err("endless trailers"),
            (Self::Trailer { total, .. }, b'\n') => Self::Trailer { line: 0, total: total + 1 },
            (Self::Trailer { line, total }, b'\r') => Self::Trailer { line, total: total + 1 },
            (Self::Trailer { line, total }, _) => Self::Trailer { line: line + 1, total: total + 1 },
            // Every request has `Connection: close`, so bytes after the end have no meaning.
            (Self::Data { .. } | Self::Done, _) => self,
        })
    }
}

/// Reads a head from the start of `bytes`; `None` when it is not complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("an answer that is not HTTP"),
    };
    head_of(&answer, length).map(Some)
}

fn head_of(answer: &httparse::Response<'_, '_>, length: usize) -> Result<Head, &'static str> {
    let Some(status) = answer.code else { return Err("an answer without a status") };
    let body = framing(status, answer.headers)?;
    Ok(Head { status, length, body })
}

/// The same, with the part of it that is passed on: without the fields named in lower case.
pub(super) fn parse_for(bytes: &[u8], left_out: &[&str]) -> Result<Option<(Head, PassedBack)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let head = head_of(&answer, length)?;
            let passed = passed_back(&answer, head.status, left_out);
            Ok(Some((head, passed)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err("an answer that is not HTTP"),
    }
}

/// The part of a complete head that is passed on.
#[derive(Debug, Default)]
pub(super) struct PassedBack {
    /// Status, reason and fields, each with its line end.
    pub(super) lines: Vec<u8>,
    pub(super) length: Option<u64>,
    pub(super) is_events: bool,
    /// Whether the connection ends after the answer.
    pub(super) closes: bool,
}

/// The status and the fields of a complete head, without those named.
fn passed_back(answer: &httparse::Response<'_, '_>, status: u16, left_out: &[&str]) -> PassedBack {
    let mut passed =
        PassedBack { lines: Vec::with_capacity(256), closes: answer.version == Some(0), ..Default::default() };
    passed.lines.extend_from_slice(format!("{status} {}\r\n", answer.reason.unwrap_or_default()).as_bytes());
    for header in answer.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            passed.length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
        } else if is("connection") {
            passed.closes |= header.value.to_ascii_lowercase().windows(5).any(|word| word == b"close");
        } else if is("content-type") {
            passed.is_events = status == 200 && header.value.starts_with(b"text/event-stream");
        }
        if !left_out.iter().any(|name| is(name)) {
            for part in [header.name.as_bytes(), b": ", header.value, b"\r\n"] {
                passed.lines.extend_from_slice(part);
            }
        }
    }
    passed
}

fn framing(status: u16, headers: &[httparse::Header<'_>]) -> Result<Body, &'static str> {
    if status < 200 || status == 204 || status == 304 {
        return Ok(Body::Complete);
    }
    let mut announced: Option<u64> = None;
    let mut chunked = false;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = header.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            if !last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err("a transfer encoding other than chunked");
            }
            chunked = true;
        } else if header.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            match (announced, value) {
                (None, Some(_)) => announced = value,
                (Some(one), Some(other)) if one == other => {}
                _ => return Err("a content length that is not one number"),
            }
        }
    }
    Ok(match announced {
        _ if chunked => Body::Chunked(Chunked::new()),
        Some(0) => Body::Complete,
        Some(bytes) => Body::Length(bytes),
        None => Body::UntilClose,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // As b10434 sends it.
    const STREAM: &str = "HTTP/1.1 200 OK\r\nServer: llama.cpp\r\nX-Accel-Buffering: no\r\n\
        Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5, max=100\r\n\r\n";

    #[test]
    fn a_head_is_nothing_until_its_last_byte() {
        for cut in 0..STREAM.len() {
            assert!(parse(&STREAM.as_bytes()[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        let head = parse(format!("{STREAM}a\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!((head.status, head.length), (200, STREAM.len()));
        assert!(matches!(head.body, Body::Chunked(_)));
    }

    #[test]
    fn each_framing_is_recognised() {
        let body =
            |lines: &str| parse(format!("HTTP/1.1 500 X\r\n{lines}\r\n").as_bytes()).map(|head| head.unwrap().body);
        assert!(matches!(body("content-LENGTH: 12\r\nContent-Length: 12\r\n"), Ok(Body::Length(12))));
        assert!(matches!(body("Content-Length: 0\r\n"), Ok(Body::Complete)));
        assert!(matches!(body("Content-Length: 5\r\nTransfer-Encoding: Chunked\r\n"), Ok(Body::Chunked(_))));
        assert!(matches!(body(""), Ok(Body::UntilClose)));
        assert!(body("Content-Length: 12\r\nContent-Length: 13\r\n").is_err());
        assert!(body("Content-Length: -1\r\n").is_err());
        assert!(body("Transfer-Encoding: gzip\r\n").is_err());
        assert!(matches!(parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body, Body::Complete));
        assert!(parse(b"SSH-2.0-x\r\n").is_err());
    }

    #[test]
    fn a_counted_body_ends_at_its_count() {
        let mut body = Body::Length(5);
        assert_eq!(body.decode(&mut b"abc".to_vec()), Ok(3));
        assert_eq!(body.decode(&mut b"defg".to_vec()), Ok(2));
        assert!(matches!(body, Body::Complete));
        assert_eq!(body.decode(&mut b"h".to_vec()), Ok(0));
    }

    fn run(pieces: &[&[u8]]) -> Result<(Vec<u8>, bool), &'static str> {
        let (mut chunked, mut payload) = (Chunked::new(), Vec::new());
        for piece in pieces {
            let mut piece = piece.to_vec();
            let length = chunked.decode(&mut piece)?;
            payload.extend_from_slice(&piece[..length]);
        }
        Ok((payload, chunked.is_done()))
    }

    const BODY: &[u8] = b"7\r\ndata: a\r\n1;name=value\r\n\n\r\n00A \r\n\r\ndata: b\r\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n";

    #[test]
    fn framing_is_removed_for_any_division_of_the_bytes() {
        let want = (b"data: a\n\r\ndata: b\r".to_vec(), true);
        assert_eq!(run(&[BODY]), Ok(want.clone()));
        for cut in 0..=BODY.len() {
            let (left, right) = BODY.split_at(cut);
            assert_eq!(run(&[left, right]), Ok(want.clone()), "cut at {cut}");
            assert_eq!(run(&[left]).map(|(_, done)| done), Ok(cut == BODY.len()), "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = BODY.chunks(1).collect();
        assert_eq!(run(&bytes), Ok(want));
    }

    #[test]
    fn what_is_not_chunked_is_named() {
        for (body, fault) in [
            (&b"\r\n"[..], "a chunk without a size"),
            (b"{\"error\"", "a chunk without a size"),
            (b"5x\r\n", "a chunk size that is not hexadecimal"),
            (b"11111111111111111\r\n", "a chunk size of more than 16 digits"),
            (b"1\rX", "a chunk without a line end"),
            (b"1\r\nab", "a chunk without a line end"),
        ] {
            assert_eq!(run(&[body]), Err(fault));
        }
        let endless = [b"1;".as_slice(), &[b'x'; 20 << 10]].concat();
        assert_eq!(run(&[&endless]), Err("an endless chunk extension"));
        let endless = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(4 << 10)].concat();
        assert_eq!(run(&[&endless]), Err("endless trailers"));
    }

    proptest! {
        #[test]
        fn any_payload_in_any_chunks_comes_out_whole(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..12),
            size in 1_usize..50,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            prop_assert_eq!(run(&pieces), Ok((chunks.concat(), true)));
        }

        #[test]
        fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..200), size in 1_usize..20) {
            let pieces: Vec<&[u8]> = junk.chunks(size).collect();
            let _any_answer_will_do = run(&pieces);
        }
    }
}
