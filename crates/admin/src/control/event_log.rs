//! The newest events, for streams that begin late or were cut.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::api::{Event, EventKind};

/// Events that are kept.
const KEPT_EVENTS: usize = 512;
/// The ids of one start of the worker are below those of the next: seconds since 1970 times this.
const IDS_PER_SECOND: u64 = 1 << 20;

/// The newest events.
#[derive(Debug)]
pub(crate) struct EventLog {
    events: Mutex<Kept>,
    added: Notify,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Event>,
    first: u64,
    newest: u64,
}

impl EventLog {
    pub(crate) fn new() -> Self {
        let first = now_ms() / 1000 * IDS_PER_SECOND;
        let events = Mutex::new(Kept { events: VecDeque::new(), first, newest: first });
        Self { events, added: Notify::new() }
    }

    pub(crate) fn push(&self, what: EventKind) {
        let mut kept = self.lock();
        kept.newest += 1;
        if kept.events.len() == KEPT_EVENTS {
            kept.events.pop_front();
        }
        let event = Event { id: kept.newest, at_ms: now_ms(), what };
        kept.events.push_back(event);
        drop(kept);
        self.added.notify_waiters();
    }

    /// The kept events after the one with this id, oldest first; a first event says how many were dropped before them. Without
    /// an id, all that are kept.
    pub(crate) fn after(&self, id: Option<u64>) -> Vec<Event> {
        let kept = self.lock();
        let after = id.unwrap_or(0);
        let fresh: Vec<Event> = kept.events.iter().filter(|event| event.id > after).cloned().collect();
        let oldest = kept.events.front().map_or(kept.newest + 1, |event| event.id);
        let missed = match id {
            None => None,
            // Events of an earlier start of the worker: it is not known how many there were.
            Some(id) if id < kept.first => Some(None),
            Some(id) => oldest.checked_sub(id + 1).filter(|missed| *missed > 0).map(Some),
        };
        let missed = missed.map(|events| Event {
            id: oldest - 1,
            at_ms: fresh.first().map_or_else(now_ms, |event| event.at_ms),
            what: EventKind::Missed { events },
        });
        missed.into_iter().chain(fresh).collect()
    }

    /// The id of the newest event.
    pub(crate) fn newest(&self) -> u64 {
        self.lock().newest
    }

    /// Resolves when an event is added after this call.
    pub(crate) fn added(&self) -> Notified<'_> {
        self.added.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic under this lock leaves whole events.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    to_ms(SystemTime::now())
}

/// Milliseconds since 1970; 0 for a clock that is before.
pub(crate) fn to_ms(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(number: usize) -> EventKind {
        EventKind::Command { command: number.to_string(), model: None }
    }

    #[test]
    fn a_stream_goes_on_after_its_last_event() {
        let log = EventLog::new();
        (0..5).for_each(|number| log.push(command(number)));
        let all = log.after(None);
        assert_eq!(all.len(), 5);
        assert_eq!(log.after(Some(all[2].id)), all[3..]);
        assert_eq!(log.after(Some(all[4].id)), []);
        assert_eq!(log.newest(), all[4].id);
    }

    #[test]
    fn dropped_events_are_counted_and_those_of_an_earlier_start_are_unknown() {
        let log = EventLog::new();
        let first = log.newest();
        (0..KEPT_EVENTS + 7).for_each(|number| log.push(command(number)));
        let rest = log.after(Some(first + 2));
        assert_eq!(rest.len(), KEPT_EVENTS + 1);
        assert_eq!(rest[0].what, EventKind::Missed { events: Some(5) });
        assert_eq!(rest[0].id + 1, rest[1].id, "a stream that is cut here goes on with the next");
        assert_eq!(log.after(Some(first + 7)).len(), KEPT_EVENTS);
        assert_eq!(log.after(Some(1))[0].what, EventKind::Missed { events: None });
        assert_eq!(log.after(None).len(), KEPT_EVENTS);
    }
}
