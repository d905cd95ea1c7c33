//! Terminal messages that reached a socket, stored while the router may not have read them.
//!
//! A connection can be lost between the socket and the router. The router then sends the job again. Running it again would
//! produce everything twice, so the terminal message, which holds the whole answer, is sent again.
//!
//! A job can also come again on the same connection while its terminal message is on the way. Only a router that has read
//! that message wants the job to run again; the answer to a ping after the message shows that. Before that answer the
//! message is sent again, which a router that has read it ignores.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::jobs::parsed_job::ParsedJob;
use crate::send_queue::{Probe, SendQueue};

/// The most messages, and bytes of them, that are stored; the oldest are dropped first.
const COUNT: usize = 256;
const BYTES: usize = 4 << 20;

/// The terminal messages of recent jobs.
#[derive(Debug, Default)]
pub(crate) struct ReplayCache {
    replays: VecDeque<Replay>,
    bytes: usize,
}

#[derive(Debug)]
struct Replay {
    job_id: String,
    fingerprint: u64,
    message: FinalMessage,
    until: Instant,
}

/// A terminal message and where it was sent.
#[derive(Debug)]
pub(crate) struct FinalMessage {
    pub(crate) text: Utf8Bytes,
    /// The connection that it was last sent on.
    pub(crate) connection: SendQueue,
    /// The ping after it; without one it is unknown whether the router has read it.
    pub(crate) read_probe: Option<Probe>,
}

impl FinalMessage {
    /// Whether the router is known to have read it.
    fn is_read(&self) -> bool {
        self.read_probe.is_some_and(|probe| self.connection.has_read(probe))
    }
}

impl ReplayCache {
    /// Stores the terminal message of a job.
    pub(crate) fn remember(&mut self, parsed: &ParsedJob, message: FinalMessage, window: Duration) {
        self.forget(&parsed.job.job_id);
        self.bytes += message.text.len();
        let (job_id, until) = (parsed.job.job_id.clone(), Instant::now() + window);
        self.replays.push_back(Replay { job_id, fingerprint: parsed.fingerprint, message, until });
        while self.replays.len() > COUNT || self.bytes > BYTES || self.replays.front().is_some_and(Replay::is_over) {
            self.drop_at(0);
        }
    }

    /// The terminal message of a job that the router sends again, if as far as known the router had not read it; from now on
    /// it belongs to `connection`.
    pub(crate) fn look_up(&mut self, parsed: &ParsedJob, connection: &SendQueue) -> Option<Utf8Bytes> {
        let known = self.replays.iter_mut().find(|ended| ended.job_id == parsed.job.job_id && !ended.is_over())?;
        let message = &mut known.message;
        if known.fingerprint != parsed.fingerprint
            || (message.connection.is_same_connection(connection) && message.is_read())
        {
            return None;
        }
        (message.connection, message.read_probe) = (connection.clone(), None);
        Some(message.text.clone())
    }

    /// A terminal message was sent again, with this ping after it.
    pub(crate) fn repeated(&mut self, job_id: &str, read_probe: Option<Probe>) {
        let known = self.replays.iter_mut().find(|ended| ended.job_id == job_id);
        known.into_iter().for_each(|ended| ended.message.read_probe = read_probe);
    }

    /// Removes the terminal message of a job that starts again.
    pub(crate) fn forget(&mut self, job_id: &str) {
        if let Some(at) = self.replays.iter().position(|ended| ended.job_id == job_id) {
            self.drop_at(at);
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(ended) = self.replays.remove(at) {
            self.bytes -= ended.message.text.len();
        }
    }
}

impl Replay {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auxot_protocol::ToWorker;

    const WINDOW: Duration = Duration::from_secs(60);

    fn parsed(id: &str, messages: &str) -> ParsedJob {
        let frame = serde_json::json!({"type": "job", "job_id": id, "messages": [messages]}).to_string();
        match ToWorker::parse(&frame) {
            Ok(ToWorker::Job(job)) => ParsedJob::new(*job),
            other => panic!("no job: {other:?}"),
        }
    }

    fn message(text: impl Into<Utf8Bytes>, connection: &SendQueue) -> FinalMessage {
        FinalMessage { text: text.into(), connection: connection.clone(), read_probe: connection.ask_read() }
    }

    #[test]
    fn a_terminal_message_is_sent_again_on_another_connection() {
        let mut cache = ReplayCache::default();
        let (connection, _alive_or_so_it_seems) = SendQueue::new();
        let (next, _kept) = SendQueue::new();
        let job = parsed("j", "hello");
        let text = message("text", &connection);
        connection.answered(text.read_probe.expect("room for a ping"));
        cache.remember(&job, text, WINDOW);
        assert_eq!(cache.look_up(&parsed("j", "another round"), &next), None);
        assert_eq!(cache.look_up(&job, &next).as_deref(), Some("text"));
        let read_probe = next.ask_read().expect("room for a ping");
        cache.repeated("j", Some(read_probe));
        assert_eq!(cache.look_up(&job, &next).as_deref(), Some("text"), "the router had not read it");
        cache.repeated("j", Some(read_probe));
        next.answered(read_probe);
        assert_eq!(cache.look_up(&job, &next), None, "the router has read it on the next connection");
    }

    #[test]
    fn a_job_that_crosses_its_terminal_message_is_not_run_again() {
        let mut cache = ReplayCache::default();
        let (connection, _frames) = SendQueue::new();
        let job = parsed("j", "hello");
        let earlier = connection.ask_read().expect("room for a ping");
        let text = message("text", &connection);
        let read_probe = text.read_probe.expect("room for a ping");
        cache.remember(&job, text, WINDOW);
        connection.answered(earlier);
        assert_eq!(
            cache.look_up(&job, &connection).as_deref(),
            Some("text"),
            "the router had not read the terminal message"
        );
        cache.repeated("j", Some(read_probe));
        connection.answered(read_probe);
        assert_eq!(cache.look_up(&job, &connection), None, "the router has read it, so the job runs again");
        cache.repeated("j", None);
        assert_eq!(cache.look_up(&job, &connection).as_deref(), Some("text"), "unknown is not read");
    }

    #[test]
    fn the_cache_is_bounded_in_number_size_and_time() {
        let mut cache = ReplayCache::default();
        let (connection, _) = SendQueue::new();
        for at in 0..COUNT * 2 {
            cache.remember(&parsed(&at.to_string(), ""), message("text", &connection), WINDOW);
        }
        assert_eq!((cache.replays.len(), cache.bytes), (COUNT, COUNT * 4));
        cache.remember(&parsed("large", ""), message("x".repeat(BYTES), &connection), WINDOW);
        assert_eq!((cache.replays.len(), cache.bytes), (1, BYTES));
        let job = parsed("brief", "");
        cache.remember(&job, message("text", &connection), Duration::ZERO);
        assert_eq!((cache.look_up(&job, &SendQueue::new().0), cache.replays.len(), cache.bytes), (None, 0, 0));
    }
}
