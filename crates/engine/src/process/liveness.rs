//! Checks whether a serving process still works, by what it does rather than by what it answers.
//!
//! A busy process is healthy as long as its requests get something from it, comments aside; then nothing else is checked.
//! When they get nothing, three things are checked: an answer to `/health` on a connection of its own, progress in
//! `/slots`, and processor time.
//!
//! | `/health` | work | meaning |
//! | --- | --- | --- |
//! | answered | slots progress, or those in use belong to clients that do not read, and no request waits for an answer | healthy |
//! | answered | only processor time | a long batch; a process that computes without progress is lost after [`COMPUTING_FACTOR`] times `stall` |
//! | answered | none | hangs although its HTTP server answers; lost after `stall` |
//! | silent | processor time | all HTTP threads are in use, which is no failure |
//! | silent | none | a strike: stopped, deadlocked, or out of memory in the kernel |
//! | nothing listens | | a strike |
//! | the check itself failed | | nothing: the worker's lack of descriptors is no fault of the engine |
//!
//! `/slots` is requested only while the process is in use and makes no progress, and not more often than every two seconds:
//! each answer delays the engine's own check for clients that have left. `/health` waits for nothing in the engine.

use std::time::Duration;

use auxot_llama::{Control, Health, Slot};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::usage::Usage;

/// Strikes in a row after which a process is lost; one alone proves nothing.
const STRIKES: u32 = 3;
/// Pause after a strike before the next check.
const STRIKE_PAUSE: Duration = Duration::from_secs(1);
/// More processor time than a process uses by answering the checks.
const WORK: Duration = Duration::from_millis(30);
/// Shortest time between two requests for the slots.
const SLOTS_PAUSE: Duration = Duration::from_secs(2);
/// A process that uses the processor has this many times as long: a batch may take minutes.
pub(crate) const COMPUTING_FACTOR: u32 = 10;

/// How often a serving process is checked, and how long it may make no progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LivenessLimits {
    /// From one check to the next while it is not in use.
    pub(crate) idle: Duration,
    /// From one check to the next while it is in use and makes no progress.
    pub(crate) busy: Duration,
    /// The longest time for one answer.
    pub(crate) timeout: Duration,
    /// Longest time without any work while `/health` is answered.
    pub(crate) stall: Duration,
}

impl LivenessLimits {
    /// The longest time until a lost process is noticed while it is in use.
    #[cfg(test)]
    fn busy_worst_case(&self) -> Duration {
        2 * self.busy.min(self.idle) + self.strikes()
    }

    /// The same while it is not.
    #[cfg(test)]
    fn idle_worst_case(&self) -> Duration {
        self.idle + self.busy.min(self.idle) + self.strikes()
    }

    #[cfg(test)]
    fn strikes(&self) -> Duration {
        STRIKES * self.timeout + (STRIKES - 1) * STRIKE_PAUSE
    }
}

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observation {
    /// It is healthy, and its work progresses or there is none.
    Progresses,
    /// It uses the processor, without progress.
    Computes,
    /// It answers and does nothing else.
    Hangs,
    /// It does not answer and does nothing else.
    Strike,
    /// The check could not be made.
    Unknown,
}

/// Waits until the process is lost. `cpu` returns the processor time that it has used, where the system reports it.
pub(crate) async fn until_lost(
    control: &Control,
    usage: &Usage,
    cpu: impl Fn() -> Option<Duration>,
    limits: LivenessLimits,
) {
    let mut watcher = LivenessCheck { control, usage, cpu, limits, used: None, slots: None, asked: None };
    let mut last_progress = usage.progress();
    let (mut healthy_at, mut progress_at) = (Instant::now(), Instant::now());
    let mut strikes = 0;
    loop {
        sleep(if strikes > 0 { STRIKE_PAUSE } else { limits.busy.min(limits.idle) }).await;
        let progress = usage.progress().wrapping_sub(std::mem::replace(&mut last_progress, usage.progress()));
        if progress > 0 {
            (healthy_at, progress_at, strikes) = (Instant::now(), Instant::now(), 0);
            continue;
        }
        if strikes == 0 && usage.claims() == 0 && healthy_at.elapsed() < limits.idle {
            continue;
        }
        let limit = match watcher.check().await {
            Observation::Progresses => {
                (healthy_at, progress_at, strikes) = (Instant::now(), Instant::now(), 0);
                continue;
            }
            Observation::Computes => {
                (healthy_at, strikes) = (Instant::now(), 0);
                limits.stall * COMPUTING_FACTOR
            }
            Observation::Hangs => {
                (healthy_at, strikes) = (Instant::now(), 0);
                limits.stall
            }
            Observation::Unknown => {
                progress_at = Instant::now();
                continue;
            }
            Observation::Strike => {
                strikes += 1;
                warn!(strikes, "the engine does not respond");
                if strikes < STRIKES {
                    continue;
                }
                Duration::ZERO
            }
        };
        if progress_at.elapsed() >= limit && usage.progress() == last_progress {
            return;
        }
    }
}

struct LivenessCheck<'a, C> {
    control: &'a Control,
    usage: &'a Usage,
    cpu: C,
    limits: LivenessLimits,
    /// The processor time at the last check.
    used: Option<Duration>,
    /// The slots at the last request, and when that was.
    slots: Option<Vec<Slot>>,
    asked: Option<Instant>,
}

impl<C: Fn() -> Option<Duration>> LivenessCheck<'_, C> {
    async fn check(&mut self) -> Observation {
        let before = (self.cpu)();
        let busy = self.usage.claims() > 0;
        let slots_due = busy && self.asked.is_none_or(|asked| asked.elapsed() >= SLOTS_PAUSE);
        let (control, limit) = (self.control, self.limits.timeout);
        let slots =
            async { if slots_due { timeout(limit, control.slots()).await.ok().and_then(Result::ok) } else { None } };
        let (health, slots) = tokio::join!(control.health(limit), slots);
        let now = (self.cpu)();
        let worked = |since: Option<Duration>| now.zip(since).is_some_and(|(now, since)| now >= since + WORK);
        let works = worked(self.used.replace(now.unwrap_or_default())) || worked(before);
        if slots_due {
            self.asked = Some(Instant::now());
        }
        let progresses = !busy || self.slots_progress(slots);
        match health {
            Health::NotSent => Observation::Unknown,
            Health::NotListening => Observation::Strike,
            // Only work during the silence prevents a strike.
            Health::Silent if worked(before) => Observation::Computes,
            Health::Silent => Observation::Strike,
            Health::Ready | Health::Loading | Health::Odd(_) => match (progresses, works) {
                (true, _) => Observation::Progresses,
                (false, true) => Observation::Computes,
                (false, false) => Observation::Hangs,
            },
        }
    }

    /// Whether the slots progress, or cannot because their clients read nothing. An engine that sends nothing but comments
    /// to a request that waits has lost that request, whatever its slots say.
    fn slots_progress(&mut self, now: Option<Vec<Slot>>) -> bool {
        let Some(now) = now else { return false };
        let processing = now.iter().filter(|slot| slot.is_processing).count();
        let idle = processing <= self.usage.held_back() && self.usage.awaiting() == 0;
        let before = self.slots.replace(now);
        // The first answer has nothing to compare with, so it proves nothing.
        idle || before.is_some_and(|before| Some(before) != self.slots)
    }
}

#[cfg(test)]
mod tests;
