//! The engine's own answer to a request that is passed on: its head, and the bytes that the caller has not taken yet.
//!
//! ```text
//!   position   0      1                      1 + read              1 + received
//!              │ head │ bytes, forgotten      │ bytes, kept         │
//! ```
//!
//! Bytes are kept until the caller has taken them, because a lost connection loses what the router had not read. So at most
//! [`ANSWER_WINDOW`] bytes are sent ahead of the caller, and the engine is read no faster than that.

use auxot_llama::{AnswerExcerpt, AnswerHead as EngineHead, TokenCounts};
use auxot_protocol::{ANSWER_WINDOW, AnswerData, AnswerHead, AnswerRead, Complete, ToRouter};

use crate::config::Config;
use crate::jobs::outcome::Outcome;
use crate::jobs::output::JobOutput;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::sink::JobMessage;

/// The most bytes of one message.
const MESSAGE: usize = 64 * 1024;

/// What the engine has answered.
#[derive(Debug)]
pub(crate) struct EngineAnswer {
    /// Distinguishes this answer from that of another run.
    id: String,
    head: Option<Head>,
    /// The bytes from position `read` on.
    kept: Vec<u8>,
    /// What holds the engine's counts.
    excerpt: AnswerExcerpt,
    /// The caller has taken the bytes before this position.
    read: usize,
    /// The router has the terminal message.
    is_received: bool,
}

#[derive(Debug)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl EngineAnswer {
    /// Takes the head of the engine's answer.
    pub(crate) fn begin(&mut self, head: &EngineHead) {
        let mut headers: Vec<_> = head.lines.split(|byte| *byte == b'\n').skip(1).filter_map(field).collect();
        headers.extend(head.length.map(|length| ("content-length".to_owned(), length.to_string())));
        self.head = Some(Head { status: head.status, headers });
    }

    /// Takes bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        self.excerpt.push(bytes);
    }

    /// Bytes of the body so far.
    fn length(&self) -> usize {
        self.read + self.kept.len()
    }
}

/// A field of a head, in lower case; `None` for what is not text.
fn field(line: &[u8]) -> Option<(String, String)> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
}

impl JobOutput for EngineAnswer {
    const IS_WHOLE_AT_END: bool = false;

    fn blank(_: &ParsedJob, _: &Config) -> Self {
        let mut id = [0; 8];
        // Without random bytes the clock distinguishes two answers.
        if getrandom::fill(&mut id).is_err() {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            id = (since.as_nanos() as u64).to_be_bytes();
        }
        let id = format!("{:016x}", u64::from_be_bytes(id));
        Self { id, head: None, kept: Vec::new(), excerpt: AnswerExcerpt::default(), read: 0, is_received: false }
    }

    fn end(&self) -> usize {
        if self.head.is_some() { 1 + self.length() } else { 0 }
    }

    fn sendable(&self) -> usize {
        let window = usize::try_from(ANSWER_WINDOW).unwrap_or(usize::MAX);
        self.end().min(1 + self.read.saturating_add(window))
    }

    fn message(&self, job_id: &str, from: usize) -> Option<(JobMessage, usize)> {
        let Some(at) = from.checked_sub(1) else {
            let Head { status, headers } = self.head.as_ref()?;
            let (answer, headers) = (self.id.as_str().into(), headers.clone());
            let head = ToRouter::AnswerHead(AnswerHead { job_id: job_id.into(), answer, status: *status, headers });
            return Some((JobMessage::Text(head.to_frame().into()), 1));
        };
        let until = (self.sendable().checked_sub(1)?).min(at + MESSAGE);
        let bytes = self.kept.get(at.checked_sub(self.read)?..until.checked_sub(self.read)?)?;
        let frame = AnswerData::to_frame(job_id, at as u64, bytes);
        (!bytes.is_empty()).then(|| (JobMessage::Binary(frame.into()), 1 + until))
    }

