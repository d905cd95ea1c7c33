//! When many small changes are told as one: after they have settled, and not too often.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing more must happen: a set of files that is moved in comes as one change.
const SETTLE: Duration = Duration::from_millis(500);
/// The longest that a change waits for the others to settle, and the shortest time between two that are told.
const PAUSE: Duration = Duration::from_secs(2);

/// What has happened since somebody was told.
#[derive(Debug, Default)]
pub(crate) struct Calm {
    /// The first and the newest change that nobody was told of.
    untold: Option<(Instant, Instant)>,
    told: Option<Instant>,
}

impl Calm {
    /// Something has changed.
    pub(crate) fn stir(&mut self, now: Instant) {
        let first = self.untold.map_or(now, |(first, _)| first);
        self.untold = Some((first, now));
    }

    /// When somebody is to be told, if there is anything to tell.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, newest) = self.untold?;
        let settled = (newest + SETTLE).min(first + PAUSE);
        Some(self.told.map_or(settled, |told| settled.max(told + PAUSE)))
    }

    /// Somebody is told now.
    pub(crate) fn tell(&mut self, now: Instant) {
        *self = Self { untold: None, told: Some(now) };
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
            let (mut calm, mut now, mut waiting, mut told) = (Calm::default(), begin, Vec::new(), Vec::new());
            for pause in pauses.into_iter().map(Duration::from_millis).chain([PAUSE * 3]) {
                let next = now + pause;
                if let Some(due) = calm.due().filter(|due| *due <= next) {
                    prop_assert!(waiting.iter().all(|since| due - *since <= 2 * PAUSE), "told too late");
                    calm.tell(due);
                    told.push(due);
                    waiting.clear();
                }
                prop_assert!(calm.due().is_none_or(|due| due > next));
                if pause < PAUSE * 3 {
                    calm.stir(next);
                    waiting.push(next);
                }
                now = next;
            }
            prop_assert!(waiting.is_empty() && calm.due().is_none(), "never told");
            prop_assert!(told.windows(2).all(|two| two[1] - two[0] >= PAUSE), "told too often");
        }
    }

    #[test]
    fn one_change_is_told_when_it_has_settled() {
        let begin = Instant::now();
        let mut calm = Calm::default();
        assert_eq!(calm.due(), None);
        calm.stir(begin);
        assert_eq!(calm.due(), Some(begin + SETTLE));
        calm.stir(begin + SETTLE / 2);
        assert_eq!(calm.due(), Some(begin + SETTLE / 2 + SETTLE));
    }
}
