//! Watches a loading process: when it is ready, and whether it makes progress.

use std::sync::Arc;
use std::time::Duration;

use auxot_llama::{Control, ControlError, Endpoint, Health, Props};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::debug;

use crate::exit_reason::ExitClass;
use crate::host::descendants;
use crate::host::system::bytes_read;
use crate::process::output::{Printed, ReportedState};

/// First pause between two checks of a loading process: a tiny model is ready after 20 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause: readiness is published within 25 ms, both requests included.
const LAST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two requests to a process that reports that it is ready and does not answer as such.
const LAST_READY_PAUSE: Duration = Duration::from_secs(1);
/// Pause where the process reports its state by itself; a check now and then covers a lost line.
const REPORTING_PAUSE: Duration = Duration::from_secs(1);
/// The longest time for one request. A loading engine answers 503 in a millisecond.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Refusals for a missing key, after which the process counts as one that wants another key.
const KEY_WANTED: u32 = 3;

/// A process that reports that it is ready and does not answer as such for this long will not serve the worker.
const READY_UNPROVED: Duration = Duration::from_secs(60);

/// The proof that a process serves.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) props: Props,
    /// The process that listens, where the system reports it.
    pub(crate) server: Option<u32>,
}

/// Waits until the process serves, and reads what it serves.
///
/// State lines are the fast way and cost nothing; where the engine's build has none, `/health` is polled every few
/// milliseconds. In both cases the answer to `/props` is the proof, so a wrong state line does no harm.
pub(crate) async fn until_ready(
    control: Control,
    endpoint: Endpoint,
    mut reported: watch::Receiver<ReportedState>,
) -> Result<Readiness, ExitClass> {
    let mut pause = FIRST_PAUSE;
    let mut is_reporting = true;
    let mut refusals = 0;
    let mut ready_since = None;
    loop {
        let now = *reported.borrow_and_update();
        let ready = now.ready || {
            let wait = if now.reports { REPORTING_PAUSE } else { pause };
            tokio::select! {
                change = reported.changed(), if is_reporting => {
                    // The reader has ended: standard output is closed, and only polling is left.
                    is_reporting = change.is_ok();
                    continue;
                }
                () = sleep(wait) => control.health(REQUEST_TIMEOUT).await == Health::Ready,
            }
        };
        if ready {
            match control.props().await {
                Ok(props) => return Ok(Readiness { props, server: server_of(&endpoint).await }),
                Err(ControlError::Refused { status: 401 | 403, .. }) => {
                    refusals += 1;
                    if refusals == KEY_WANTED {
                        return Err(ExitClass::KeyWanted);
                    }
                }
                // Between "ready" and the first answer there can be one more 503.
                Err(fault) => debug!("{fault}"),
            }
            if ready_since.get_or_insert_with(Instant::now).elapsed() >= READY_UNPROVED {
                return Err(ExitClass::Unresponsive);
            }
            // Each request is a line in the engine's log, so they become rarer.
            sleep(pause).await;
            pause = pause.mul_f64(1.25).min(LAST_READY_PAUSE);
        } else {
            pause = pause.mul_f64(1.25).min(LAST_PAUSE);
        }
    }
}

/// The process that listens on a socket. The kernel reports the process that began to listen, so this is right also behind
/// a script, or where the socket was passed on.
async fn server_of(endpoint: &Endpoint) -> Option<u32> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let stream = timeout(REQUEST_TIMEOUT, UnixStream::connect(path)).await.ok()?.ok()?;
    stream.peer_cred().ok()?.pid()?.try_into().ok()
}

/// Progress of a load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// How far the load is, as the process last reported.
    pub(crate) fraction: Option<f32>,
    /// There was output and nothing else.
    pub(crate) output_only: bool,
}

/// Watches whether a loading process does anything.
#[derive(Debug)]
pub(crate) struct Activity {
    pid: u32,
    printed: Arc<Printed>,
    reported: watch::Receiver<ReportedState>,
    is_reporting: bool,
    last: Snapshot,
    tick: tokio::time::Interval,
}

/// What the last check has found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Snapshot {
    output: u64,
    read: u64,
    reported: ReportedState,
}

impl Activity {
    pub(crate) fn new(
        pid: u32,
        printed: Arc<Printed>,
        reported: watch::Receiver<ReportedState>,
        stall: Duration,
    ) -> Activity {
        // Eight checks per deadline: progress moves the deadline by at least seven eighths.
        let mut tick = interval((stall / 8).clamp(Duration::from_millis(20), Duration::from_secs(5)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Activity { pid, printed, reported, is_reporting: true, last: Snapshot::default(), tick }
    }

    /// Waits for the next progress. Cancel safe.
    pub(crate) async fn next_progress(&mut self) -> Progress {
        loop {
            tokio::select! {
                change = self.reported.changed(), if self.is_reporting => {
                    self.is_reporting = change.is_ok();
                    let reported = *self.reported.borrow_and_update();
                    // The same state again is output like any other.
                    if reported != self.last.reported {
                        self.last.reported = reported;
                        return Progress { fraction: reported.fraction, output_only: false };
                    }
                }
                _ = self.tick.tick() => {
                    let read = self.read();
                    let now = Snapshot { output: self.printed.bytes(), read: read.unwrap_or(self.last.read), reported: self.last.reported };
                    let before = std::mem::replace(&mut self.last, now);
                    if now != before {
                        let fraction = self.reported.borrow().fraction;
                        return Progress { fraction, output_only: now.read == before.read };
                    }
                }
            }
        }
    }

    /// What the process and its descendants have read; a script leaves the reading to others.
    fn read(&self) -> Option<u64> {
        let all = std::iter::once(self.pid).chain(descendants::below(self.pid));
        all.filter_map(bytes_read).reduce(u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests;
