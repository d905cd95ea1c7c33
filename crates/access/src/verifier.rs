//! Checks keys: one slow check, then a cached verdict.
//!
//! A check costs tens of milliseconds of one core and 19 MiB on purpose. It therefore runs on the blocking pool, few at
//! a time, with a bound on the waiting checks in all and for each address. Most wrong keys cost nothing: a pair is
//! stored with a hint of two bytes of each key, and a key with another hint is wrong. Verdicts are cached under the
//! SHA-256 of the key: a bad one until its time ends or the keys change, a good one as long as it is used and its hash
//! is in the file.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::keys::{self, KeySet, KeySnapshot, KeyStore};

/// What a key gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A worker's.
    Worker,
    /// A client's.
    Api,
}

/// Hash of a good key; identifies the key while the program runs.
pub type KeyId = Arc<str>;

/// Why a key cannot be checked now. It does not mean that the key is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckUnavailable {
    /// This many checks wait already.
    Busy(usize),
    /// The key file cannot be read.
    Unreadable,
}

/// Checks that run in parallel.
const PARALLEL_CHECKS: usize = 2;
/// Checks that wait or run.
const MAX_CHECKS: usize = 64;
/// Checks that wait or run for one address.
const MAX_CHECKS_PER_ADDRESS: usize = 16;
/// Cached verdicts; a flood of wrong keys must not grow the memory.
const MAX_VERDICTS: usize = 4096;
/// Longer than any key; longer input is not hashed.
const MAX_KEY_LENGTH: usize = 512;

type Fingerprint = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
enum CachedVerdict {
    Good(KeyId),
    /// Bad among the keys of this version of the file.
    Bad(u64),
}

/// Checks keys.
#[derive(Debug)]
pub struct Verifier {
    keys: Arc<KeyStore>,
    ttl: Duration,
    verdicts: Mutex<HashMap<Fingerprint, (CachedVerdict, Instant)>>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
    hashing: Semaphore,
}

impl Verifier {
    /// Checks keys of a store; a verdict is cached for so long.
    #[must_use]
    pub fn new(keys: KeyStore, ttl: Duration) -> Self {
        Self {
            keys: Arc::new(keys),
            ttl,
            verdicts: Mutex::default(),
            waiting: Mutex::default(),
            hashing: Semaphore::new(PARALLEL_CHECKS),
        }
    }

    /// Checks `key` for `kind`; returns the id of a good key and `None` for a bad one.
    ///
    /// # Errors
    /// When the key cannot be checked now.
    pub async fn check(&self, kind: KeyKind, key: &str, from: IpAddr) -> Result<Option<KeyId>, CheckUnavailable> {
        if key.is_empty() || key.len() > MAX_KEY_LENGTH {
            return Ok(None);
        }
        let fingerprint = fingerprint(kind, key);
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let snapshot = self.snapshot().await;
        let hint = keys::hint(key);
        let fits = |hash: &&keys::Hash| hash.hint.as_ref().is_none_or(|known| *known == hint);
        let hashes: Vec<KeyId> =
            hashes_of(&snapshot.set, kind).iter().filter(fits).map(|hash| hash.phc.clone()).collect();
        if hashes.is_empty() {
            return self.record_verdict(fingerprint, None, &snapshot);
        }
        let _slot = self.check_slot(from)?;
        // The semaphore is never closed. If it were, no verdict would be possible.
        let Ok(_permit) = self.hashing.acquire().await else { return Err(CheckUnavailable::Unreadable) };
        // The check before this one may have been of the same key.
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let key = key.to_owned();
        let checked = move || hashes.into_iter().find(|phc| keys::verify(&key, phc));
        // A check that fails to run gives no verdict.
        let found = tokio::task::spawn_blocking(checked).await.map_err(|_| CheckUnavailable::Unreadable)?;
        self.record_verdict(fingerprint, found, &snapshot)
    }

    /// Reads the key file; returns the keys if they have changed since version `last`.
    pub async fn refresh(&self, last: &mut u64) -> Option<Arc<KeySet>> {
        let snapshot = self.snapshot().await;
        if std::mem::replace(last, snapshot.version) == snapshot.version {
            return None;
        }
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.retain(|_, (verdict, _)| matches!(verdict, CachedVerdict::Good(key) if snapshot.set.has(key)));
        Some(snapshot.set)
    }

    async fn snapshot(&self) -> KeySnapshot {
        let keys = self.keys.clone();
        tokio::task::spawn_blocking(move || keys.snapshot()).await.unwrap_or_else(|_| self.keys.last_read())
    }

    fn record_verdict(
        &self,
        of: Fingerprint,
        found: Option<KeyId>,
        snapshot: &KeySnapshot,
    ) -> Result<Option<KeyId>, CheckUnavailable> {
        let verdict = match &found {
            Some(key) => CachedVerdict::Good(key.clone()),
            None if snapshot.certain => CachedVerdict::Bad(snapshot.version),
            None => return Err(CheckUnavailable::Unreadable),
        };
        self.remember(of, verdict);
        Ok(found)
    }

    fn remembered(&self, fingerprint: &Fingerprint) -> Option<Option<KeyId>> {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = verdicts.get_mut(fingerprint).filter(|(_, until)| *until > now)?;
        match verdict {
            CachedVerdict::Good(key) => {
                *until = now + self.ttl;
                Some(Some(key.clone()))
            }
            CachedVerdict::Bad(version) => (*version == self.keys.last_read().version).then_some(None),
        }
    }

    fn remember(&self, fingerprint: Fingerprint, verdict: CachedVerdict) {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.retain(|_, (verdict, until)| matches!(verdict, CachedVerdict::Good(_)) && *until > now);
        }
        verdicts.insert(fingerprint, (verdict, now + self.ttl));
    }

    /// A slot among the waiting checks.
    fn check_slot(&self, from: IpAddr) -> Result<CheckSlot<'_>, CheckUnavailable> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, mine) = (waiting.values().sum::<usize>(), waiting.get(&from).copied().unwrap_or(0));
        if all >= MAX_CHECKS || mine >= MAX_CHECKS_PER_ADDRESS {
            return Err(CheckUnavailable::Busy(all));
        }
        waiting.insert(from, mine + 1);
        Ok(CheckSlot { waiting: &self.waiting, from })
    }
}

struct CheckSlot<'a> {
    waiting: &'a Mutex<HashMap<IpAddr, usize>>,
    from: IpAddr,
}

impl Drop for CheckSlot<'_> {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.from);
            }
        }
    }
}

fn hashes_of(set: &KeySet, kind: KeyKind) -> &[keys::Hash] {
    match kind {
        KeyKind::Worker => &set.worker,
        KeyKind::Api => &set.api,
    }
}

/// The kind is part of the hash: a worker key is not an API key.
fn fingerprint(kind: KeyKind, key: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update([match kind {
        KeyKind::Worker => 1u8,
        KeyKind::Api => 2,
    }]);
    hash.update(key.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
