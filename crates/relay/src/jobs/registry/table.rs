//! The table of jobs: the running jobs with their connections, and the recent terminal messages. Pure.
//!
//! The key is the router's id, the identity is id **and** conversation. Guarantees, tested against a simple model under any
//! order of events: at most one round of an id runs; a round that is over for the router is cancelled and no other is; a job
//! belongs to the connection that sent it last; a terminal message is sent again while it is not known to be read.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::replay::ReplayCache;
use crate::send_queue::SendQueue;

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
    pub(crate) cancel: CancellationToken,
    pub(crate) connection: watch::Sender<SendQueue>,
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
            entry.fingerprint == parsed.fingerprint && !entry.cancel.is_cancelled()
        })?;
        if entry.connection.borrow().is_same_connection(from) {
            return Some(Lookup::Here);
        }
        entry.connection.send_replace(from.clone());
        Some(Lookup::Moved)
    }

    /// Adds a job that starts; whether this cancels an earlier round of it.
    pub(crate) fn begin(
        &mut self,
        job_id: &str,
        fingerprint: u64,
        cancel: CancellationToken,
        connection: watch::Sender<SendQueue>,
    ) -> (Round, bool) {
        self.ended.forget(job_id);
        self.rounds += 1;
        let entry = Entry { round: self.rounds, fingerprint, cancel, connection };
        // Nothing of the old round is sent after this.
        let old = self.entries.insert(job_id.to_owned(), entry).inspect(|old| old.cancel.cancel());
        (self.rounds, old.is_some())
    }

    /// Cancels a job; whether it was running.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        self.entries.get(job_id).inspect(|entry| entry.cancel.cancel()).is_some()
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
        self.entries.values().any(|entry| entry.connection.borrow().is_same_connection(connection))
    }
}

#[cfg(test)]
mod tests;
