//! Checks keys: slowly once, and from memory after that.
//!
//! A check costs tens of milliseconds of a core and 19 MiB, on purpose; so it runs off the runtime's
//! thread, few at a time, with a bound on how many may wait, and how many of one address. Most wrong keys cost nothing: a
//! pair is stored with a hint of two bytes of each key, which tells them at once. Verdicts are remembered under the key's
//! SHA-256: a bad one for a while and until the keys change, a good one for as long as it is used and its hash is there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::keys::{self, KeySet, KeyStore, Look};

/// Which kind of key opens what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Worker,
    Client,
}

/// A good key's hash, by which it is known while the router runs.
pub(crate) type KeyId = Arc<str>;

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
/// And of one address.
const AT_MOST_EACH: usize = 16;
/// Verdicts remembered; a flood of wrong keys must not grow the memory.
const REMEMBERED: usize = 4096;
/// Longer than any key; hashing a megabyte for a stranger is not our job.
const LONGEST: usize = 512;

type Fingerprint = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Good(KeyId),
    /// Of the keys of this version.
    Bad(u64),
}

#[derive(Debug)]
pub(crate) struct Verifier {
    keys: Arc<KeyStore>,
    ttl: Duration,
    verdicts: Mutex<HashMap<Fingerprint, (Verdict, Instant)>>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
    hashing: Semaphore,
}

impl Verifier {
    pub(crate) fn new(keys: KeyStore, ttl: Duration) -> Self {
        Self {
            keys: Arc::new(keys),
            ttl,
            verdicts: Mutex::default(),
            waiting: Mutex::default(),
            hashing: Semaphore::new(AT_ONCE),
        }
    }

    /// Whether `key` opens `door`: the key's id if it does.
    pub(crate) async fn check(&self, door: Door, key: &str, from: IpAddr) -> Result<Option<KeyId>, NotNow> {
        if key.is_empty() || key.len() > LONGEST {
            return Ok(None);
        }
        let fingerprint = fingerprint(door, key);
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let look = self.look().await;
        let hint = keys::hint(key);
        let fits = |hash: &&keys::Hash| hash.hint.as_ref().is_none_or(|known| *known == hint);
        let hashes: Vec<KeyId> = of(&look.set, door).iter().filter(fits).map(|hash| hash.phc.clone()).collect();
        if hashes.is_empty() {
            return self.judge(fingerprint, None, &look);
        }
        let _place = self.place(from)?;
        // The semaphore is never closed; were it, nothing would be known of the key.
        let Ok(_turn) = self.hashing.acquire().await else { return Err(NotNow::Unreadable) };
        // The check whose turn it was before may have been of the same key.
        if let Some(verdict) = self.remembered(&fingerprint) {
            return Ok(verdict);
        }
        let key = key.to_owned();
        let checked = move || hashes.into_iter().find(|phc| keys::verify(&key, phc));
        // A check that could not be made is no verdict.
        let found = tokio::task::spawn_blocking(checked).await.map_err(|_| NotNow::Unreadable)?;
        self.judge(fingerprint, found, &look)
    }

    /// Looks at the key file. Returns the keys where they are others than at the last such look.
    pub(crate) async fn refresh(&self, last: &mut u64) -> Option<Arc<KeySet>> {
        let look = self.look().await;
        if std::mem::replace(last, look.version) == look.version {
            return None;
        }
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.retain(|_, (verdict, _)| matches!(verdict, Verdict::Good(key) if look.set.has(key)));
        Some(look.set)
    }

    async fn look(&self) -> Look {
        let keys = self.keys.clone();
        tokio::task::spawn_blocking(move || keys.look()).await.unwrap_or_else(|_| self.keys.known())
    }

    fn judge(&self, of: Fingerprint, found: Option<KeyId>, look: &Look) -> Result<Option<KeyId>, NotNow> {
        let verdict = match &found {
            Some(key) => Verdict::Good(key.clone()),
            None if look.certain => Verdict::Bad(look.version),
            None => return Err(NotNow::Unreadable),
        };
        self.remember(of, verdict);
        Ok(found)
    }

    fn remembered(&self, fingerprint: &Fingerprint) -> Option<Option<KeyId>> {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = verdicts.get_mut(fingerprint).filter(|(_, until)| *until > now)?;
        match verdict {
            Verdict::Good(key) => {
                *until = now + self.ttl;
                Some(Some(key.clone()))
            }
            Verdict::Bad(version) => (*version == self.keys.known().version).then_some(None),
        }
    }

    fn remember(&self, fingerprint: Fingerprint, verdict: Verdict) {
        let now = Instant::now();
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= REMEMBERED {
            verdicts.retain(|_, (verdict, until)| matches!(verdict, Verdict::Good(_)) && *until > now);
        }
        verdicts.insert(fingerprint, (verdict, now + self.ttl));
    }

    /// A place among the checks that wait.
    fn place(&self, from: IpAddr) -> Result<Place<'_>, NotNow> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, mine) = (waiting.values().sum::<usize>(), waiting.get(&from).copied().unwrap_or(0));
        if all >= AT_MOST || mine >= AT_MOST_EACH {
            return Err(NotNow::Busy(all));
        }
        waiting.insert(from, mine + 1);
        Ok(Place { waiting: &self.waiting, from })
    }
}

struct Place<'a> {
    waiting: &'a Mutex<HashMap<IpAddr, usize>>,
    from: IpAddr,
}

impl Drop for Place<'_> {
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

fn of(set: &KeySet, door: Door) -> &[keys::Hash] {
    match door {
        Door::Worker => &set.worker,
        Door::Client => &set.api,
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

#[cfg(test)]
mod tests;
