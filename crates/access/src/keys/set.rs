//! The keys that are good now, found by their digests.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::hash::{KeyDigest, KeyHash, SlowHash};
use super::key::{Key, KeyKind};

/// Keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    /// Those with a SHA-256. Eight bytes for each here: the hash of a key is its own hash in this table.
    fast: HashTable<Arc<Key>>,
    /// Those that only a slow check finds, in their order.
    slow: Vec<Arc<Key>>,
    counts: [usize; 2],
}

impl KeySet {
    /// How many keys of a kind there are.
    pub(crate) fn count(&self, kind: KeyKind) -> usize {
        self.counts[kind as usize]
    }

    /// The key with this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<&Arc<Key>> {
        self.fast.find(place(digest), |key| has_digest(key, digest))
    }

    /// The keys of a kind that a slow check may find, with their hashes.
    pub(crate) fn slow(&self, kind: KeyKind, hint: &str) -> Vec<Arc<Key>> {
        let fits = |key: &&Arc<Key>| {
            key.kind == kind
                && slow_hash(key).is_some_and(|slow| slow.hint.as_deref().is_none_or(|known| known == hint))
        };
        self.slow.iter().filter(fits).cloned().collect()
    }

    /// The key with the hash of this one, as it is now.
    pub(crate) fn present(&self, key: &Key) -> Option<&Arc<Key>> {
        match &key.hash {
            KeyHash::Sha256(digest) => self.find(digest),
            // The worker key of a pair may also be its API key.
            KeyHash::Argon2(_) => self.slow.iter().find(|other| other.hash == key.hash && other.kind == key.kind),
        }
    }

    /// Adds a key, or replaces the one with its hash.
    pub(crate) fn insert(&mut self, key: Arc<Key>) {
        let kind = key.kind;
        let before = match &key.hash {
            KeyHash::Sha256(digest) => {
                let (hash, digest) = (place(digest), *digest);
                match self.fast.entry(hash, |other| has_digest(other, &digest), of_key) {
                    Entry::Occupied(mut known) => Some(std::mem::replace(known.get_mut(), key)),
                    Entry::Vacant(free) => {
                        free.insert(key);
                        None
                    }
                }
            }
            KeyHash::Argon2(_) => {
                let known = self.slow.iter_mut().find(|other| other.hash == key.hash && other.kind == kind);
                match known {
                    Some(known) => Some(std::mem::replace(known, key)),
                    None => {
                        self.slow.push(key);
                        None
                    }
                }
            }
        };
        self.counts[kind as usize] += 1;
        if let Some(before) = before {
            self.counts[before.kind as usize] -= 1;
        }
    }

    /// Removes the key with the hash of this one.
    pub(crate) fn remove(&mut self, key: &Key) {
        let removed = match &key.hash {
            KeyHash::Sha256(digest) => {
                let found = self.fast.find_entry(place(digest), |other| has_digest(other, digest));
                found.ok().map(|found| found.remove().0)
            }
            KeyHash::Argon2(_) => {
                let at = self.slow.iter().position(|other| other.hash == key.hash && other.kind == key.kind);
                at.map(|at| self.slow.remove(at))
            }
        };
        if let Some(removed) = removed {
            self.counts[removed.kind as usize] -= 1;
        }
    }

    /// All keys, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.fast.iter().chain(&self.slow)
    }

    /// Gives back the memory of a growth that has ended.
    pub(crate) fn shrink(&mut self) {
        self.fast.shrink_to_fit(of_key);
    }
}

/// The PHC string of a key that has one.
pub(crate) fn slow_hash(key: &Key) -> Option<&SlowHash> {
    match &key.hash {
        KeyHash::Argon2(slow) => Some(slow),
        KeyHash::Sha256(_) => None,
    }
}

fn has_digest(key: &Key, digest: &KeyDigest) -> bool {
    matches!(&key.hash, KeyHash::Sha256(known) if known == digest)
}

/// Where a digest is in the table. Digests of random keys are spread evenly, and only such keys are in the table.
fn place(digest: &KeyDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn of_key(key: &Arc<Key>) -> u64 {
    match &key.hash {
        KeyHash::Sha256(digest) => place(digest),
        KeyHash::Argon2(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::digest;
    use super::super::phc::cheap_hash;
    use super::*;

    fn key(kind: KeyKind, hash: KeyHash) -> Arc<Key> {
        Arc::new(Key::bare("k", kind, hash))
    }

    #[test]
    fn a_key_is_found_by_its_digest_among_many_and_counted_once() {
        let mut set = KeySet::default();
        for number in 0..1000 {
            set.insert(key(KeyKind::Api, KeyHash::of(&format!("k{number}"))));
            set.insert(key(KeyKind::Api, KeyHash::of(&format!("k{number}"))));
        }
        assert_eq!((set.count(KeyKind::Api), set.count(KeyKind::Worker), set.iter().count()), (1000, 0, 1000));
        let found = Arc::clone(set.find(&digest("k7")).unwrap());
        assert!(set.present(&found).is_some() && set.find(&digest("k1000")).is_none());
        set.remove(&found);
        set.remove(&found);
        assert!(set.find(&digest("k7")).is_none() && set.present(&found).is_none());
        assert_eq!(set.count(KeyKind::Api), 999);
    }

    #[test]
    fn slow_keys_are_those_of_the_kind_whose_hint_fits() {
        let slow = |hint: Option<&str>| KeyHash::parse(&cheap_hash("k").unwrap(), hint).unwrap();
        let (hinted, open) = (key(KeyKind::Api, slow(Some("00ff"))), key(KeyKind::Api, slow(None)));
        let mut set = KeySet::default();
        for one in [&hinted, &open, &hinted, &key(KeyKind::Worker, slow(None))] {
            set.insert(Arc::clone(one));
        }
        assert_eq!((set.count(KeyKind::Api), set.count(KeyKind::Worker)), (2, 1));
        assert_eq!(set.slow(KeyKind::Api, "00ff"), [hinted.clone(), open.clone()]);
        assert_eq!(set.slow(KeyKind::Api, "0000"), [open]);
        set.remove(&hinted);
        assert_eq!(set.slow(KeyKind::Api, "00ff").len(), 1);
    }
}
