//! Random numbers that a seed repeats.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A source of random numbers (splitmix64); nothing here is a secret.
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The numbers of this seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    fn throw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A uniform number of the range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.throw() % (range.end() - range.start() + 1)
    }

    /// A time up to this long.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.within(0..=longest.as_micros().try_into().unwrap_or(u64::MAX)))
    }

    /// True in this percentage of the calls.
    pub(crate) fn percent(&mut self, times: u64) -> bool {
        self.within(1..=100) <= times
    }

    /// One of them.
    pub(crate) fn one_of<T: Copy>(&mut self, things: &[T]) -> T {
        let last = things.len() as u64 - 1;
        things[self.within(0..=last) as usize]
    }
}
