//! Ids for calls without one.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The prefix and sixteen random hexadecimal digits.
pub(crate) fn fresh(prefix: &str) -> String {
    // Each `RandomState` of a thread has different keys; the first ones are random.
    format!("{prefix}{:016x}", RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat() {
        let ids: HashSet<String> = (0..1000).map(|_| super::fresh("call_")).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 21 && id.starts_with("call_")));
    }
}
