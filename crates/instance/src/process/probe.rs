//! Watches a loading child from outside: when it is ready, and whether it still does anything.

use std::sync::Arc;
use std::time::Duration;

use auxot_llama::{Control, Health, Props};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use crate::process::output::{Ring, Told};
use crate::process::system::bytes_read;

/// First pause between two looks at a loading child: a tiny model is ready after 20 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause: readiness is published within 25 ms of being true, the look and the proof included.
const LAST_PAUSE: Duration = Duration::from_millis(20);
/// Pause where the child tells its state by itself; a look now and then covers a line that got lost.
const TOLD_PAUSE: Duration = Duration::from_secs(1);
/// One look. A loading engine answers 503 in a millisecond.
const LOOK: Duration = Duration::from_secs(1);
/// Waits until the child serves, and reads what it serves.
///
/// The child's own word is the fast way and costs nothing; where the engine's build has none, `/health` is asked
/// every few milliseconds. Either way the answer to `/props` is the proof, so a state line can never lie to us.
pub(crate) async fn until_ready(control: &Control, mut told: watch::Receiver<Told>) -> Props {
    let mut pause = FIRST_PAUSE;
    let mut telling = true;
    loop {
        let now = *told.borrow_and_update();
        let ready = now.ready || {
            let wait = if now.speaks { TOLD_PAUSE } else { pause };
            tokio::select! {
                change = told.changed(), if telling => {
                    // The pump is gone: standard output is closed, and only asking is left.
                    telling = change.is_ok();
                    continue;
                }
                () = sleep(wait) => control.health(LOOK).await == Health::Ready,
            }
        };
        if ready {
            match control.props().await {
                Ok(props) => return props,
                // Between "ready" and the first answer there can be one more 503.
                Err(fault) => debug!("{fault}"),
            }
            sleep(FIRST_PAUSE).await;
        }
        pause = pause.mul_f64(1.25).min(LAST_PAUSE);
    }
}

/// Watches whether a loading child does anything at all.
#[derive(Debug)]
pub(crate) struct Activity {
    pid: u32,
    ring: Arc<Ring>,
    told: watch::Receiver<Told>,
    telling: bool,
    last: (u64, u64),
    tick: tokio::time::Interval,
}

impl Activity {
    pub(crate) fn new(pid: u32, ring: Arc<Ring>, told: watch::Receiver<Told>, stall: Duration) -> Activity {
        // Eight looks per deadline: a sign of work moves it by at least seven eighths.
        let mut tick = interval((stall / 8).clamp(Duration::from_millis(20), Duration::from_secs(5)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Activity { pid, ring, told, telling: true, last: (0, 0), tick }
    }

    /// Waits for the next sign of work; the fraction is what the child last told. Cancel safe.
    pub(crate) async fn sign(&mut self) -> Option<f32> {
        loop {
            tokio::select! {
                change = self.told.changed(), if self.telling => {
                    self.telling = change.is_ok();
                    if self.telling {
                        return self.told.borrow_and_update().fraction;
                    }
                }
                _ = self.tick.tick() => {
                    let now = (self.ring.bytes(), bytes_read(self.pid).unwrap_or(self.last.1));
                    if now != self.last {
                        self.last = now;
                        return self.told.borrow().fraction;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
