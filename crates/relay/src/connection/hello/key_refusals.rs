//! When a refused key ends the worker: pure.
//!
//! A refusal can come from a passing fault of the router, a key file that it could not read for a moment, so one alone
//! says nothing: the same key is refused twice before it counts. A key that was good once may be so again, and a router
//! that took it is asked on.

use secrecy::{ExposeSecret, SecretString};

use crate::config::KeyRefused;

/// Refusals of one key, one after the other, that are an answer.
const CONFIRMED_AFTER: u32 = 2;

/// What the router has said of our keys.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The key that was refused last and how often in a row.
    refused: Option<(SecretString, u32)>,
    accepted_once: bool,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyDecision {
    /// It may have been a passing fault: ask again soon.
    RetrySoon,
    /// It is refused: ask again, seldom.
    RetrySlowly,
    /// It is refused, and never was taken: the worker ends.
    End,
}

impl Refusals {
    /// The router has taken a key.
    pub(crate) fn accepted(&mut self) {
        (self.refused, self.accepted_once) = (None, true);
    }

    /// The router has refused a key.
    pub(crate) fn refused(&mut self, key: &SecretString, then: KeyRefused) -> KeyDecision {
        let before = self.refused.take().filter(|(last, _)| last.expose_secret() == key.expose_secret());
        let count = before.map_or(1, |(_, count)| count.saturating_add(1));
        self.refused = Some((key.clone(), count));
        match then {
            _ if count < CONFIRMED_AFTER => KeyDecision::RetrySoon,
            KeyRefused::End if !self.accepted_once => KeyDecision::End,
            KeyRefused::End | KeyRefused::Retry => KeyDecision::RetrySlowly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_is_no_answer_and_two_of_the_same_key_are() {
        let (key, other) = (SecretString::from("a"), SecretString::from("b"));
        let mut refusals = Refusals::default();
        assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySoon);
        assert_eq!(refusals.refused(&other, KeyRefused::End), KeyDecision::RetrySoon, "another key, a first answer");
        assert_eq!(refusals.refused(&other, KeyRefused::Retry), KeyDecision::RetrySlowly, "as the setting says");
        assert_eq!(refusals.refused(&other, KeyRefused::End), KeyDecision::End);
    }

    #[test]
    fn a_key_that_was_good_once_never_ends_the_worker() {
        let key = SecretString::from("a");
        let mut refusals = Refusals::default();
        refusals.refused(&key, KeyRefused::End);
        refusals.accepted();
        assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySoon, "counted anew");
        for _ in 0..5 {
            assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySlowly);
        }
    }
}
