//! The pause before an attempt that follows failed ones.
//!
//! # Theory of operation
//!
//! A [`Backoff`] is a pair of durations: the first pause doubles with each failure in a row, up to the longest one. It is pure:
//! the caller counts its failures, decides what ends a row of them, and passes the random number where pauses are to differ
//! between callers.
//!
//! Callers that must not act at the same time take a random pause: [`Backoff::below`] spreads it over the whole pause, for
//! workers of one restarted router; [`Backoff::upper_half`] keeps at least half of it, where time itself helps.
//!
//! ```
//! use std::time::Duration;
//!
//! use auxot_backoff::Backoff;
//!
//! let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));
//! let pauses: Vec<u64> = (0..7).map(|failures| backoff.pause(failures).as_secs()).collect();
//! assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
//! assert!(backoff.below(6, u64::MAX / 2) < Duration::from_secs(30));
//! ```

use std::time::Duration;

/// A pause that doubles up to a longest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// A pause that grows from `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The pause after this many earlier ones.
    #[must_use]
    pub fn pause(&self, earlier: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(earlier)).min(self.longest)
    }

    /// A random pause below [`Backoff::pause`]; `random` is uniform over all of `u64`.
    #[must_use]
    pub fn below(&self, earlier: u32, random: u64) -> Duration {
        share(self.pause(earlier), random)
    }

    /// A random pause between half of [`Backoff::pause`] and all of it; `random` is uniform over all of `u64`.
    #[must_use]
    pub fn upper_half(&self, earlier: u32, random: u64) -> Duration {
        let pause = self.pause(earlier);
        pause / 2 + share(pause - pause / 2, random)
    }
}

/// The part `random / 2^64` of a duration.
fn share(whole: Duration, random: u64) -> Duration {
    // No pause has as many nanoseconds as fit into u64: 584 years.
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(random) * u128::from(nanos)) >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn no_number_of_failures_is_too_large() {
        assert_eq!(Backoff::new(Duration::from_nanos(1), MAX).pause(31), Duration::from_nanos(1 << 31));
        assert_eq!(Backoff::new(Duration::from_secs(1), MAX).pause(u32::MAX), MAX);
        assert_eq!(Backoff::new(Duration::MAX, Duration::MAX).pause(u32::MAX), Duration::MAX);
        assert_eq!(Backoff::new(Duration::ZERO, MAX).pause(u32::MAX), Duration::ZERO);
    }

    proptest::proptest! {
        #[test]
        fn random_pauses_stay_within_their_part(first: u32, longest: u32, earlier: u32, random: u64) {
            let backoff = Backoff::new(Duration::from_nanos(first.into()), Duration::from_nanos(longest.into()));
            let pause = backoff.pause(earlier);
            proptest::prop_assert!(backoff.below(earlier, random) <= pause);
            proptest::prop_assert!((pause / 2..=pause).contains(&backoff.upper_half(earlier, random)));
        }

        #[test]
        fn random_pauses_use_all_of_their_part(random: u64) {
            let backoff = Backoff::new(MAX, MAX);
            let (low, high) = (backoff.upper_half(0, 0), backoff.upper_half(0, u64::MAX));
            proptest::prop_assert_eq!((low, high.as_secs_f64().round()), (MAX / 2, 60.0));
            let below = backoff.below(0, random);
            proptest::prop_assert!(backoff.upper_half(0, random).abs_diff(MAX / 2 + below / 2).as_nanos() <= 1);
        }
    }
}
