//! Which missing model is downloaded next. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use auxot_backoff::Backoff;
use auxot_fleet::{Download, DownloadState};
use tokio::time::Instant;

/// The longest pause is so many times the first one.
const LONGEST_PAUSES: u32 = 16;

/// The failures of the models that are still missing.
#[derive(Debug, Default)]
pub(super) struct Queue {
    failures: BTreeMap<String, Failure>,
}

/// The failed attempts of one model.
#[derive(Debug)]
struct Failure {
    attempts: u32,
    reason: String,
    pause: Duration,
    due: Instant,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// An attempt for this model.
    Attempt(String),
    /// An attempt at this time.
    Wait(Instant),
    /// Nothing is missing.
    Nothing,
}

impl Queue {
    /// The first missing model whose pause is over. The failures of models that are not missing any more are forgotten.
    pub(super) fn next(&mut self, missing: &[String], now: Instant) -> Next {
        self.failures.retain(|name, _| missing.contains(name));
        let due = |name: &String| self.failures.get(name).map_or(now, |failure| failure.due);
        match missing.iter().min_by_key(|name| due(name).max(now)) {
            None => Next::Nothing,
            Some(first) if due(first) <= now => Next::Attempt(first.clone()),
            Some(first) => Next::Wait(due(first)),
        }
    }

    /// Notes a failed attempt; the pause until the next one.
    pub(super) fn failed(&mut self, model: &str, reason: &str, first_pause: Duration, now: Instant) -> Duration {
        let attempts = self.failures.get(model).map_or(0, |failure| failure.attempts);
        let backoff = Backoff::new(first_pause, first_pause.saturating_mul(LONGEST_PAUSES));
        let pause = backoff.pause(attempts);
        let due = now.checked_add(pause).unwrap_or_else(|| now + Duration::from_secs(24 * 3600));
        let failure = Failure { attempts: attempts + 1, reason: reason.to_owned(), pause, due };
        self.failures.insert(model.to_owned(), failure);
        pause
    }

    /// All downloads for reports, the running one first.
    pub(super) fn downloads(&self, missing: &[String], running: Option<(&str, DownloadState)>) -> Vec<Download> {
        let of = |name: &String| {
            let failed =
                |failure: &Failure| DownloadState::Failed { reason: failure.reason.clone(), pause: failure.pause };
            let state = self.failures.get(name).map_or(DownloadState::Queued, failed);
            Download { model: name.clone(), state }
        };
        let runs = running.as_ref().map(|(name, _)| (*name).to_owned());
        let others = missing.iter().filter(|name| Some(*name) != runs.as_ref()).map(of);
        running.into_iter().map(|(name, state)| Download { model: name.to_owned(), state }).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_failed_model_waits_longer_each_time_and_holds_up_no_other() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        assert_eq!(queue.next(&[], now), Next::Nothing);
        let both = names(&["a", "b"]);
        assert_eq!(queue.next(&both, now), Next::Attempt("a".into()));
        let pauses: Vec<u64> = (0..7).map(|_| queue.failed("a", "no", FIRST, now).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 160, 160]);
        assert_eq!(queue.next(&both, now), Next::Attempt("b".into()));
        queue.failed("b", "no", FIRST, now);
        assert_eq!(queue.next(&both, now), Next::Wait(now + FIRST));
        assert_eq!(queue.next(&both, now + FIRST), Next::Attempt("b".into()));
        assert_eq!(queue.next(&both, now + FIRST * 16), Next::Attempt("a".into()), "the first of the list");
    }

    #[test]
    fn a_model_that_was_not_missing_meanwhile_begins_anew() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed("a", "no", FIRST, now);
        assert_eq!(queue.next(&[], now), Next::Nothing);
        assert_eq!(queue.next(&names(&["a"]), now), Next::Attempt("a".into()));
        queue.failed("a", "no", Duration::MAX, now);
        assert!(matches!(queue.next(&names(&["a"]), now), Next::Wait(_)), "an endless pause is no fault");
    }

    #[test]
    fn the_report_has_each_missing_model_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failed("b", "no disk", FIRST, now);
        let shown = queue.downloads(&names(&["a", "b", "c"]), Some(("c", DownloadState::Resolving)));
        let shown: Vec<(&str, &str)> =
            shown.iter().map(|download| (download.model.as_str(), download.state.name())).collect();
        assert_eq!(shown, [("c", "resolving"), ("a", "queued"), ("b", "failed")]);
    }
}
