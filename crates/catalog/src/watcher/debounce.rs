//! Debouncing: many small changes are reported as one, once they have settled, and not too often.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing more must change: a set of files that is moved in counts as one change.
const SETTLE: Duration = Duration::from_millis(500);
/// The longest that a change waits for others to settle, and the shortest time between two reports.
const PAUSE: Duration = Duration::from_secs(2);

/// What has changed since the last report.
#[derive(Debug, Default)]
pub(crate) struct Debounce {
    /// The first and the newest change that is not reported yet.
    pending: Option<(Instant, Instant)>,
    fired: Option<Instant>,
}

impl Debounce {
    /// Something has changed.
    pub(crate) fn changed(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When to report, if there is anything to report.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, newest) = self.pending?;
        let settled = (newest + SETTLE).min(first + PAUSE);
        Some(self.fired.map_or(settled, |fired| settled.max(fired + PAUSE)))
    }

    /// Now is a report.
    pub(crate) fn fire(&mut self, now: Instant) {
        *self = Self { pending: None, fired: Some(now) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_change_is_reported_soon_and_reports_are_rare(pauses in prop::collection::vec(0u64..3_000, 1..200)) {
            let begin = Instant::now();
            let (mut debounce, mut now, mut waiting, mut fired) = (Debounce::default(), begin, Vec::new(), Vec::new());
            for pause in pauses.into_iter().map(Duration::from_millis).chain([PAUSE * 3]) {
                let next = now + pause;
                if let Some(due) = debounce.due().filter(|due| *due <= next) {
                    prop_assert!(waiting.iter().all(|since| due - *since <= 2 * PAUSE), "reported too late");
                    debounce.fire(due);
                    fired.push(due);
                    waiting.clear();
                }
                prop_assert!(debounce.due().is_none_or(|due| due > next));
                if pause < PAUSE * 3 {
                    debounce.changed(next);
                    waiting.push(next);
                }
                now = next;
            }
            prop_assert!(waiting.is_empty() && debounce.due().is_none(), "never reported");
            prop_assert!(fired.windows(2).all(|two| two[1] - two[0] >= PAUSE), "reported too often");
        }
    }

    #[test]
    fn one_change_is_reported_when_it_has_settled() {
        let begin = Instant::now();
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.changed(begin);
        assert_eq!(debounce.due(), Some(begin + SETTLE));
        debounce.changed(begin + SETTLE / 2);
        assert_eq!(debounce.due(), Some(begin + SETTLE / 2 + SETTLE));
    }
}
