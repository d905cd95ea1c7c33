//! Watches whether a serving child still lives, by what it does rather than by what it answers.
//!
//! The sign of life of a busy child is what its users get from it, comments aside; while that beats, nothing is asked. When it
//! stops, three signs are looked for: an answer to `/health` on a connection of its own, movement in `/slots`, and
//! processor time.
//!
//! | `/health` | sign of work | meaning |
//! | --- | --- | --- |
//! | answered | slots move, or those in use are of users that do not read, and nobody waits for an answer | well |
//! | answered | only processor time | a long batch; a child that computes and never moves is lost after [`COMPUTING_FACTOR`] times `stall` |
//! | answered | none | hung behind a healthy front; lost after `stall` |
//! | silent | processor time | all HTTP threads are taken, which is no death |
//! | silent | none | a strike: stopped, deadlocked, or out of memory in the kernel |
//! | nobody listens | | a strike |
//! | we could not ask | | nothing: that we have no descriptor left is not the engine's fault |
//!
//! `/slots` is asked only of a child that is in use and makes no progress, and not more often than every two seconds: each
//! answer delays the engine's own look for clients that have gone. `/health` waits for nothing in the engine.

use std::time::Duration;

use auxot_llama::{Control, Health, Slot};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::usage::Usage;

/// Strikes in a row that end a child; one alone is not death.
const STRIKES: u32 = 3;
/// Pause after a strike before the next look.
const STRIKE_PAUSE: Duration = Duration::from_secs(1);
/// Processor time that no process uses by answering our questions alone.
const WORK: Duration = Duration::from_millis(30);
/// Shortest time between two questions for the slots.
const SLOTS_PAUSE: Duration = Duration::from_secs(2);
/// A child that uses the processor is given so many times as long: a batch may take minutes.
pub(crate) const COMPUTING_FACTOR: u32 = 10;

/// How often a serving child is looked at, and how long it may be without a sign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LivenessLimits {
    /// From one look to the next while nobody uses it.
    pub(crate) idle: Duration,
    /// From one look to the next while somebody does, and gets nothing.
    pub(crate) busy: Duration,
    /// For one answer.
    pub(crate) timeout: Duration,
    /// Longest time without any sign of work behind a healthy front.
    pub(crate) stall: Duration,
}

impl LivenessLimits {
    /// The longest that the end of a child can go unnoticed while it is in use.
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

/// What one look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observation {
    /// It is well, and its work moves on or there is none.
    Progresses,
    /// It is there, or at work, but nothing has come of it.
    Computes,
    /// It answers, and that is all.
    Hangs,
    /// Nothing.
    Strike,
    /// We could not look.
    Unknown,
}

/// Waits until the child is lost. `cpu` is the processor time it has used, where the system tells.
pub(crate) async fn until_lost(
    control: &Control,
    usage: &Usage,
    cpu: impl Fn() -> Option<Duration>,
    limits: LivenessLimits,
) {
    let mut watcher = Watcher { control, usage, cpu, limits, used: None, slots: None, asked: None };
    let mut seen = usage.progress();
    let (mut well, mut moved) = (Instant::now(), Instant::now());
    let mut strikes = 0;
    loop {
        sleep(if strikes > 0 { STRIKE_PAUSE } else { limits.busy.min(limits.idle) }).await;
        let heard = usage.progress().wrapping_sub(std::mem::replace(&mut seen, usage.progress()));
        if heard > 0 {
            (well, moved, strikes) = (Instant::now(), Instant::now(), 0);
            continue;
        }
        if strikes == 0 && usage.claims() == 0 && well.elapsed() < limits.idle {
            continue;
        }
        let limit = match watcher.look().await {
            Observation::Progresses => {
                (well, moved, strikes) = (Instant::now(), Instant::now(), 0);
                continue;
            }
            Observation::Computes => {
                (well, strikes) = (Instant::now(), 0);
                limits.stall * COMPUTING_FACTOR
            }
            Observation::Hangs => {
                (well, strikes) = (Instant::now(), 0);
                limits.stall
            }
            Observation::Unknown => {
                moved = Instant::now();
                continue;
            }
            Observation::Strike => {
                strikes += 1;
                warn!(strikes, "the engine gives no sign of life");
                if strikes < STRIKES {
                    continue;
                }
                Duration::ZERO
            }
        };
        if moved.elapsed() >= limit && usage.progress() == seen {
            return;
        }
    }
}

struct Watcher<'a, C> {
    control: &'a Control,
    usage: &'a Usage,
    cpu: C,
    limits: LivenessLimits,
    /// The processor time at the last look.
    used: Option<Duration>,
    /// The slots as they were last, and when they were asked for.
    slots: Option<Vec<Slot>>,
    asked: Option<Instant>,
}

impl<C: Fn() -> Option<Duration>> Watcher<'_, C> {
    async fn look(&mut self) -> Observation {
        let before = (self.cpu)();
        let busy = self.usage.claims() > 0;
        let slots_due = busy && self.asked.is_none_or(|asked| asked.elapsed() >= SLOTS_PAUSE);
        let (control, timeout_each) = (self.control, self.limits.timeout);
        let slots = async {
            if slots_due { timeout(timeout_each, control.slots()).await.ok().and_then(Result::ok) } else { None }
        };
        let (health, slots) = tokio::join!(control.health(timeout_each), slots);
        let now = (self.cpu)();
        let worked = |since: Option<Duration>| now.zip(since).is_some_and(|(now, since)| now >= since + WORK);
        let works = worked(self.used.replace(now.unwrap_or_default())) || worked(before);
        if slots_due {
            self.asked = Some(Instant::now());
        }
        let moves = !busy || self.moves(slots);
        match health {
            Health::Unasked => Observation::Unknown,
            Health::NotListening => Observation::Strike,
            // Only what it did while it was silent speaks against a strike.
            Health::Silent if worked(before) => Observation::Computes,
            Health::Silent => Observation::Strike,
            Health::Ready | Health::Loading | Health::Odd(_) => match (moves, works) {
                (true, _) => Observation::Progresses,
                (false, true) => Observation::Computes,
                (false, false) => Observation::Hangs,
            },
        }
    }

    /// Whether the slots move, or need not because nobody takes what they make. One that sends nothing but comments to who waits for an
    /// answer has lost it, whatever its slots say.
    fn moves(&mut self, now: Option<Vec<Slot>>) -> bool {
        let Some(now) = now else { return false };
        let processing = now.iter().filter(|slot| slot.is_processing).count();
        let idle = processing <= self.usage.held_back() && self.usage.awaiting() == 0;
        let before = self.slots.replace(now);
        // The first answer is compared with nothing, so it proves nothing.
        idle || before.is_some_and(|before| Some(before) != self.slots)
    }
}

#[cfg(test)]
mod tests;
