//! The jobs this worker holds, whichever lane they came by: each a task, until it leaves.
//!
//! Each job is here from its arrival until its terminal message is in a socket. The same id with other
//! messages is a new round, with the same messages it is a duplicate or the router asking again after a
//! lost link, and then the running job moves to the lane that asked. The `table` decides; the desk does.

pub(crate) mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::jobs::context::JobContext;
use crate::jobs::parsed_job::ParsedJob;
use crate::jobs::registry::table::{Lookup, Round, Table};
use crate::jobs::replay::FinalMessage;
use crate::send_queue::{Frame, SendQueue};

/// All jobs of this worker.
#[derive(Debug)]
pub(crate) struct JobRegistry {
    state: Mutex<State>,
    departures: watch::Sender<u64>,
    pub(crate) context: Arc<JobContext>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) table: Table,
    /// Bytes of all jobs that are here.
    pub(crate) bytes: u64,
    pub(crate) tasks: JoinSet<()>,
}

/// Why one more job may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Jobs,
    Bytes,
}

impl Full {
    /// What the caller reads.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Jobs => "this worker is busy: it holds as many jobs as it may",
            Self::Bytes => "this worker is busy: the jobs that it holds are as large as they may be together",
        }
    }
}

/// What became of a job that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It runs.
    Started,
    /// It ran already; its answer now goes to the lane that asked.
    Adopted,
    /// It has ended and the router had not read how when it asked, as far as is known: its last words are said again.
    Repeated,
    /// It runs already on that very lane.
    Duplicate,
    /// The same id with another conversation: the earlier round is dropped, this one runs.
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

    /// Moves a job that is here already to the lane that asked for it; `None` if it is not here.
    pub(crate) fn adopt(&self, parsed: &ParsedJob, from: &SendQueue) -> Option<Accepted> {
        let mut state = self.lock();
        match state.table.look_up(parsed, from)? {
            Lookup::Here => Some(Accepted::Duplicate),
            Lookup::Moved => {
                drop(state);
                // The lane it has left may have waited for it to close.
                self.departures.send_modify(|count| *count += 1);
                Some(Accepted::Adopted)
            }
            Lookup::Ended(message) => {
                // A lane that is lost before it has them is asked for them again by the next one.
                let frame = Frame::Text(message, None);
                match from.try_reserve() {
                    Some(room) => {
                        room.send(frame);
                        // Behind them, so that its answer shows that they are read.
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

    /// The router no longer wants a job; whether it was here.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        self.lock().table.cancel(job_id)
    }

    /// Jobs held now, running or waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().table.len()
    }

    /// Whether a lane has a job to finish.
    pub(crate) fn is_busy(&self, connection: &SendQueue) -> bool {
        self.lock().table.is_busy(connection)
    }

    /// Changes whenever a job has left, or has left its lane for another.
    pub(crate) fn departures(&self) -> watch::Receiver<u64> {
        self.departures.subscribe()
    }

    /// Resolves when no job is here any more.
    pub(crate) async fn empty(&self) {
        let mut departures = self.departures();
        while self.len() > 0 {
            // The sender is ours, so this ends with a departure and in no other way.
            let _ = departures.changed().await;
        }
    }

    /// Ends every job with its shutdown message; they are gone when [`Desk::empty`] resolves.
    pub(crate) fn end_all(&self) {
        self.context.shutdown.cancel();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves a consistent table: every change is a single insert or remove.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a job off the desk when its exchange ends, also by a panic.
#[derive(Debug)]
pub(crate) struct JobGuard {
    pub(crate) registry: Arc<JobRegistry>,
    pub(crate) job_id: String,
    pub(crate) round: Round,
    pub(crate) bytes: u64,
}

impl JobGuard {
    /// Remembers the last words of the job that leaves.
    pub(crate) fn remember(&self, parsed: &ParsedJob, text: Utf8Bytes, connection: SendQueue) {
        let config = &self.registry.context.config;
        // A link that died in silence is known to be lost only so much later.
        let window = config.adopt_window + config.silence();
        // The words are in the socket, so the answer to this question comes when they are read.
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
