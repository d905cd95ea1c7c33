//! How long an engine may be silent: only while it is read, which it is not while the router takes nothing.

use std::time::{Duration, Instant};

/// The silence of one engine inside one answer.
#[derive(Debug)]
pub(super) struct IdleTimer {
    limit: Duration,
    /// Since when it is read and nothing has come; nothing while it is not read.
    since: Option<Instant>,
}

impl IdleTimer {
    /// Patience with an engine that is read from now on.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, since: Some(now) }
    }

    /// Whether it is read at this moment. One that is read again has the whole time anew: it could not go on either.
    pub(super) fn set_read(&mut self, is_read: bool, now: Instant) {
        self.since = is_read.then(|| self.since.unwrap_or(now));
    }

    /// Something has come.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// When its silence will have been too long.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_that_was_listened_to_counts_and_it_counts_anew_after_a_router_that_did_not_read() {
        let (limit, s, begin) = (Duration::from_secs(10), Duration::from_secs(1), Instant::now());
        let mut timer = IdleTimer::new(limit, begin);
        timer.set_read(true, begin + 4 * s);
        assert_eq!(timer.ends(), Some(begin + limit));
        timer.set_read(false, begin + 5 * s);
        assert_eq!(timer.ends(), None, "nobody listens");
        timer.set_read(true, begin + 500 * s);
        assert_eq!(timer.ends(), Some(begin + 510 * s));
        timer.restart(begin + 501 * s);
        timer.set_read(true, begin + 502 * s);
        assert_eq!(timer.ends(), Some(begin + 511 * s));
    }
}
