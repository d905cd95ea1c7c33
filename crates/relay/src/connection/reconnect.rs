//! The pause before the next connection attempt.

use std::time::Duration;

use auxot_backoff::Backoff;

/// A connection that served for this time resets the backoff.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The pauses between attempts; pure, because the caller passes the random number.
#[derive(Debug, Clone)]
pub(crate) struct ReconnectPauses {
    backoff: Backoff,
    attempt: u32,
}

impl ReconnectPauses {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { backoff: Backoff::new(first, longest), attempt: 0 }
    }

    /// The pause before the next attempt. It is random over the whole pause, so that the workers of a restarted router
    /// do not connect in the same millisecond.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let pause = self.backoff.below(self.attempt, random);
        self.attempt = self.attempt.saturating_add(1);
        pause
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// A connection has ended that had served for `served`.
    pub(crate) fn connection_ended(&mut self, served: Duration) {
        if served >= STABLE_AFTER {
            self.attempt = 0;
        }
    }
}

/// A random number; a fault of the operating system's generator does not stop the reconnecting.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_stable_connection_resets_them() {
        let mut pauses = ReconnectPauses::new(Duration::from_secs(2), Duration::from_secs(60));
        let seconds: Vec<u64> = (0..7).map(|_| pauses.next(u64::MAX).as_secs_f64().round() as u64).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 32, 60, 60]);
        pauses.connection_ended(Duration::from_secs(1));
        assert_eq!(pauses.next(u64::MAX).as_secs_f64().round() as u64, 60);
        pauses.connection_ended(STABLE_AFTER);
        assert_eq!(pauses.next(u64::MAX).as_secs_f64().round() as u64, 2);
    }
}
