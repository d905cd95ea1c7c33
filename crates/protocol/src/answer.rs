//! The engine's own answer to a request: its head, and its bytes in frames of their own.
//!
//! A frame with bytes is a WebSocket message whose first line is a JSON object; all after the line break is the payload. The
//! same form has a job with a body. JSON has no line break between the braces of one line, so nothing is escaped and nothing is
//! searched but the first line break.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::lenient::null_default;

/// The most bytes of an answer that a worker sends beyond what the caller has taken; see [`crate::AnswerRead`].
pub const ANSWER_WINDOW: u64 = 256 * 1024;

/// The head of the engine's answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerHead<'a> {
    /// The job.
    pub job_id: Cow<'a, str>,
    /// Identifies the answer: a second run of the job has another. The head of the same answer may come again.
    #[serde(default)]
    pub answer: Cow<'a, str>,
    /// The status.
    #[serde(default)]
    pub status: u16,
    /// The fields that are for the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_default")]
    pub headers: Vec<(String, String)>,
}

/// Bytes of the answer's body. They may begin before what the router has, and never behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerData {
    /// The job.
    pub job_id: String,
    /// The position of the first byte in the body.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// The first line of a frame with bytes.
#[derive(Serialize, Deserialize)]
struct DataLine<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    job_id: Cow<'a, str>,
    offset: u64,
}

const ANSWER_DATA: &str = "answer_data";

impl AnswerData {
    /// The frame for bytes of an answer.
    #[must_use]
    pub fn to_frame(job_id: &str, offset: u64, bytes: &[u8]) -> Vec<u8> {
        with_payload(&DataLine { kind: ANSWER_DATA.into(), job_id: job_id.into(), offset }, bytes)
    }

    /// Parses a frame; `None` for another message.
    #[must_use]
    pub fn parse(frame: &Bytes) -> Option<Self> {
        let (line, payload) = split(frame)?;
        let line: DataLine = serde_json::from_slice(line).ok().filter(|line: &DataLine| line.kind == ANSWER_DATA)?;
        let bytes = frame.slice(payload..);
        Some(Self { job_id: line.job_id.into_owned(), offset: line.offset, bytes })
    }
}

/// A message with a payload behind its first line.
pub(crate) fn with_payload<T: Serialize>(line: &T, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128 + payload.len());
    // Writing these types into memory cannot fail: all map keys are strings.
    let _ = serde_json::to_writer(&mut frame, line);
    frame.push(b'\n');
    frame.extend_from_slice(payload);
    frame
}

/// The first line, and where the payload begins; `None` where the first line is no complete object.
pub(crate) fn split(frame: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', frame)?;
    let line = &frame[..end];
    (line.first() == Some(&b'{') && line.last() == Some(&b'}')).then_some((line, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_kind_come_back() {
        for payload in [&b""[..], b"data: {\"a\":1}\n\n", b"\n\n", b"\xff\x00\n{"] {
            let frame = Bytes::from(AnswerData::to_frame("j\n\"1", 7, payload));
            let want = AnswerData { job_id: "j\n\"1".to_owned(), offset: 7, bytes: Bytes::copy_from_slice(payload) };
            assert_eq!(AnswerData::parse(&frame), Some(want));
        }
    }

    #[test]
    fn other_messages_are_none() {
        for frame in [
            &b"{\"type\":\"token\",\"job_id\":\"j\"}"[..],
            b"{\n\"type\":\"answer_data\",\"job_id\":\"j\",\"offset\":0}\n",
            b"{\"type\":\"token\",\"job_id\":\"j\",\"offset\":0}\nx",
            b"\xff\n",
            b"",
        ] {
            assert_eq!(AnswerData::parse(&Bytes::copy_from_slice(frame)), None);
        }
    }
}
