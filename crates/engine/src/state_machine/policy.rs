//! The durations and limits that decide: how long each step of a stop lasts, and how often and when a failing engine is
//! started again.

use std::time::{Duration, Instant};

use auxot_backoff::Backoff;

use super::RunId;
use crate::config::Config;

/// Output alone keeps a load alive for this many times the longest silence: an engine may write to its log for ever.
pub(crate) const OUTPUT_ONLY_FACTOR: u32 = 5;

/// The durations and limits of one engine. Plain data: two equal policies decide equally.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// Longest silence of a loading process.
    pub(crate) load_stall: Duration,
    /// From TERM to the second TERM.
    pub(crate) term_grace: Duration,
    /// From the second TERM to KILL.
    pub(crate) again_grace: Duration,
    /// From KILL until the process counts as unkillable.
    pub(crate) kill_grace: Duration,
    /// Failures in a row that are followed by another start.
    pub(crate) budget: u32,
    /// An engine that was ready for this long has no earlier failures.
    pub(crate) reset_after: Duration,
    /// The delays after the first, which is zero.
    pub(crate) backoff: Backoff,
    /// Lets two engines that fail together start again at different times.
    pub(crate) seed: u64,
}

impl Policy {
    pub(crate) fn new(config: &Config, seed: u64) -> Self {
        Self {
            load_stall: config.load_stall,
            term_grace: config.stop_grace,
            again_grace: config.stop_again,
            kill_grace: config.stop_kill,
            budget: config.restart_budget,
            reset_after: config.restart_reset_after,
            backoff: Backoff::new(config.restart_delay, config.restart_max_delay),
            seed,
        }
    }

    /// The delay before attempt `attempt` (1 is the first restart): zero at first, because most crashes are single ones,
    /// then doubling and random. An engine that failed again needs time (its
    /// device must get its memory back), so a short delay must not use up the budget at once.
    pub(crate) fn delay(&self, attempt: u32, run: RunId) -> Duration {
        let earlier = attempt.checked_sub(2);
        earlier.map_or(Duration::ZERO, |earlier| self.backoff.upper_half(earlier, mix(self.seed ^ run.0)))
    }

    /// The delay where the engine itself did not fail.
    pub(crate) fn longest_delay(&self, run: RunId) -> Duration {
        self.delay(u32::MAX, run)
    }

    /// The failures that still count for an engine that became ready at `since`.
    pub(crate) fn failures_after(&self, failures: u32, since: Instant, now: Instant) -> u32 {
        if now.saturating_duration_since(since) >= self.reset_after { 0 } else { failures }
    }

    /// The longest time in which a loading process may do nothing but write output.
    pub(crate) fn output_only_limit(&self) -> Duration {
        self.load_stall.saturating_mul(OUTPUT_ONLY_FACTOR)
    }
}

/// Splitmix64: spreads adjacent run numbers over all of u64 without state.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
