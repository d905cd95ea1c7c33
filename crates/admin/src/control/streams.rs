//! Streams of server-sent events that go on after the last event that their client had.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use auxot_fleet::{EngineLog, Fleet};
use axum::http::HeaderMap;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::api::LogLine;
use super::event_log::to_ms;
use super::observer::Observer;

/// Streams at once: other requests must always find a connection.
pub(crate) const STREAMS: usize = 16;
/// A stream ends after this time; its client goes on with the next one.
pub(crate) const STREAM_TIME: Duration = Duration::from_secs(60 * 60);
/// A comment is sent after so long without an event, so that both ends notice a lost connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Permits for streams.
#[derive(Debug, Clone)]
pub(crate) struct StreamPermits(Arc<Semaphore>);

impl StreamPermits {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS)))
    }

    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// The number in `Last-Event-ID`.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.trim().parse().ok()
}

/// The events after the one with this id, and those to come. Without an id, all that are kept.
pub(crate) fn events(observer: Arc<Observer>, after: Option<u64>, permit: OwnedSemaphorePermit) -> Response {
    struct Following {
        observer: Arc<Observer>,
        after: Option<u64>,
        ready: VecDeque<SseEvent>,
    }
    let following = Following { observer, after, ready: VecDeque::new() };
    let events = stream::unfold(following, |mut following| async move {
        loop {
            if let Some(event) = following.ready.pop_front() {
                return Some((event, following));
            }
            let observer = Arc::clone(&following.observer);
            let added = observer.events.added();
            let fresh = observer.events.after(following.after);
            if fresh.is_empty() {
                // Nothing is kept yet, so all that comes is new.
                following.after.get_or_insert(observer.events.newest());
                added.await;
                continue;
            }
            following.after = fresh.last().map(|event| event.id);
            following.ready = fresh.iter().filter_map(|event| sse(event.id, event)).collect();
        }
    });
    response(events, permit)
}

/// The newest lines of a model's engines after the one with this number, and those to come.
pub(crate) fn log(fleet: Fleet, model: String, after: u64, newest: usize, permit: OwnedSemaphorePermit) -> Response {
    struct Following {
        fleet: Fleet,
        model: String,
        after: u64,
        /// The most lines of the first batch.
        newest: usize,
        ready: VecDeque<SseEvent>,
    }
    let following = Following { fleet, model, after, newest, ready: VecDeque::new() };
    let lines = stream::unfold(following, |mut following| async move {
        loop {
            if let Some(line) = following.ready.pop_front() {
                return Some((line, following));
            }
            let mut changes = following.fleet.changes();
            let Ok((_, Some(log))) = following.fleet.engine_log(&following.model) else {
                // The first engine of the model makes its log; that is a change of the fleet.
                changes.changed().await.ok()?;
                continue;
            };
            let added = log.added();
            let fresh = log_lines(&log, following.after, following.newest);
            following.newest = usize::MAX;
            let Some(last) = fresh.last() else {
                added.await;
                continue;
            };
            following.after = last.number;
            following.ready = fresh.iter().filter_map(|line| sse(line.number, line)).collect();
        }
    });
    response(lines, permit)
}

/// The newest `limit` lines after the one with this number.
pub(crate) fn log_lines(log: &EngineLog, after: u64, limit: usize) -> Vec<LogLine> {
    let lines = log.after(after, limit).into_iter();
    lines
        .map(|line| LogLine { number: line.number, process: line.process, at_ms: to_ms(line.at), text: line.text })
        .collect()
}

fn sse(id: u64, data: &impl Serialize) -> Option<SseEvent> {
    // These messages are texts and numbers: they can always be serialised.
    SseEvent::default().id(id.to_string()).json_data(data).ok()
}

fn response(events: impl Stream<Item = SseEvent> + Send + 'static, permit: OwnedSemaphorePermit) -> Response {
    let ends = Box::pin(tokio::time::sleep(STREAM_TIME));
    let events = events.take_until(ends).map(move |event| {
        let _held = &permit;
        Ok::<_, Infallible>(event)
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
