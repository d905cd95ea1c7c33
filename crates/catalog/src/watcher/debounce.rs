//! When many small changes are told as one: after they have settled, and not too often.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing more must happen: a set of files that is moved in comes as one change.
const SETTLE: Duration = Duration::from_millis(500);
/// The longest that a change waits for the others to settle, and the shortest time between two that are told.
const PAUSE: Duration = Duration::from_secs(2);

/// What has happened since somebody was told.
#[derive(Debug, Default)]
pub(crate) struct Debounce {
    /// The first and the newest change that nobody was told of.
    pending: Option<(Instant, Instant)>,
    seen_change: Option<Instant>,
}

impl Debounce {
    /// Something has changed.
    pub(crate) fn next_change(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// When somebody is to be told, if there is anything to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, newest) = self.pending?;
        let settled = (newest + SETTLE).min(first + PAUSE);
        Some(self.seen_change.map_or(settled, |seen_change| settled.max(seen_change + PAUSE)))
    }

    /// Somebody is told now.
    pub(crate) fn tell(&mut self, now: Instant) {
        *self = Self { pending: None, seen_change: Some(now) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_change_is_told_soon_and_none_of_them_often(pauses in prop::collection::vec(0u64..3_000, 1..200)) {
            let begin = Instant::now();
            let (mut debounce, mut now, mut waiting, mut seen_change) = (Debounce::default(), begin, Vec::new(), Vec::new());
            for pause in pauses.into_iter().map(Duration::from_millis).chain([PAUSE * 3]) {
                let next = now + pause;
                if let Some(due) = debounce.due().filter(|due| *due <= next) {
                    prop_assert!(waiting.iter().all(|since| due - *since <= 2 * PAUSE), "told too late");
                    debounce.tell(due);
                    seen_change.push(due);
                    waiting.clear();
                }
                prop_assert!(debounce.due().is_none_or(|due| due > next));
                if pause < PAUSE * 3 {
                    debounce.next_change(next);
                    waiting.push(next);
                }
                now = next;
            }
            prop_assert!(waiting.is_empty() && debounce.due().is_none(), "never told");
            prop_assert!(seen_change.windows(2).all(|two| two[1] - two[0] >= PAUSE), "told too often");
        }
    }

    #[test]
    fn one_change_is_told_when_it_has_settled() {
        let begin = Instant::now();
        let mut debounce = Debounce::default();
        assert_eq!(debounce.due(), None);
        debounce.next_change(begin);
        assert_eq!(debounce.due(), Some(begin + SETTLE));
        debounce.next_change(begin + SETTLE / 2);
        assert_eq!(debounce.due(), Some(begin + SETTLE / 2 + SETTLE));
    }
}
