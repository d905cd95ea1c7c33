//! How much each key uses: the requests that run, those of the last minute, and the tokens of the last minute.
//!
//! How many tokens a request takes is known when it has ended. A key may therefore begin a request as long as it has not used
//! all of its tokens, and what the request takes beyond them is missing to those that follow.
//!
//! What is counted belongs to the name of a key, so that the two keys of a rotation share their limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::keys::Key;

const MINUTE: Duration = Duration::from_secs(60);
/// Names that may be known before those without use are forgotten.
const FEW_NAMES: usize = 1024;
/// When a request in place of a running one may be tried again: how long that runs is not known.
const ONE_MORE: Duration = Duration::from_secs(1);

/// A limit of a key that a request would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// Too many in a minute.
    #[error("the key may make {per_minute} requests in a minute")]
    Rate {
        /// The limit.
        per_minute: u32,
        /// When the next one is allowed.
        retry_after: Duration,
    },
    /// Too many tokens in a minute.
    #[error("the key may use {per_minute} tokens in a minute, and has used them")]
    Tokens {
        /// The limit.
        per_minute: u32,
        /// When the next request is allowed.
        retry_after: Duration,
    },
    /// Too many at one time.
    #[error("{most} requests of the key run or wait already")]
    Parallel {
        /// The limit.
        most: u32,
    },
}

impl LimitReached {
    /// After which time another attempt makes sense.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Rate { retry_after, .. } | Self::Tokens { retry_after, .. } => *retry_after,
            Self::Parallel { .. } => ONE_MORE,
        }
    }
}

/// How much each key uses.
#[derive(Debug)]
pub struct KeyUsage {
    names: Mutex<Names>,
}

#[derive(Debug)]
struct Names {
    known: HashMap<Box<str>, Used>,
    /// With more names than this, those without use are forgotten.
    sweep_at: usize,
}

/// The use of one name.
#[derive(Debug, Clone, Copy)]
struct Used {
    parallel: u32,
    /// When all requests so far are paid for, at the rate of the limit.
    paid: Instant,
    /// The same of all tokens so far.
    tokens_paid: Instant,
}

/// A request that is counted until it is dropped.
#[derive(Debug)]
pub struct CountedRequest(Option<Counted>);

#[derive(Debug)]
struct Counted {
    usage: Arc<KeyUsage>,
    name: Box<str>,
    tokens_per_minute: Option<u32>,
}