    fn complete(&mut self, job_id: &str) -> Result<String, Outcome> {
        let counts = self.excerpt.counts();
        let complete = Complete {
            job_id: job_id.into(),
            length: Some(self.length() as u64),
            input_tokens: counts.processed,
            cache_tokens: counts.cached,
            output_tokens: counts.generated,
            ..Complete::default()
        };
        Ok(ToRouter::Complete(Box::new(complete)).to_frame())
    }

    fn has_begun(&self) -> bool {
        self.head.is_some()
    }

    fn tokens(&self) -> TokenCounts {
        self.excerpt.counts()
    }

    fn on_read(&mut self, read: &AnswerRead) {
        // A number from outside: not beyond what was sent, and never back.
        let offset = usize::try_from(read.offset).unwrap_or(usize::MAX).clamp(self.read, self.length());
        self.kept.drain(..offset - self.read);
        self.read = offset;
        self.is_received |= read.complete;
    }

    fn is_settled(&self) -> bool {
        self.is_received
    }

    fn resume_at(&self) -> Option<usize> {
        Some(if self.read == 0 { 0 } else { 1 + self.read })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn head(lines: &[u8]) -> EngineHead {
        EngineHead { status: 200, lines: lines.to_vec(), length: Some(7), is_events: false }
    }

    #[test]
    fn the_fields_of_a_head_are_pairs() {
        let mut answer = answer();
        answer.begin(&head(b"200 OK\r\nContent-Type: a/b; c=d:e\r\nX-Odd: \xff\r\n"));
        let Some((JobMessage::Text(text), 1)) = answer.message("j", 0) else { panic!("no head") };
        let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let fields = serde_json::json!([["content-type", "a/b; c=d:e"], ["content-length", "7"]]);
        assert_eq!((&message["headers"], &message["status"]), (&fields, &200.into()));
    }

    fn read(offset: u64) -> AnswerRead {
        AnswerRead { job_id: "j".to_owned(), offset, complete: false }
    }

    fn answer() -> EngineAnswer {
        let parsed = ParsedJob::new(serde_json::from_str(r#"{"job_id":"j"}"#).expect("valid"));
        EngineAnswer::blank(&parsed, &Config::default())
    }

    /// Sends all that may be sent from a position: the offsets and bytes, and the position after them.
    fn sent(answer: &EngineAnswer, mut at: usize) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        while let Some((message, upto)) = answer.message("j", at) {
            if let JobMessage::Binary(frame) = message {
                let data = AnswerData::parse(&Bytes::from(frame.to_vec())).expect("a data frame");
                assert_eq!(data.offset as usize, at - 1);
                bytes.extend_from_slice(&data.bytes);
            }
            assert!(upto > at);
            at = upto;
        }
        (bytes, at)
    }

    #[test]
    fn nothing_is_sent_ahead_of_the_window_and_nothing_is_kept_behind_the_caller() {
        let mut answer = answer();
        assert_eq!((answer.end(), answer.message("j", 0).is_none()), (0, true));
        answer.begin(&head(b"200 OK\r\n"));
        let whole: Vec<u8> = (0..700_000_u32).map(|number| number as u8).collect();
        answer.push(&whole);
        let window = ANSWER_WINDOW as usize;
        let (first, at) = sent(&answer, 0);
        assert_eq!((first == whole[..window], at), (true, 1 + window));
        answer.on_read(&read(100_000));
        let (second, at) = sent(&answer, at);
        assert!(second == whole[window..window + 100_000]);
        assert_eq!(answer.kept.len(), 600_000);
        // Another connection gets what the caller has not taken, once more.
        let (again, _) = sent(&answer, answer.resume_at().expect("it can"));
        assert!(again == whole[100_000..100_000 + window]);
        // Numbers from outside.
        answer.on_read(&read(5));
        answer.on_read(&read(u64::MAX));
        assert_eq!((answer.read, answer.kept.len(), sent(&answer, at).0.len()), (700_000, 0, 0));
        assert!(!answer.is_settled());
        answer.on_read(&AnswerRead { complete: true, ..read(700_000) });
        assert!(answer.is_settled());
    }
}
