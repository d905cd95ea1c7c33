//! Decides when a refused key ends the worker; pure.
//!
//! A refusal can come from a temporary fault of the router, such as a key file that it cannot read for a moment. So the same
//! key must be refused twice. A key that was accepted once may be accepted again: the worker then does not end.

use secrecy::{ExposeSecret, SecretString};

use crate::config::KeyRefused;

/// Successive refusals of one key that count as a refusal.
const CONFIRMED_AFTER: u32 = 2;

/// The router's decisions about the keys.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The key that was refused last, and how often in a row.
    refused: Option<(SecretString, u32)>,
    accepted_once: bool,
}

/// What the worker does after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyDecision {
    /// The fault may be temporary: try again soon.
    RetrySoon,
    /// The key is refused: try again, seldom.
    RetrySlowly,
    /// The key is refused and was never accepted: the worker ends.
    End,
}

impl Refusals {
    /// The router has accepted a key.
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
    fn two_refusals_of_the_same_key_count_and_one_does_not() {
        let (key, other) = (SecretString::from("a"), SecretString::from("b"));
        let mut refusals = Refusals::default();
        assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySoon);
        assert_eq!(refusals.refused(&other, KeyRefused::End), KeyDecision::RetrySoon, "another key, its first refusal");
        assert_eq!(refusals.refused(&other, KeyRefused::Retry), KeyDecision::RetrySlowly, "as the setting says");
        assert_eq!(refusals.refused(&other, KeyRefused::End), KeyDecision::End);
    }

    #[test]
    fn a_key_that_was_accepted_once_never_ends_the_worker() {
        let key = SecretString::from("a");
        let mut refusals = Refusals::default();
        refusals.refused(&key, KeyRefused::End);
        refusals.accepted();
        assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySoon, "the count starts again");
        for _ in 0..5 {
            assert_eq!(refusals.refused(&key, KeyRefused::End), KeyDecision::RetrySlowly);
        }
    }
}
