//! Checks keys: by a table of their digests, or by one slow check and then a cached verdict.
//!
//! A generated key is found by its SHA-256, at once and among any number of keys. A key with an Argon2id hash costs tens of
//! milliseconds of one core and 19 MiB, on purpose. Such a check therefore runs on the blocking pool, few at a time, with a
//! bound on the waiting checks in all and for each address. Most wrong keys cost no check: a slow hash is stored with a hint
//! of two bytes of the key's digest, and a key with another hint is wrong. Verdicts of slow checks are cached: a bad one
//! until its time ends or the keys change, a good one as long as it is used and its hash is in the file.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::keys::{self, CurrentKeys, Key, KeyDigest, KeyKind, KeyStore};
use crate::last_use::LastUses;

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

#[derive(Debug, Clone, PartialEq, Eq)]
enum CachedVerdict {
    /// Good among the keys of this version of the file.
    Good(Arc<Key>, u64),
    /// Bad among the keys of this version of the file.
    Bad(u64),
}

/// What a key that was good is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// Still good.
    Good {
        /// When its time is over.
        until: Option<Timestamp>,
    },
    /// Its time is over.
    Expired,
    /// It is not in the file any more.
    Revoked,
}

/// The keys as they were at a look at their file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysState {
    /// Changes whenever a key may have been added, changed or removed.
    pub version: u64,
    /// When to look again: the file cannot be read now, or may be half written.
    pub look_again: Option<Duration>,
}

/// Checks keys.
#[derive(Debug)]
pub struct Verifier {
    keys: Arc<KeyStore>,
    uses: Arc<LastUses>,
    ttl: Duration,
    verdicts: Mutex<HashMap<(KeyKind, KeyDigest), (CachedVerdict, Instant)>>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
    hashing: Semaphore,
}

impl Verifier {
    /// Checks keys of a store; the verdict of a slow check is cached for so long.
    #[must_use]
    pub fn new(keys: KeyStore, ttl: Duration) -> Self {
        Self {
            uses: Arc::new(LastUses::of_file(keys.file())),
            keys: Arc::new(keys),
            ttl,
            verdicts: Mutex::default(),
            waiting: Mutex::default(),
            hashing: Semaphore::new(PARALLEL_CHECKS),
        }
    }

    /// Checks `key` for `kind`; returns what is stored of a good key and `None` for a bad one.
    ///
    /// # Errors
    /// When the key cannot be checked now.
    pub async fn check(&self, kind: KeyKind, key: &str, from: IpAddr) -> Result<Option<Arc<Key>>, CheckUnavailable> {
        if key.is_empty() || key.len() > MAX_KEY_LENGTH {
            return Ok(None);
        }
        let digest = keys::digest(key);
        let mut found = self.found(kind, &digest);
        if found.is_none() {
            // It may be new.
            self.look().await;
            found = self.found(kind, &digest);
        }
        let checked = match found {
            Some(verdict) => Ok(verdict),
            None => self.check_slowly(kind, key, digest, from).await,
        };
        // The owner of a key may know that its time is over; others may not know that there is a key.
        checked.map(|good| good.filter(|key| !key.is_expired(Timestamp::now())).inspect(|key| self.uses.record(key)))
    }

    /// The verdict on a key, where it needs no slow check.
    fn found(&self, kind: KeyKind, digest: &KeyDigest) -> Option<Option<Arc<Key>>> {
        let found = self.keys.current().set.find(digest).cloned();
        match found {
            Some(key) => Some((key.kind == kind).then_some(key)),
            None => self.remembered(kind, digest),
        }
    }

