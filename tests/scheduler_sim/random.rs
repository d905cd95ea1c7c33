//! Random numbers that are the same in every run.

use std::time::Duration;

/// A small generator (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    /// From 0 up to but not including 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A random time until an event, exponentially distributed with this mean.
    pub(crate) fn until(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.share()).ln())
    }

    /// A random index of a list, by weight.
    pub(crate) fn choose(&mut self, weights: &[f64]) -> usize {
        let mut left = self.share() * weights.iter().sum::<f64>();
        let found = weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        found.unwrap_or(weights.len() - 1)
    }
}
