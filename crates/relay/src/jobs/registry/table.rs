//! The table of jobs: which are here, by which lane they were asked for last, and how the last ones ended. Pure.
//!
//! The key is the router's id, the identity is id **and** conversation. Guarantees, held by a test against a simple
//! model under any order of events: at most one round of an id runs; a round that is over for the router is cancelled
//! and no other is; a job's lane is the one that asked last; an ending is said again to whoever has not read it, as far as
//! is known.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::replay::ReplayCache;
use crate::send_queue::SendQueue;

/// Names one run of a job.
pub(crate) type Round = u64;

/// All jobs that are here, and the endings of a while.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<String, Entry>,
    pub(crate) ended: ReplayCache,
    rounds: Round,
}

/// The table's two holds on a running job: to end it, and to move it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) round: Round,
    pub(crate) fingerprint: u64,
    pub(crate) cancel: CancellationToken,
    pub(crate) connection: watch::Sender<SendQueue>,
}

/// What is known of a job that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It runs, on the very lane that asks.
    Here,
    /// It runs, and belongs to the lane that asks from now on.
    Moved,
    /// It has ended, and the router may not have read how.
    Ended(Utf8Bytes),
}

impl Table {
    /// Looks a job up for a lane that asks for it; `None` if it is to run.
    pub(crate) fn look_up(&mut self, parsed: &ParsedJob, from: &SendQueue) -> Option<Lookup> {
        if let Some(message) = self.ended.look_up(parsed, from) {
            return Some(Lookup::Ended(message));
        }
        let entry = self.entries.get(&parsed.job.job_id).filter(|entry| {
            // One that was cancelled is on its way out, so asking for it again begins it anew.
            entry.fingerprint == parsed.fingerprint && !entry.cancel.is_cancelled()
        })?;
        if entry.connection.borrow().is_same_connection(from) {
            return Some(Lookup::Here);
        }
        entry.connection.send_replace(from.clone());
        Some(Lookup::Moved)
    }

    /// Takes in a job that is to run; whether that ends an earlier round of it.
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
        // Nothing of the old round goes out from here on.
        let old = self.entries.insert(job_id.to_owned(), entry).inspect(|old| old.cancel.cancel());
        (self.rounds, old.is_some())
    }

    /// The router no longer wants a job; whether it was here.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        self.entries.get(job_id).inspect(|entry| entry.cancel.cancel()).is_some()
    }

    /// A round has ended. A later one under the same id stays.
    pub(crate) fn end(&mut self, job_id: &str, round: Round) {
        if self.entries.get(job_id).is_some_and(|entry| entry.round == round) {
            self.entries.remove(job_id);
        }
    }

    /// Jobs that are here.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a lane has a job to finish.
    pub(crate) fn is_busy(&self, connection: &SendQueue) -> bool {
        self.entries.values().any(|entry| entry.connection.borrow().is_same_connection(connection))
    }
}

#[cfg(test)]
mod tests;
