//! The engine's own answer on its way to a client: a head, then bytes by position.

use std::collections::VecDeque;

use auxot_protocol::{ANSWER_WINDOW, AnswerData, AnswerHead};
use bytes::Bytes;

/// The bytes of a token's event: those of engines and clouds have 180 to 330.
const BYTES_OF_EVENT: u64 = 256;

/// The worker gets a report each time the client has taken this many bytes more.
const REPORT_EVERY: u64 = ANSWER_WINDOW / 4;

/// The engine's answer as far as it is here.
#[derive(Debug, Default)]
pub(crate) struct EngineOutput {
    head: Head,
    /// Whether it is a stream of events.
    is_stream: bool,
    unread: VecDeque<Bytes>,
    /// Bytes received.
    received: u64,
    /// Bytes that the client has taken.
    taken: u64,
    /// What the worker knows of that.
    reported: u64,
}

/// The head of an answer.
#[derive(Debug, Default)]
enum Head {
    #[default]
    Awaited,
    /// Here, and not with the client yet.
    Here(EngineHead),
    /// The client has it; `answer` is its id.
    Sent { answer: String },
}

/// What the client gets of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineHead {
    answer: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why bytes cannot be a part of this answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Another run has another answer, and the client has a part of the first.
    OtherAnswer,
    /// Bytes are missing, or more than the window are unread.
    Broken,
}

impl EngineHead {
    /// Whether a stream of events follows.
    pub(crate) fn is_stream(&self) -> bool {
        let is_events =
            |(name, value): &(String, String)| name == "content-type" && value.starts_with("text/event-stream");
        self.status == 200 && self.headers.iter().any(is_events)
    }
}

impl EngineOutput {
    /// Takes a head. A second run may replace an answer of which the client has nothing.
    pub(crate) fn begin(&mut self, head: AnswerHead<'_>) -> Result<(), Mismatch> {
        let known = match &self.head {
            Head::Awaited => None,
            Head::Here(head) => Some(&head.answer),
            Head::Sent { answer } => Some(answer),
        };
        if known.is_some_and(|known| *known == head.answer) {
            return Ok(());
        }
        if matches!(self.head, Head::Sent { .. }) {
            return Err(Mismatch::OtherAnswer);
        }
        let head = EngineHead { answer: head.answer.into_owned(), status: head.status, headers: head.headers };
        *self = Self { is_stream: head.is_stream(), head: Head::Here(head), ..Self::default() };
        Ok(())
    }

    /// Takes bytes; those that are here already are skipped. Returns the number of new ones.
    pub(crate) fn push(&mut self, data: AnswerData) -> Result<usize, Mismatch> {
        let skip = self.received.checked_sub(data.offset).ok_or(Mismatch::Broken)?;
        if matches!(self.head, Head::Awaited) {
            return Err(Mismatch::Broken);
        }
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(data.bytes.len());
        let fresh = data.bytes.slice(skip..);
        let length = fresh.len();
        if !fresh.is_empty() {
            self.received += length as u64;
            self.unread.push_back(fresh);
        }
        // A worker that keeps to the window sends at most one message more than the last report allows.
        if self.received - self.taken > ANSWER_WINDOW + REPORT_EVERY { Err(Mismatch::Broken) } else { Ok(length) }
    }

    /// Whether the answer is whole with this length.
    pub(crate) fn is_whole(&self, length: Option<u64>) -> bool {
        length == Some(self.received) && !matches!(self.head, Head::Awaited)
    }

    /// Whether the client has its head.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.head, Head::Sent { .. })
    }

    /// Bytes received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// The events received, by their bytes; none of an answer that is no stream.
    pub(crate) fn estimated_events(&self) -> u64 {
        if self.is_stream { self.received / BYTES_OF_EVENT } else { 0 }
    }

    /// Bytes that the client has not taken.
    pub(crate) fn unread(&self) -> usize {
        usize::try_from(self.received - self.taken).unwrap_or(usize::MAX)
    }

    /// Takes the head for the client.
    pub(crate) fn take_head(&mut self) -> Option<EngineHead> {
        let Head::Here(head) = &self.head else { return None };
        let (head, answer) = (head.clone(), head.answer.clone());
        self.head = Head::Sent { answer };
        Some(head)
    }

    /// Takes bytes for the client.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let bytes = self.unread.pop_front()?;
        self.taken += bytes.len() as u64;
        Some(bytes)
    }

    /// The position to report to the worker, when it is due.
    pub(crate) fn due_report(&mut self) -> Option<u64> {
        let is_due = self.taken - self.reported >= REPORT_EVERY;
        is_due.then(|| self.reported = self.taken).map(|()| self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(answer: &str) -> AnswerHead<'_> {
        AnswerHead { job_id: "j".into(), answer: answer.into(), status: 200, headers: Vec::new() }
    }

    fn data(offset: u64, bytes: &'static [u8]) -> AnswerData {
        AnswerData { job_id: "j".to_owned(), offset, bytes: Bytes::from_static(bytes) }
    }

    fn taken(output: &mut EngineOutput) -> Vec<u8> {
        std::iter::from_fn(|| output.take()).flatten().collect()
    }

    #[test]
    fn bytes_that_come_again_are_skipped_and_missing_ones_are_a_fault() {
        let mut output = EngineOutput::default();
        assert_eq!(output.push(data(0, b"x")), Err(Mismatch::Broken), "no head");
        output.begin(head("a")).unwrap();
        assert_eq!(output.push(data(0, b"hello")), Ok(5));
        assert_eq!(output.push(data(3, b"lo wor")), Ok(4));
        assert_eq!(output.push(data(1, b"e")), Ok(0));
        assert_eq!(output.push(data(10, b"d")), Err(Mismatch::Broken));
        assert_eq!(taken(&mut output), b"hello wor");
        assert_eq!((output.is_whole(Some(9)), output.is_whole(Some(10)), output.is_whole(None)), (true, false, false));
    }

    #[test]
    fn another_run_replaces_only_what_no_client_has() {
        let mut output = EngineOutput::default();
        output.begin(head("a")).unwrap();
        output.push(data(0, b"one")).unwrap();
        output.begin(head("a")).unwrap();
        output.begin(head("b")).unwrap();
        output.push(data(0, b"two")).unwrap();
        assert_eq!(output.take_head().unwrap().answer, "b");
        assert_eq!((output.begin(head("b")), output.begin(head("c"))), (Ok(()), Err(Mismatch::OtherAnswer)));
        assert_eq!(taken(&mut output), b"two");
    }

    #[test]
    fn the_worker_hears_of_taken_bytes_and_may_not_send_ahead_of_the_window() {
        static PART: [u8; 65_536] = [7; 65_536];
        let mut output = EngineOutput::default();
        output.begin(head("a")).unwrap();
        let sent = (0..).take_while(|part| output.push(data(part * 65_536, &PART)).is_ok()).count();
        assert_eq!(sent as u64 * 65_536, ANSWER_WINDOW + REPORT_EVERY);
        assert_eq!(output.due_report(), None);
        output.take();
        assert_eq!((output.due_report(), output.due_report()), (Some(65_536), None));
    }
}