    async fn check_slowly(
        &self,
        kind: KeyKind,
        key: &str,
        digest: KeyDigest,
        from: IpAddr,
    ) -> Result<Option<Arc<Key>>, CheckUnavailable> {
        let hint = keys::hint(&digest);
        let (candidates, certain, version) = {
            let current = self.keys.current();
            (current.set.slow(kind, &hint), current.certain, current.version)
        };
        let verdict = |found: Option<Arc<Key>>| {
            let current = self.keys.current();
            // It may have been removed while it was checked.
            let found = found.and_then(|key| current.set.present(&key).cloned());
            let verdict = match &found {
                Some(key) => CachedVerdict::Good(Arc::clone(key), current.version),
                None if certain => CachedVerdict::Bad(version),
                None => return Err(CheckUnavailable::Unreadable),
            };
            drop(current);
            self.remember((kind, digest), verdict);
            Ok(found)
        };
        if candidates.is_empty() {
            return verdict(None);
        }
        let _slot = self.check_slot(from)?;
        // The semaphore is never closed. If it were, no verdict would be possible.
        let Ok(_permit) = self.hashing.acquire().await else { return Err(CheckUnavailable::Unreadable) };
        // The check before this one may have been of the same key.
        if let Some(verdict) = self.remembered(kind, &digest) {
            return Ok(verdict);
        }
        let key = key.to_owned();
        let is_hash_of = move |stored: &Arc<Key>| stored.slow_hash().is_some_and(|slow| keys::verify(&key, &slow.phc));
        let checked = tokio::task::spawn_blocking(move || candidates.into_iter().find(is_hash_of));
        // A check that fails to run gives no verdict.
        verdict(checked.await.map_err(|_| CheckUnavailable::Unreadable)?)
    }

    /// What a key that was good is now.
    #[must_use]
    pub fn status(&self, key: &Key) -> KeyStatus {
        match self.keys.current().set.present(key) {
            None => KeyStatus::Revoked,
            Some(key) if key.is_expired(Timestamp::now()) => KeyStatus::Expired,
            Some(key) => KeyStatus::Good { until: key.expires },
        }
    }

    /// Looks at the key file, and reads it if it has changed.
    pub async fn refresh(&self) -> KeysState {
        self.look().await;
        let current = self.keys.current();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.retain(|_, (verdict, _)| match verdict {
            CachedVerdict::Good(key, version) => bring_up_to_date(key, version, &current),
            CachedVerdict::Bad(version) => *version == current.version,
        });
        KeysState { version: current.version, look_again: (!current.certain).then_some(keys::SETTLED) }
    }

    /// The newest keys of the file, at most so many, in the order of the file; and the number of its other keys. Those of
    /// the environment are not among them.
    pub async fn newest(&self, most: usize) -> (Vec<Arc<Key>>, usize) {
        self.look().await;
        self.keys.newest(most)
    }

    /// When each key was last used.
    #[must_use]
    pub fn last_uses(&self) -> &LastUses {
        &self.uses
    }

    /// Writes when each key was last used, if there is something new.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn write_last_uses(&self) -> io::Result<()> {
        let (keys, uses) = (Arc::clone(&self.keys), Arc::clone(&self.uses));
        let written =
            tokio::task::spawn_blocking(move || uses.write(|| keys.current().set.iter().map(|key| key.id).collect()));
        written.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
    }

    async fn look(&self) {
        let keys = Arc::clone(&self.keys);
        // A look that fails to run leaves the keys as they are.
        let _panicked = tokio::task::spawn_blocking(move || keys.look()).await;
    }

    fn remembered(&self, kind: KeyKind, digest: &KeyDigest) -> Option<Option<Arc<Key>>> {
        let now = Instant::now();
        let current = self.keys.current();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = verdicts.get_mut(&(kind, *digest)).filter(|(_, until)| *until > now)?;
        match verdict {
            CachedVerdict::Good(key, version) => bring_up_to_date(key, version, &current).then(|| {
                *until = now + self.ttl;
                Some(Arc::clone(key))
            }),
            CachedVerdict::Bad(version) => (*version == current.version).then_some(None),
        }
    }

    fn remember(&self, of: (KeyKind, KeyDigest), verdict: CachedVerdict) {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= MAX_VERDICTS {
            verdicts.retain(|_, (verdict, until)| matches!(verdict, CachedVerdict::Good(..)) && *until > now);
        }
        verdicts.insert(of, (verdict, now + self.ttl));
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

/// Makes a key that was good in a version of the file what it is now; returns whether it is still there.
fn bring_up_to_date(key: &mut Arc<Key>, version: &mut u64, current: &CurrentKeys) -> bool {
    if *version != current.version {
        let Some(present) = current.set.present(key) else { return false };
        (*key, *version) = (Arc::clone(present), current.version);
    }
    true
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

#[cfg(test)]
mod tests;
