//! The timer for an engine's silence. It runs only while the engine is read, which stops while the router takes nothing.

use std::time::{Duration, Instant};

/// The silence of one engine in one answer.
#[derive(Debug)]
pub(super) struct IdleTimer {
    limit: Duration,
    /// Since when the engine is read and silent; `None` while it is not read.
    since: Option<Instant>,
}

impl IdleTimer {
    /// A timer for an engine that is read from now on.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: Some(now) }
    }

    /// Sets whether the engine is read now. The time starts again when reading does: the engine was blocked too.
    pub(super) fn set_read(&mut self, is_read: bool, now: Instant) {
        self.since = is_read.then(|| self.since.unwrap_or(now));
    }

    /// Bytes were received.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// When the silence reaches the limit.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_only_while_the_engine_is_read_and_starts_again_with_reading() {
        let (limit, s, begin) = (Duration::from_secs(10), Duration::from_secs(1), Instant::now());
        let mut timer = IdleTimer::new(limit, begin);
        timer.set_read(true, begin + 4 * s);
        assert_eq!(timer.ends(), Some(begin + limit));
        timer.set_read(false, begin + 5 * s);
        assert_eq!(timer.ends(), None, "the engine is not read");
        timer.set_read(true, begin + 500 * s);
        assert_eq!(timer.ends(), Some(begin + 510 * s));
        timer.restart(begin + 501 * s);
        timer.set_read(true, begin + 502 * s);
        assert_eq!(timer.ends(), Some(begin + 511 * s));
    }
}
