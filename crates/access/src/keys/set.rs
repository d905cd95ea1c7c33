//! Keys in their order, found by their digests.

use std::sync::Arc;

use hashbrown::HashTable;

use super::hash::{KeyDigest, KeyHash};
use super::key::{Key, KeyKind};
use super::line::Line;

/// Keys, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    /// The place of a removed key is empty. A file has few removed keys: it is written anew when they are the greater part.
    keys: Vec<Option<Arc<Key>>>,
    /// The places of those with a SHA-256. Four bytes for each: the hash of a key is its own hash in this table.
    fast: HashTable<u32>,
    /// The places of those that only a slow check finds.
    slow: Vec<u32>,
    counts: [usize; 2],
}

impl KeySet {
    /// How many keys of a kind there are.
    pub(crate) fn count(&self, kind: KeyKind) -> usize {
        self.counts[kind as usize]
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The key with this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<&Arc<Key>> {
        self.at(*self.fast.find(hash(digest), |place| self.has_digest(*place, digest))?)
    }

    /// The keys of a kind that a slow check may find, with their hashes.
    pub(crate) fn slow(&self, kind: KeyKind, hint: &str) -> Vec<Arc<Key>> {
        let fits = |key: &&Arc<Key>| {
            key.kind == kind
                && key.slow_hash().is_some_and(|slow| slow.hint.as_deref().is_none_or(|known| known == hint))
        };
        self.slow.iter().filter_map(|place| self.at(*place)).filter(fits).cloned().collect()
    }

    /// The key with the hash of this one, as it is now.
    pub(crate) fn present(&self, key: &Key) -> Option<&Arc<Key>> {
        self.at(self.place(key)?)
    }

    /// Adds a key, or puts it in the place of the one with its hash.
    pub(crate) fn insert(&mut self, key: Arc<Key>) {
        self.counts[key.kind as usize] += 1;
        if let Some(known) = self.place(&key).and_then(|place| self.keys.get_mut(place as usize)) {
            if let Some(before) = known.replace(key) {
                self.counts[before.kind as usize] -= 1;
            }
            return;
        }
        // Four thousand million keys do not fit into any memory.
        let place = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        match &key.hash {
            KeyHash::Sha256(digest) => {
                let keys = &self.keys;
                self.fast.insert_unique(hash(digest), place, |place| hash_at(keys, *place));
            }
            KeyHash::Argon2(_) => self.slow.push(place),
        }
        self.keys.push(Some(key));
    }

    /// Removes the key with the hash of this one.
    pub(crate) fn remove(&mut self, key: &Key) {
        let Some(place) = self.place(key) else { return };
        match &key.hash {
            KeyHash::Sha256(digest) => {
                if let Ok(found) = self.fast.find_entry(hash(digest), |other| *other == place) {
                    found.remove();
                }
            }
            KeyHash::Argon2(_) => self.slow.retain(|other| *other != place),
        }
        if let Some(removed) = self.keys.get_mut(place as usize).and_then(Option::take) {
            self.counts[removed.kind as usize] -= 1;
        }
    }

    /// Does what a line of a key file says.
    pub(super) fn apply(&mut self, line: Line) {
        match line {
            Line::Key(key) => self.insert(Arc::new(key)),
            Line::Revoked(key, _) => self.remove(&key),
        }
    }

    /// All keys in their order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Key>> {
        self.keys.iter().flatten()
    }

    /// Gives back the memory of a growth that has ended, and that of removed keys.
    pub(crate) fn shrink(&mut self) {
        if self.keys.len() > self.len() {
            let mut all = Self::default();
            std::mem::take(&mut self.keys).into_iter().flatten().for_each(|key| all.insert(key));
            *self = all;
        }
        self.keys.shrink_to_fit();
        let keys = &self.keys;
        self.fast.shrink_to_fit(|place| hash_at(keys, *place));
    }

    fn at(&self, place: u32) -> Option<&Arc<Key>> {
        self.keys.get(place as usize)?.as_ref()
    }

    /// Where the key with the hash of this one is.
    fn place(&self, key: &Key) -> Option<u32> {
        match &key.hash {
            KeyHash::Sha256(digest) => self.fast.find(hash(digest), |place| self.has_digest(*place, digest)).copied(),
            // The worker key of a pair may also be its API key.
            KeyHash::Argon2(_) => {
                let is_it = |other: &Arc<Key>| other.hash == key.hash && other.kind == key.kind;
                self.slow.iter().copied().find(|place| self.at(*place).is_some_and(is_it))
            }
        }
    }

    fn has_digest(&self, place: u32, digest: &KeyDigest) -> bool {
        self.at(place).is_some_and(|key| matches!(&key.hash, KeyHash::Sha256(known) if known == digest))
    }
}

impl IntoIterator for KeySet {
    type Item = Arc<Key>;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<Arc<Key>>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter().flatten()
    }
}

/// The hash of a digest in the table. Digests of random keys are spread evenly, and only such keys are in the table.
fn hash(digest: &KeyDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn hash_at(keys: &[Option<Arc<Key>>], place: u32) -> u64 {
    match keys.get(place as usize).and_then(Option::as_ref).map(|key| &key.hash) {
        Some(KeyHash::Sha256(digest)) => hash(digest),
        _ => 0,
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

    #[test]
    fn keys_keep_the_order_in_which_they_came() {
        let names = |set: &KeySet| set.iter().map(|key| key.name.to_string()).collect::<Vec<_>>();
        let slow = KeyHash::parse(&cheap_hash("s").unwrap(), None).unwrap();
        let mut set = KeySet::default();
        let mut add = |name: &str, hash: KeyHash| {
            set.insert(Arc::new(Key { name: name.into(), ..Key::bare("k", KeyKind::Api, hash) }));
            names(&set)
        };
        add("a", KeyHash::of("a"));
        add("s", slow.clone());
        add("b", KeyHash::of("b"));
        assert_eq!(add("t", slow), ["a", "t", "b"]);
        assert_eq!(add("c", KeyHash::of("a")), ["c", "t", "b"], "a changed key keeps its place");
        let first = Arc::clone(set.find(&digest("a")).unwrap());
        set.remove(&first);
        set.shrink();
        assert_eq!((names(&set), set.len()), (vec!["t".to_owned(), "b".to_owned()], 2));
        set.insert(first);
        assert_eq!(names(&set), ["t", "b", "c"]);
        assert!(set.find(&digest("a")).is_some() && set.find(&digest("b")).is_some());
    }
}
