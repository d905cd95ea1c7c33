//! Checks keys: slowly once, and from memory after that.
//!
//! A check costs tens of milliseconds of a core and 19 MiB, on purpose; so it runs off the runtime's
//! thread, few at a time, with a bound on how many may wait. Verdicts, good and bad, are remembered under
//! the key's SHA-256 for a while: a reconnecting worker or a request costs a microsecond.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::keys::{self, Keys};

/// Which kind of key opens what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Worker,
    Client,
}

/// Why a key is not checked now; it says nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// So many checks wait already.
    Busy(usize),
    /// The key file cannot be read.
    Unreadable,
}

/// Checks at once.
const AT_ONCE: usize = 2;
/// Checks waiting or under way.
const AT_MOST: usize = 64;
/// Verdicts remembered; a flood of wrong keys must not grow the memory.
const REMEMBERED: usize = 4096;
/// Longer than any key; hashing a megabyte for a stranger is not our job.
const LONGEST: usize = 512;

type Fingerprint = [u8; 32];

#[derive(Debug)]
pub(crate) struct Verifier {
    keys: Arc<Keys>,
    ttl: Duration,
    verdicts: Mutex<HashMap<Fingerprint, (bool, Instant)>>,
    queue: Semaphore,
    hashing: Semaphore,
}

impl Verifier {
    pub(crate) fn new(keys: Keys, ttl: Duration) -> Self {
        Self {
            keys: Arc::new(keys),
            ttl,
            verdicts: Mutex::default(),
            queue: Semaphore::new(AT_MOST),
            hashing: Semaphore::new(AT_ONCE),
        }
    }

    /// Whether `key` opens `door`.
    pub(crate) async fn check(&self, door: Door, key: &str) -> Result<bool, NotNow> {
        if key.is_empty() || key.len() > LONGEST {
            return Ok(false);
        }
        let fingerprint = fingerprint(door, key);
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let Ok(_place) = self.queue.try_acquire() else { return Err(NotNow::Busy(AT_MOST)) };
        // The semaphore is never closed; were it, refusing is the safe answer.
        let Ok(_turn) = self.hashing.acquire().await else { return Ok(false) };
        // Whoever held the turn before may have asked about the same key.
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let (keys, key) = (self.keys.clone(), key.to_owned());
        // A check that could not be made is no verdict.
        let verdict = tokio::task::spawn_blocking(move || opens(&keys, door, &key)).await;
        let Ok(Some(verdict)) = verdict else { return Err(NotNow::Unreadable) };
        self.remember(fingerprint, verdict);
        Ok(verdict)
    }

    fn remembered(&self, fingerprint: &Fingerprint) -> Option<bool> {
        let verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(fingerprint).filter(|(_, until)| *until > Instant::now()).map(|(verdict, _)| *verdict)
    }

    fn remember(&self, fingerprint: Fingerprint, verdict: bool) {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= REMEMBERED {
            verdicts.retain(|_, (good, until)| *good && *until > now);
        }
        verdicts.insert(fingerprint, (verdict, now + self.ttl));
    }
}

/// The door is part of it: a worker key is no API key.
fn fingerprint(door: Door, key: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update([match door {
        Door::Worker => 1u8,
        Door::Client => 2,
    }]);
    hash.update(key.as_bytes());
    hash.finalize().into()
}

fn opens(keys: &Keys, door: Door, key: &str) -> Option<bool> {
    match keys.hashes() {
        Ok((worker, api)) => {
            let hashes = if door == Door::Worker { worker } else { api };
            Some(hashes.iter().any(|hash| keys::verify(key, hash)))
        }
        Err(error) => {
            tracing::error!(%error, "no new key is checked while the key file cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(5);

    #[tokio::test]
    async fn a_key_opens_its_own_door_only() {
        let verifier = Verifier::new(Keys::plain("w", "a").unwrap(), LONG);
        assert_eq!(verifier.check(Door::Worker, "w").await, Ok(true));
        assert_eq!(verifier.check(Door::Client, "a").await, Ok(true));
        for (door, key) in [(Door::Worker, "a"), (Door::Client, "w"), (Door::Client, ""), (Door::Worker, "x")] {
            assert_eq!(verifier.check(door, key).await, Ok(false));
            assert_eq!(verifier.check(door, key).await, Ok(false), "and again from memory");
        }
        assert_eq!(verifier.check(Door::Worker, &"w".repeat(LONGEST + 1)).await, Ok(false));
    }

    #[tokio::test]
    async fn a_pair_added_while_running_is_good_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, "").unwrap();
        let verifier = Verifier::new(Keys::file(path.clone()), LONG);
        assert_eq!(verifier.check(Door::Worker, "w").await, Ok(false));
        let (worker, api) = (keys::cheap_hash("new").unwrap(), keys::cheap_hash("api").unwrap());
        std::fs::write(
            &path,
            format!(
                "[[pair]]\nname = \"n\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"{worker}\"\napi = \"{api}\"\n"
            ),
        )
        .unwrap();
        assert_eq!(verifier.check(Door::Worker, "new").await, Ok(true));
    }

    #[tokio::test]
    async fn a_flood_of_wrong_keys_is_bounded_and_forgets_no_good_one() {
        let verifier = Verifier::new(Keys::plain("w", "a").unwrap(), LONG);
        assert_eq!(verifier.check(Door::Worker, "w").await, Ok(true));
        for number in 0..REMEMBERED as u64 + 10 {
            let mut wrong = [0; 32];
            wrong[..8].copy_from_slice(&number.to_le_bytes());
            verifier.remember(wrong, false);
        }
        assert!(verifier.verdicts.lock().unwrap().len() <= REMEMBERED);
        assert_eq!(verifier.remembered(&fingerprint(Door::Worker, "w")), Some(true));
    }
}
