//! The pause before the next connection attempt: full jitter, doubling, with a cap.

use std::time::Duration;

/// A connection that served for this time resets the backoff.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(30);

/// The pauses between attempts; pure, because the caller passes the random number.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base), attempt: 0 }
    }

    /// The pause before the next attempt, uniform between zero and the current ceiling.
    ///
    /// `random` is uniform over all of `u64`. Full jitter keeps all workers of a restarted router from connecting in the
    /// same millisecond.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << self.attempt.min(16)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(((u128::from(random) * u128::from(nanos)) >> 64) as u64)
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
    fn the_ceiling_doubles_up_to_the_cap_and_a_stable_connection_resets_it() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
        let ceilings: Vec<u64> = (0..7).map(|_| backoff.next(u64::MAX).as_secs_f64().round() as u64).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 60, 60]);
        backoff.connection_ended(Duration::from_secs(1));
        assert_eq!(backoff.next(u64::MAX).as_secs_f64().round() as u64, 60);
        backoff.connection_ended(STABLE_AFTER);
        assert_eq!(backoff.next(u64::MAX).as_secs_f64().round() as u64, 2);
    }

    proptest::proptest! {
        #[test]
        fn no_pause_exceeds_the_cap(randoms in proptest::collection::vec(proptest::num::u64::ANY, 1..80)) {
            let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(60));
            for random in randoms {
                proptest::prop_assert!(backoff.next(random) <= Duration::from_secs(60));
            }
        }
    }
}
