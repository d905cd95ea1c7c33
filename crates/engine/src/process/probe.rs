//! Watches a loading child from outside: when it is ready, and whether it still does anything.

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
use crate::process::output::{ReportedState, Ring};

/// First pause between two looks at a loading child: a tiny model is ready after 20 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause: readiness is published within 25 ms of being true, the look and the proof included.
const LAST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between two questions to one that says it is ready and does not show it.
const LAST_READY_PAUSE: Duration = Duration::from_secs(1);
/// Pause where the child tells its state by itself; a look now and then covers a line that got lost.
const REPORTING_PAUSE: Duration = Duration::from_secs(1);
/// One look. A loading engine answers 503 in a millisecond.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// So often in a row a key that we do not have is asked for before that is believed.
const KEY_WANTED: u32 = 3;

/// One that says it is ready and does not show it for so long will not serve us.
const READY_UNPROVED: Duration = Duration::from_secs(60);

/// What shows that a child serves.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) props: Props,
    /// The process that listens, where the system tells.
    pub(crate) server: Option<u32>,
}

/// Waits until the child serves, and reads what it serves.
///
/// The child's own word is the fast way and costs nothing; where the engine's build has none, `/health` is asked
/// every few milliseconds. Either way the answer to `/props` is the proof, so a state line can never lie to us.
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
                    // The pump is gone: standard output is closed, and only asking is left.
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
            // Each question is a line of the engine's log, so they become rarer.
            sleep(pause).await;
            pause = pause.mul_f64(1.25).min(LAST_READY_PAUSE);
        } else {
            pause = pause.mul_f64(1.25).min(LAST_PAUSE);
        }
    }
}

/// The process that listens on a socket. The kernel tells the one that began to listen, so a script before it and one that
/// hands a socket on make no difference.
async fn server_of(endpoint: &Endpoint) -> Option<u32> {
    let Endpoint::Unix(path) = endpoint else { return None };
    let stream = timeout(REQUEST_TIMEOUT, UnixStream::connect(path)).await.ok()?.ok()?;
    stream.peer_cred().ok()?.pid()?.try_into().ok()
}

/// A sign of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// How far the load is, as the child last reported.
    pub(crate) fraction: Option<f32>,
    /// There was output and nothing else.
    pub(crate) output_only: bool,
}

/// Watches whether a loading child does anything at all.
#[derive(Debug)]
pub(crate) struct Activity {
    pid: u32,
    ring: Arc<Ring>,
    reported: watch::Receiver<ReportedState>,
    is_reporting: bool,
    last: Snapshot,
    tick: tokio::time::Interval,
}

/// What was there at the last look.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Snapshot {
    output: u64,
    read: u64,
    reported: ReportedState,
}

impl Activity {
    pub(crate) fn new(
        pid: u32,
        ring: Arc<Ring>,
        reported: watch::Receiver<ReportedState>,
        stall: Duration,
    ) -> Activity {
        // Eight looks per deadline: a sign of work moves it by at least seven eighths.
        let mut tick = interval((stall / 8).clamp(Duration::from_millis(20), Duration::from_secs(5)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Activity { pid, ring, reported, is_reporting: true, last: Snapshot::default(), tick }
    }

    /// Waits for the next sign of work. Cancel safe.
    pub(crate) async fn next_progress(&mut self) -> Progress {
        loop {
            tokio::select! {
                change = self.reported.changed(), if self.is_reporting => {
                    self.is_reporting = change.is_ok();
                    let reported = *self.reported.borrow_and_update();
                    // The same word once more is output like any other.
                    if reported != self.last.reported {
                        self.last.reported = reported;
                        return Progress { fraction: reported.fraction, output_only: false };
                    }
                }
                _ = self.tick.tick() => {
                    let read = self.read();
                    let now = Snapshot { output: self.ring.bytes(), read: read.unwrap_or(self.last.read), reported: self.last.reported };
                    let before = std::mem::replace(&mut self.last, now);
                    if now != before {
                        let fraction = self.reported.borrow().fraction;
                        return Progress { fraction, output_only: now.read == before.read };
                    }
                }
            }
        }
    }

    /// What the child and all that came of it have read; a script leaves the reading to others.
    fn read(&self) -> Option<u64> {
        let all = std::iter::once(self.pid).chain(descendants::below(self.pid));
        all.filter_map(bytes_read).reduce(u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests;
