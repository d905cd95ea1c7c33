//! The table of jobs this worker holds, whichever lane they came by.
//!
//! Each job is here from its arrival until its terminal message is in a socket. The key is the
//! router's id, the identity is id **and** conversation: the same id with other messages is a new
//! round, with the same messages it is a duplicate or the router asking again after a lost link,
//! and then the running job moves to the lane that asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use crate::encores::Encores;
use crate::exchange::{self, Exchange, Surroundings};
use crate::order::Order;
use crate::outbox::{Frame, Outbox};

/// All jobs of this worker.
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    departures: watch::Sender<u64>,
    surroundings: Arc<Surroundings>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<String, Held>,
    ended: Encores,
    tasks: JoinSet<()>,
    rounds: u64,
}

#[derive(Debug)]
struct Held {
    round: u64,
    fingerprint: u64,
    cancel: CancellationToken,
    lane: watch::Sender<Outbox>,
}

/// What became of a job that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It runs.
    Started,
    /// It ran already; its answer now goes to the lane that asked.
    Adopted,
    /// It has ended and the router may not have read how: its last words are said again.
    Repeated,
    /// It runs already on that very lane.
    Duplicate,
    /// The same id with another conversation: the earlier round is dropped, this one runs.
    NewRound,
}

impl Desk {
    pub(crate) fn new(surroundings: Arc<Surroundings>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), departures: watch::Sender::new(0), surroundings })
    }

    /// Takes a job from a lane.
    pub(crate) fn accept(self: &Arc<Self>, order: Order, from: &Outbox) -> Accepted {
        if let Some(known) = self.adopt(&order, from) {
            return known;
        }
        let (id, fingerprint) = (order.job.job_id.clone(), order.fingerprint);
        let (seat, cancel, lane) = exchange::Seat::new(from);
        // Made before the table is locked: it reads what the caller wrote, and a panic there must harm this job alone.
        let exchange = Exchange::new(order, seat, Arc::clone(&self.surroundings));
        let mut state = self.lock();
        state.ended.forget(&id);
        state.rounds += 1;
        let round = state.rounds;
        let held = Held { round, fingerprint, cancel, lane };
        let leave = Leave { desk: Arc::clone(self), job_id: id.clone(), round };
        let accepted = match state.held.insert(id, held) {
            // Nothing of the old round goes out from here on.
            Some(old) => {
                old.cancel.cancel();
                Accepted::NewRound
            }
            None => Accepted::Started,
        };
        // Ended tasks are taken out as new ones come in, so the set is as large as the work.
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn(exchange::run(exchange, leave));
        accepted
    }

    /// Moves a job that is here already to the lane that asked for it; `None` if it is not here.
    pub(crate) fn adopt(&self, order: &Order, from: &Outbox) -> Option<Accepted> {
        let mut state = self.lock();
        if let Some(words) = state.ended.ask(order, from) {
            let from = from.clone();
            // A lane that is lost before it has them is asked for them again by the next one.
            state.tasks.spawn(async move { _ = from.send(Frame::Text(words, None)).await });
            return Some(Accepted::Repeated);
        }
        let held = state.held.get(&order.job.job_id).filter(|held| {
            // One that was cancelled is on its way out, so asking for it again begins it anew.
            held.fingerprint == order.fingerprint && !held.cancel.is_cancelled()
        })?;
        if held.lane.borrow().is_same_lane(from) {
            return Some(Accepted::Duplicate);
        }
        held.lane.send_replace(from.clone());
        drop(state);
        // The lane it has left may have waited for it to close.
        self.departures.send_modify(|count| *count += 1);
        Some(Accepted::Adopted)
    }

    /// The router no longer wants a job; whether it was here.
    pub(crate) fn cancel(&self, job_id: &str) -> bool {
        let state = self.lock();
        state.held.get(job_id).inspect(|held| held.cancel.cancel()).is_some()
    }

    /// Jobs held now, running or waiting.
    pub(crate) fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// Whether a lane has a job to finish.
    pub(crate) fn is_busy(&self, lane: &Outbox) -> bool {
        self.lock().held.values().any(|held| held.lane.borrow().is_same_lane(lane))
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
        self.surroundings.shutdown.cancel();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves a consistent table: every change is a single insert or remove.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a job off the desk when its exchange ends, also by a panic.
#[derive(Debug)]
pub(crate) struct Leave {
    desk: Arc<Desk>,
    job_id: String,
    round: u64,
}

impl Leave {
    /// Remembers the last words of the job that leaves.
    pub(crate) fn keep(&self, order: &Order, words: Utf8Bytes, lane: Outbox) {
        let config = &self.desk.surroundings.config;
        // A link that died in silence is known to be lost only so much later.
        let window = config.adopt_window + config.silence();
        self.desk.lock().ended.keep(order, words, lane, window);
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut state = self.desk.lock();
        // A later round under the same id is not ours to remove.
        if state.held.get(&self.job_id).is_some_and(|held| held.round == self.round) {
            state.held.remove(&self.job_id);
        }
        drop(state);
        self.desk.departures.send_modify(|count| *count += 1);
    }
}
