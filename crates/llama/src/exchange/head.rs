//! Parses the head of an HTTP answer and the framing of its body.

use http::{HeaderName, HeaderValue};

use super::chunked::Chunked;

/// The most bytes a head may have. llama-server's are below 400.
pub(super) const HEAD_LIMIT: usize = 32 << 10;
const MOST_HEADERS: usize = 64;

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

/// Reads a head from the start of `bytes`; `None` when it is not complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("an answer that is not HTTP"),
    };
    let Some(status) = answer.code else { return Err("an answer without a status") };
    let body = framing(status, answer.headers)?;
    Ok(Some(Head { status, length, body }))
}

/// The fields of a complete head.
pub(super) fn fields(bytes: &[u8]) -> Result<Vec<(HeaderName, HeaderValue)>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(bytes).map_err(|_| "an answer that is not HTTP")?;
    let field = |header: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    };
    let fields = answer.headers.iter().map(field).collect::<Option<_>>();
    fields.ok_or("an answer with a field that is not valid")
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
}