impl KeyUsage {
    /// Without any use.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { names: Mutex::new(Names { known: HashMap::new(), sweep_at: FEW_NAMES }) })
    }

    /// Counts a request of a key.
    ///
    /// A key may make all requests of a minute at once, and use all tokens; then as many as its rate allows.
    ///
    /// # Errors
    /// It would exceed a limit of the key; then it does not count.
    pub fn count(self: &Arc<Self>, key: &Key, now: Instant) -> Result<CountedRequest, LimitReached> {
        let terms = key.terms();
        let (per_minute, tokens_per_minute, most) =
            (terms.requests_per_minute, terms.tokens_per_minute, terms.max_parallel);
        if per_minute.is_none() && tokens_per_minute.is_none() && most.is_none() {
            return Ok(CountedRequest(None));
        }
        let mut names = self.lock();
        names.forget_unused(now);
        let used = names.known.entry(key.name.clone()).or_insert(Used { parallel: 0, paid: now, tokens_paid: now });
        if let Some(most) = most.filter(|most| used.parallel >= *most) {
            return Err(LimitReached::Parallel { most });
        }
        if let Some(per_minute) = tokens_per_minute
            && let Some(over) = used.tokens_paid.checked_duration_since(now + MINUTE)
        {
            // Until there is a whole token.
            return Err(LimitReached::Tokens { per_minute, retry_after: over + MINUTE / per_minute.max(1) });
        }
        if let Some(per_minute) = per_minute {
            let paid = used.paid.max(now) + MINUTE / per_minute.max(1);
            if let Some(retry_after) = paid.checked_duration_since(now + MINUTE).filter(|wait| !wait.is_zero()) {
                return Err(LimitReached::Rate { per_minute, retry_after });
            }
            used.paid = paid;
        }
        used.parallel += 1;
        Ok(CountedRequest(Some(Counted { usage: Arc::clone(self), name: key.name.clone(), tokens_per_minute })))
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CountedRequest {
    /// Counts tokens of the request and of its answer.
    pub fn spend(&self, tokens: u64, now: Instant) {
        let Some(Counted { usage, name, tokens_per_minute: Some(per_minute) }) = &self.0 else { return };
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        if let Some(used) = usage.lock().known.get_mut(name) {
            used.tokens_paid = used.tokens_paid.max(now) + MINUTE * tokens / (*per_minute).max(1);
        }
    }
}

impl Names {
    fn forget_unused(&mut self, now: Instant) {
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, used| used.parallel > 0 || used.paid.max(used.tokens_paid) > now);
            self.sweep_at = FEW_NAMES.max(self.known.len() * 2);
        }
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        let Some(Counted { usage, name, .. }) = self.0.take() else { return };
        if let Some(used) = usage.lock().known.get_mut(&name) {
            used.parallel = used.parallel.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyFile, KeyTerms, NewKeys};

    fn key(name: &str, terms: KeyTerms) -> Key {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::of_router(folder.path().join("keys"));
        file.create(name, &NewKeys::Api(terms), None).unwrap();
        file.list().unwrap().remove(0)
    }

    #[test]
    fn a_minute_s_requests_may_come_at_once_and_then_one_after_the_other() {
        let (usage, start) = (KeyUsage::new(), Instant::now());
        let terms = || KeyTerms { requests_per_minute: Some(60), ..KeyTerms::default() };
        let (key, same_name) = (key("a", terms()), key("a", terms()));
        for _ in 0..60 {
            usage.count(&key, start).unwrap();
        }
        let limit = usage.count(&same_name, start).unwrap_err();
        assert_eq!(limit, LimitReached::Rate { per_minute: 60, retry_after: Duration::from_secs(1) });
        assert_eq!(limit.retry_after(), Duration::from_secs(1));
        usage.count(&key, start + Duration::from_secs(1)).unwrap();
        assert!(usage.count(&key, start + Duration::from_secs(1)).is_err());
        for _ in 0..60 {
            usage.count(&key, start + Duration::from_secs(3600)).unwrap();
        }
        assert!(usage.count(&key, start + Duration::from_secs(3600)).is_err(), "what is not used is not saved up");
    }

    #[test]
    fn a_request_counts_until_it_is_dropped_and_a_refused_one_does_not() {
        let (usage, now) = (KeyUsage::new(), Instant::now());
        let key = key("a", KeyTerms { max_parallel: Some(2), ..KeyTerms::default() });
        let (one, _two) = (usage.count(&key, now).unwrap(), usage.count(&key, now).unwrap());
        for _ in 0..3 {
            assert_eq!(usage.count(&key, now).unwrap_err(), LimitReached::Parallel { most: 2 });
        }
        drop(one);
        assert!(usage.count(&key, now).is_ok());
    }

    #[test]
    fn a_request_begins_while_there_are_tokens_and_what_it_takes_beyond_them_is_missing_later() {
        let (usage, start) = (KeyUsage::new(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let key = key("a", KeyTerms { tokens_per_minute: Some(60), ..KeyTerms::default() });
        let (one, two) = (usage.count(&key, start).unwrap(), usage.count(&key, start).unwrap());
        one.spend(59, start);
        let three = usage.count(&key, start).unwrap();
        two.spend(1, start);
        let limit = usage.count(&key, start).unwrap_err();
        assert_eq!(limit, LimitReached::Tokens { per_minute: 60, retry_after: Duration::from_secs(1) });
        assert_eq!(limit.to_string(), "the key may use 60 tokens in a minute, and has used them");
        assert!(usage.count(&key, after(1)).is_ok(), "one of them has come back");
        three.spend(120, after(1));
        assert_eq!(usage.count(&key, after(1)).unwrap_err().retry_after(), Duration::from_secs(120));
        assert!(usage.count(&key, after(120)).is_err() && usage.count(&key, after(121)).is_ok());
        one.spend(u64::MAX, after(121));
        assert!(usage.count(&key, after(3600)).is_err(), "a false number ends no program");
    }

    #[test]
    fn names_without_use_are_forgotten() {
        let (usage, now) = (KeyUsage::new(), Instant::now());
        let limited = key("a", KeyTerms { max_parallel: Some(1), ..KeyTerms::default() });
        let _runs = usage.count(&limited, now).unwrap();
        for number in 0..3 * FEW_NAMES {
            let mut other = limited.clone();
            other.name = number.to_string().into();
            usage.count(&other, now).unwrap();
        }
        assert!(usage.names.lock().unwrap().known.len() <= FEW_NAMES + 1);
        assert!(usage.count(&limited, now).is_err(), "it is in use");
        usage.count(&key("free", KeyTerms::default()), now).unwrap();
        assert!(!usage.names.lock().unwrap().known.contains_key("free"), "there is nothing to count");
    }
}
