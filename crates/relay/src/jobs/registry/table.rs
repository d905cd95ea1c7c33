//! The table of jobs: the running jobs with their connections, and the recent terminal messages. Pure.
//!
//! The key is the router's id, the identity is id **and** conversation. Guarantees, tested against a simple model under any
//! order of events: at most one round of an id runs; a round that is over for the router is cancelled and no other is; a job
//! belongs to the connection that sent it last; a terminal message is sent again while it is not known to be read.
//!
//! A connection can be lost between the socket and the router. The router then sends the job again. Running it again would
//! produce everything twice, so the terminal message, which holds the whole answer, is sent again.
//!
//! A job can also come again on the same connection while its terminal message is on the way. Only a router that has read
//! that message wants the job to run again; the answer to a ping after the message shows that. Before that answer the
//! message is sent again, which a router that has read it ignores.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use auxot_protocol::AnswerRead;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::jobs::context::JobControls;
use crate::jobs::parsed_job::ParsedJob;
use crate::send_queue::{Probe, SendQueue};

/// The most terminal messages, and bytes of them, that are stored; the oldest are dropped first.
const MOST_REPLAYS: usize = 256;
const MOST_REPLAY_BYTES: usize = 4 << 20;

/// The number of one run of a job.
pub(crate) type Round = u64;

/// The running jobs, and the recent terminal messages.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<String, Entry>,
    pub(crate) ended: ReplayCache,
    rounds: Round,
}

/// One running job, with the channels that cancel and move it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) round: Round,
    pub(crate) fingerprint: u64,
    pub(crate) controls: JobControls,
}

/// The state of a job that the router sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It runs on this connection.
    Here,
    /// It runs, and belongs to this connection from now on.
    Moved,
    /// It has ended, and the router may not have read this terminal message.
    Ended(Utf8Bytes),
}

impl Table {
    /// Looks up a job that came by a connection; `None` when it must start.
    pub(crate) fn look_up(&mut self, parsed: &ParsedJob, from: &SendQueue) -> Option<Lookup> {
        if let Some(message) = self.ended.look_up(parsed, from) {
            return Some(Lookup::Ended(message));
        }
        let entry = self.entries.get(&parsed.job.job_id).filter(|entry| {
            // A cancelled job ends soon, so the same job starts again.
            entry.fingerprint == parsed.fingerprint && !entry.controls.cancel.is_cancelled()
        })?;
        if entry.controls.connection.borrow().is_same_connection(from) {
            return Some(Lookup::Here);
        }
        entry.controls.connection.send_replace(from.clone());
        Some(Lookup::Moved)
    }

    /// Adds a job that starts; whether this cancels an earlier round of it.
    pub(crate) fn begin(&mut self, job_id: &str, fingerprint: u64, controls: JobControls) -> (Round, bool) {
        self.ended.forget(job_id);
        self.rounds += 1;
        let entry = Entry { round: self.rounds, fingerprint, controls };
        // Nothing of the old round is sent after this.
        let old = self.entries.insert(job_id.to_owned(), entry).inspect(|old| old.controls.cancel.cancel());
        (self.rounds, old.is_some())
    }

    /// Cancels a job; whether it was running.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        self.entries.get(job_id).inspect(|entry| entry.controls.cancel.cancel()).is_some()
    }

    /// The router has taken output of a job.
    pub(crate) fn read(&self, read: AnswerRead) {
        if let Some(entry) = self.entries.get(&read.job_id) {
            entry.controls.reads.send_replace(read);
        }
    }

    /// A round has ended. A later one under the same id stays.
    pub(crate) fn end(&mut self, job_id: &str, round: Round) {
        if self.entries.get(job_id).is_some_and(|entry| entry.round == round) {
            self.entries.remove(job_id);
        }
    }

    /// The number of running jobs.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a connection has an unfinished job.
    pub(crate) fn is_busy(&self, connection: &SendQueue) -> bool {
        self.entries.values().any(|entry| entry.controls.connection.borrow().is_same_connection(connection))
    }
}

/// The terminal messages of recent jobs that reached a socket, stored while the router may not have read them.
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
        while self.replays.len() > MOST_REPLAYS
            || self.bytes > MOST_REPLAY_BYTES
            || self.replays.front().is_some_and(Replay::is_over)
        {
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
mod tests;
