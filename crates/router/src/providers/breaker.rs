//! A provider's circuit breaker: after failures it gets no requests for a while, then one as a trial.
//!
//! ```text
//!              failures in a row, or Retry-After              time is over
//!   ──▶ Closed ─────────────────────────────────▶ Open(until) ───────────▶ HalfOpen
//!          ▲                                          ▲                       │
//!          │                                          └──────── failure ──────┤
//!          └──────────────────────────── success ─────────────────────────────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

use crate::hub::BreakerState;

/// Failures in a row that open it.
const FAILURES: u32 = 3;
/// How long it is open at first; each failed trial doubles that.
const FIRST_PAUSE: Duration = Duration::from_secs(15);
/// The longest that it doubles to.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The state of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// The provider gets requests; so many have failed in a row.
    Closed { failures: u32 },
    /// It gets none until then.
    Open { until: Instant, pause: Duration },
    /// It gets one at a time.
    HalfOpen { pause: Duration },
}

/// How a run ended, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunOutcome {
    Success,
    /// The provider is at fault; it may say when to come back.
    Failure {
        retry_after: Option<Duration>,
    },
    /// Nothing follows for the provider: the client left, or its request is at fault.
    Neutral,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// The state after a run.
    pub(crate) fn after(self, outcome: RunOutcome, now: Instant) -> Self {
        let open = |pause: Duration| Self::Open { until: now + pause, pause: pause.min(LONGEST_PAUSE) };
        match (self, outcome) {
            (_, RunOutcome::Failure { retry_after: Some(pause) }) => match self {
                // A run that began before the breaker opened does not shorten its pause.
                Self::Open { until, pause: known } if until > now + pause => Self::Open { until, pause: known },
                _ => Self::Open { until: now + pause, pause: FIRST_PAUSE },
            },
            (Self::Open { .. }, _) | (_, RunOutcome::Neutral) => self,
            (_, RunOutcome::Success) => Self::default(),
            (Self::HalfOpen { pause }, RunOutcome::Failure { .. }) => open((pause * 2).min(LONGEST_PAUSE)),
            (Self::Closed { failures }, RunOutcome::Failure { .. }) if failures + 1 >= FAILURES => open(FIRST_PAUSE),
            (Self::Closed { failures }, RunOutcome::Failure { .. }) => Self::Closed { failures: failures + 1 },
        }
    }

    /// The state at this time, with no run in between.
    pub(crate) fn at(self, now: Instant) -> Self {
        match self {
            Self::Open { until, pause } if until <= now => Self::HalfOpen { pause },
            other => other,
        }
    }

    /// When it changes by itself.
    pub(crate) fn until(self) -> Option<Instant> {
        if let Self::Open { until, .. } = self { Some(until) } else { None }
    }

    /// Requests that a provider may have at once, of those that it may have by its settings.
    pub(crate) fn limit(self, most: u32) -> u32 {
        match self {
            Self::Closed { .. } => most,
            Self::Open { .. } => 0,
            Self::HalfOpen { .. } => 1,
        }
    }

    /// Its state for the operator.
    pub(crate) fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Its name for logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: RunOutcome = RunOutcome::Failure { retry_after: None };

    fn opened(now: Instant) -> Breaker {
        (0..FAILURES).fold(Breaker::default(), |breaker, _| breaker.after(FAILED, now))
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for outcome in [FAILED, FAILED, RunOutcome::Success, FAILED, RunOutcome::Neutral, FAILED] {
            breaker = breaker.after(outcome, now);
            assert_eq!(breaker.limit(7), 7);
        }
        breaker = breaker.after(FAILED, now);
        assert_eq!((breaker.limit(7), breaker.until()), (0, Some(now + FIRST_PAUSE)));
        assert_eq!(breaker.after(RunOutcome::Success, now), breaker, "of a run that began before");
    }

    #[test]
    fn after_the_pause_one_trial_closes_it_or_doubles_the_pause() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.at(now).limit(7), 0);
        let mut later = now + FIRST_PAUSE;
        let mut trial = breaker.at(later);
        assert_eq!((trial.limit(7), trial.after(RunOutcome::Neutral, later)), (1, trial));
        assert_eq!(trial.after(RunOutcome::Success, later), Breaker::default());
        let mut pause = FIRST_PAUSE;
        for _ in 0..10 {
            let again = trial.after(FAILED, later);
            pause = (pause * 2).min(LONGEST_PAUSE);
            assert_eq!(again.until(), Some(later + pause));
            later += pause;
            trial = again.at(later);
        }
        assert_eq!(pause, LONGEST_PAUSE);
    }

    #[test]
    fn retry_after_opens_it_at_once_and_for_that_long() {
        let now = Instant::now();
        let busy = |seconds| RunOutcome::Failure { retry_after: Some(Duration::from_secs(seconds)) };
        let breaker = Breaker::default().after(busy(3), now);
        assert_eq!(breaker.until(), Some(now + Duration::from_secs(3)));
        assert_eq!(breaker.after(busy(1), now), breaker, "a shorter pause");
        assert_eq!(breaker.after(busy(9), now).until(), Some(now + Duration::from_secs(9)));
    }
}
