//! Last words that reached a socket, kept for as long as the router may not have read them.
//!
//! A connection can be lost between the socket and the router. The router then sends the job again, and to
//! run it again would say everything twice; so its last words, which hold the whole answer, are said again.
//!
//! A job can also come again on the very connection while its end is on the way there: the two cross. Only a router that
//! has read the end can mean that the job is to run again, and that it has read it is known by the answer to a ping that
//! was written behind it. Before that answer the last words are said again, which a router that has them ignores.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::jobs::parsed_job::Order;
use crate::send_queue::{Outbox, Probe};

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
    said: Said,
    until: Instant,
}

/// Last words, and how far they have got.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) words: Utf8Bytes,
    /// The lane that had them last.
    pub(crate) lane: Outbox,
    /// The ping behind them; without one it stays unknown whether they are read.
    pub(crate) read: Option<Probe>,
}

impl Said {
    /// Whether the router is known to have read them.
    fn is_read(&self) -> bool {
        self.read.is_some_and(|probe| self.lane.has_read(probe))
    }
}

impl Encores {
    /// Remembers how a job ended.
    pub(crate) fn keep(&mut self, order: &Order, said: Said, window: Duration) {
        self.forget(&order.job.job_id);
        self.bytes += said.words.len();
        let (job_id, until) = (order.job.job_id.clone(), Instant::now() + window);
        self.endings.push_back(Ended { job_id, fingerprint: order.fingerprint, said, until });
        while self.endings.len() > COUNT || self.bytes > BYTES || self.endings.front().is_some_and(Ended::is_over) {
            self.drop_at(0);
        }
    }

    /// The last words of a job that is asked for again and that the router had not read when it asked, as far as is known;
    /// from now on `lane` has them.
    pub(crate) fn ask(&mut self, order: &Order, lane: &Outbox) -> Option<Utf8Bytes> {
        let known = self.endings.iter_mut().find(|ended| ended.job_id == order.job.job_id && !ended.is_over())?;
        let said = &mut known.said;
        if known.fingerprint != order.fingerprint || (said.lane.is_same_lane(lane) && said.is_read()) {
            return None;
        }
        (said.lane, said.read) = (lane.clone(), None);
        Some(said.words.clone())
    }

    /// Last words were said again, with a ping behind them.
    pub(crate) fn repeated(&mut self, job_id: &str, read: Option<Probe>) {
        let known = self.endings.iter_mut().find(|ended| ended.job_id == job_id);
        known.into_iter().for_each(|ended| ended.said.read = read);
    }

    /// Forgets how a job ended: it begins again.
    pub(crate) fn forget(&mut self, job_id: &str) {
        if let Some(at) = self.endings.iter().position(|ended| ended.job_id == job_id) {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(ended) = self.endings.remove(at) {
            self.bytes -= ended.said.words.len();
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

    fn said(words: impl Into<Utf8Bytes>, lane: &Outbox) -> Said {
        Said { words: words.into(), lane: lane.clone(), read: lane.ask_read() }
    }

    #[test]
    fn last_words_are_said_again_to_another_lane_than_had_them() {
        let mut encores = Encores::default();
        let (lane, _alive_or_so_it_seems) = Outbox::new();
        let (next, _kept) = Outbox::new();
        let job = order("j", "hello");
        let words = said("words", &lane);
        lane.answered(words.read.expect("room for a ping"));
        encores.keep(&job, words, WINDOW);
        assert_eq!(encores.ask(&order("j", "another round"), &next), None);
        assert_eq!(encores.ask(&job, &next).as_deref(), Some("words"));
        let read = next.ask_read().expect("room for a ping");
        encores.repeated("j", Some(read));
        assert_eq!(encores.ask(&job, &next).as_deref(), Some("words"), "it had not read them");
        encores.repeated("j", Some(read));
        next.answered(read);
        assert_eq!(encores.ask(&job, &next), None, "the next lane has them");
    }

    #[test]
    fn a_job_that_crosses_its_own_end_is_not_run_again() {
        let mut encores = Encores::default();
        let (lane, _frames) = Outbox::new();
        let job = order("j", "hello");
        let earlier = lane.ask_read().expect("room for a ping");
        let words = said("words", &lane);
        let read = words.read.expect("room for a ping");
        encores.keep(&job, words, WINDOW);
        lane.answered(earlier);
        assert_eq!(encores.ask(&job, &lane).as_deref(), Some("words"), "the router had not read the end");
        encores.repeated("j", Some(read));
        lane.answered(read);
        assert_eq!(encores.ask(&job, &lane), None, "it has read the end: it is meant to run again");
        encores.repeated("j", None);
        assert_eq!(encores.ask(&job, &lane).as_deref(), Some("words"), "unknown is not read");
    }

    #[test]
    fn what_is_kept_is_bounded_in_number_size_and_time() {
        let mut encores = Encores::default();
        let (lane, _) = Outbox::new();
        for at in 0..COUNT * 2 {
            encores.keep(&order(&at.to_string(), ""), said("words", &lane), WINDOW);
        }
        assert_eq!((encores.endings.len(), encores.bytes), (COUNT, COUNT * 5));
        encores.keep(&order("large", ""), said("x".repeat(BYTES), &lane), WINDOW);
        assert_eq!((encores.endings.len(), encores.bytes), (1, BYTES));
        let job = order("brief", "");
        encores.keep(&job, said("words", &lane), Duration::ZERO);
        assert_eq!((encores.ask(&job, &Outbox::new().0), encores.endings.len(), encores.bytes), (None, 0, 0));
    }
}
