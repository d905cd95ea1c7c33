//! The jobs of this worker, of all connections; each is a task.
//!
//! A job is registered from its arrival until its terminal message is in a socket. The same id with other messages is a new
//! round. The same id with the same messages is a duplicate, or the router sends the job again after a lost connection; the
//! running job then moves to the new connection. The `table` decides, the registry acts.

pub(crate) mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_protocol::AnswerRead;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::jobs::context::JobContext;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::table::{FinalMessage, Lookup, Round, Table};
use crate::send_queue::{Frame, SendQueue};

/// All jobs of this worker.
#[derive(Debug)]
pub(crate) struct JobRegistry {
    state: Mutex<RegistryState>,
    departures: watch::Sender<u64>,
    pub(crate) context: Arc<JobContext>,
}

#[derive(Debug, Default)]
pub(crate) struct RegistryState {
    pub(crate) table: Table,
    /// Bytes of all registered jobs.
    pub(crate) bytes: u64,
    pub(crate) tasks: JoinSet<()>,
}

/// Why no further job can be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Jobs,
    Bytes,
}

impl Full {
    /// The error text for the caller.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Jobs => "this worker is busy: it holds as many jobs as it may",
            Self::Bytes => "this worker is busy: the jobs that it holds are as large as they may be together",
        }
    }
}

/// What happened with a job message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// The job has started.
    Started,
    /// The job runs; its answer now goes to the new connection.
    Adopted,
    /// The job has ended, and as far as known the router had not read its terminal message: the message is sent again.
    Repeated,
    /// The job runs on this connection already.
    Duplicate,
    /// The same id with another conversation: the earlier round is cancelled, this one has started.
    NewRound,
}

impl Accepted {
    /// The word for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Adopted => "adopted",
            Self::Repeated => "repeated",
            Self::Duplicate => "duplicate",
            Self::NewRound => "new_round",
        }
    }
}

impl JobRegistry {
    pub(crate) fn new(context: Arc<JobContext>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), departures: watch::Sender::new(0), context })
    }

    /// Handles a job that is registered or has ended, and moves a running one to this connection; `None` for an unknown job.
    pub(crate) fn adopt(&self, parsed: &ParsedJob, from: &SendQueue) -> Option<Accepted> {
        let mut state = self.lock();
        match state.table.look_up(parsed, from)? {
            Lookup::Here => Some(Accepted::Duplicate),
            Lookup::Moved => {
                drop(state);
                // The previous connection may be draining and wait for this job.
                self.departures.send_modify(|count| *count += 1);
                Some(Accepted::Adopted)
            }
            Lookup::Ended(message) => {
                // If this connection is lost before the message is written, the router sends the job again by the next one.
                let frame = Frame::Text(message, None);
                match from.try_reserve() {
                    Some(room) => {
                        room.send(frame);
                        // The ping follows the message, so its answer shows that the message was read.
                        let read_probe = from.try_reserve().map(|room| {
                            let probe = from.probe();
                            room.send(Frame::Ping(probe));
                            probe
                        });
                        state.table.ended.repeated(&parsed.job.job_id, read_probe);
                    }
                    None => {
                        let from = from.clone();
                        state.tasks.spawn(async move { _ = from.send(frame).await });
                    }
                }
                Some(Accepted::Repeated)
            }
        }
    }

    /// Cancels a job; whether it was registered.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        self.lock().table.cancel(job_id)
    }

    /// The router has taken output of a job.
    pub(crate) fn read(&self, read: AnswerRead) {
        self.lock().table.read(read);
    }

    /// The number of registered jobs, running or waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().table.len()
    }

    /// Whether a connection has an unfinished job.
    pub(crate) fn is_busy(&self, connection: &SendQueue) -> bool {
        self.lock().table.is_busy(connection)
    }

    /// Changes when a job has ended, or has moved to another connection.
    pub(crate) fn departures(&self) -> watch::Receiver<u64> {
        self.departures.subscribe()
    }

    /// Resolves when no job is registered.
    pub(crate) async fn empty(&self) {
        let mut departures = self.departures();
        while self.len() > 0 {
            // `self` holds the sender, so this returns only after a change.
            let _ = departures.changed().await;
        }
    }

    /// Ends every job with its shutdown message; [`JobRegistry::empty`] resolves after that.
    pub(crate) fn end_all(&self) {
        self.context.shutdown.cancel();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, RegistryState> {
        // A panic under this lock leaves a consistent table: every change is a single insert or remove.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a job from the registry when its task ends, also after a panic.
#[derive(Debug)]
pub(crate) struct JobGuard {
    pub(crate) registry: Arc<JobRegistry>,
    pub(crate) job_id: String,
    pub(crate) round: Round,
    pub(crate) bytes: u64,
}

impl JobGuard {
    /// Stores the terminal message of the job.
    pub(crate) fn remember(&self, parsed: &ParsedJob, text: Utf8Bytes, connection: SendQueue) {
        let config = &self.registry.context.config;
        // A connection that died silently is detected only after the silence limit.
        let window = config.adopt_window + config.silence();
        // The message is in the socket, so the answer to this ping comes after the router has read it.
        let read_probe = connection.ask_read();
        self.registry.lock().table.ended.remember(parsed, FinalMessage { text, connection, read_probe }, window);
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.table.end(&self.job_id, self.round);
        state.bytes -= self.bytes;
        drop(state);
        self.registry.departures.send_modify(|count| *count += 1);
    }
}
