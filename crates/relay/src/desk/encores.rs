//! Last words that reached a socket, kept for as long as the router may not have read them.
//!
//! A connection can be lost between the socket and the router. The router then sends the job again, and to
//! run it again would say everything twice; so its last words, which hold the whole answer, are said again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::desk::order::Order;
use crate::lane::outbox::Outbox;

/// Endings that are remembered, and bytes of them, at most; the oldest go first.
const COUNT: usize = 256;
const BYTES: usize = 4 << 20;

/// The endings of a while.
#[derive(Debug, Default)]
pub(crate) struct Encores {
    endings: VecDeque<Ended>,
    bytes: usize,
}

#[derive(Debug)]
struct Ended {
    job_id: String,
    fingerprint: u64,
    words: Utf8Bytes,
    /// The lane that had them last.
    lane: Outbox,
    until: Instant,
}

impl Encores {
    /// Remembers how a job ended.
    pub(crate) fn keep(&mut self, order: &Order, words: Utf8Bytes, lane: Outbox, window: Duration) {
        self.forget(&order.job.job_id);
        self.bytes += words.len();
        let (job_id, until) = (order.job.job_id.clone(), Instant::now() + window);
        self.endings.push_back(Ended { job_id, fingerprint: order.fingerprint, words, lane, until });
        while self.endings.len() > COUNT || self.bytes > BYTES || self.endings.front().is_some_and(Ended::is_over) {
            self.drop_at(0);
        }
    }

    /// The last words of a job that is asked for again by another lane than had them, which the router cannot have heard;
    /// from now on `lane` has them. A job that comes again on the very lane is meant to run again.
    pub(crate) fn ask(&mut self, order: &Order, lane: &Outbox) -> Option<Utf8Bytes> {
        let known = self.endings.iter_mut().find(|ended| ended.job_id == order.job.job_id && !ended.is_over())?;
        if known.fingerprint != order.fingerprint || known.lane.is_same_lane(lane) {
            return None;
        }
        known.lane = lane.clone();
        Some(known.words.clone())
    }

    /// Forgets how a job ended: it begins again.
    pub(crate) fn forget(&mut self, job_id: &str) {
        if let Some(at) = self.endings.iter().position(|ended| ended.job_id == job_id) {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(ended) = self.endings.remove(at) {
            self.bytes -= ended.words.len();
        }
    }
}

impl Ended {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auxot_protocol::ToWorker;

    const WINDOW: Duration = Duration::from_secs(60);

    fn order(id: &str, messages: &str) -> Order {
        let frame = serde_json::json!({"type": "job", "job_id": id, "messages": [messages]}).to_string();
        match ToWorker::parse(&frame) {
            Ok(ToWorker::Job(job)) => Order::new(*job),
            other => panic!("no job: {other:?}"),
        }
    }

    #[test]
    fn last_words_are_said_again_to_another_lane_than_had_them() {
        let mut encores = Encores::default();
        let (lane, _alive_or_so_it_seems) = Outbox::new();
        let (next, _kept) = Outbox::new();
        let job = order("j", "hello");
        encores.keep(&job, "words".into(), lane.clone(), WINDOW);
        assert_eq!(encores.ask(&job, &lane), None, "it is meant to run again");
        assert_eq!(encores.ask(&order("j", "another round"), &next), None);
        assert_eq!(encores.ask(&job, &next).as_deref(), Some("words"));
        assert_eq!(encores.ask(&job, &next), None, "the next lane has them");
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_size_and_time() {
        let mut encores = Encores::default();
        let (lane, _) = Outbox::new();
        for at in 0..COUNT * 2 {
            encores.keep(&order(&at.to_string(), ""), "words".into(), lane.clone(), WINDOW);
        }
        assert_eq!((encores.endings.len(), encores.bytes), (COUNT, COUNT * 5));
        encores.keep(&order("large", ""), "x".repeat(BYTES).into(), lane.clone(), WINDOW);
        assert_eq!((encores.endings.len(), encores.bytes), (1, BYTES));
        let job = order("brief", "");
        encores.keep(&job, "words".into(), lane.clone(), Duration::ZERO);
        assert_eq!((encores.ask(&job, &Outbox::new().0), encores.endings.len(), encores.bytes), (None, 0, 0));
    }
}
