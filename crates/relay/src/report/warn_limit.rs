//! One warning a minute for a repeated fault, with the number of those that were left out.
//!
//! A router can repeat a fault with every message, and the same line again and again fills a disk. So each kind of fault has
//! one line a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The shortest time between two lines about the same kind of fault.
const PERIOD: Duration = Duration::from_secs(60);

/// When each kind of fault was logged last. Kinds are constants of the code, so their number is bounded.
#[derive(Debug, Default)]
pub(crate) struct WarnLimit(Mutex<BTreeMap<&'static str, Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    left_out: u64,
}

impl WarnLimit {
    /// If a line about this kind is due: how many were left out since the last one.
    pub(crate) fn due(&self, kind: &'static str) -> Option<u64> {
        self.due_at(kind, Instant::now())
    }

    fn due_at(&self, kind: &'static str, now: Instant) -> Option<u64> {
        // Each change inserts or replaces a whole entry.
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(logged) = kinds.get_mut(kind) else {
            kinds.insert(kind, Logged { at: now, left_out: 0 });
            return Some(0);
        };
        if now.duration_since(logged.at) < PERIOD {
            logged.left_out += 1;
            return None;
        }
        logged.at = now;
        Some(std::mem::take(&mut logged.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_minute_for_each_kind_and_the_rest_are_counted() {
        let (limit, begun) = (WarnLimit::default(), Instant::now());
        assert_eq!(limit.due_at("a", begun), Some(0));
        for second in 1..60 {
            assert_eq!(limit.due_at("a", begun + Duration::from_secs(second)), None);
        }
        assert_eq!(limit.due_at("b", begun), Some(0), "another kind");
        assert_eq!(limit.due_at("a", begun + PERIOD), Some(59));
        assert_eq!(limit.due_at("a", begun + PERIOD * 2), Some(0));
    }
}
