//! One key, as it is stored.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::base64::base64url;
use super::hash::{KeyHash, SlowHash, digest};
use super::terms::{KeyTerms, UNLIMITED};

/// What a key gives access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// A worker's.
    Worker,
    /// A client's.
    Api,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Worker => "worker",
            Self::Api => "api",
        })
    }
}

/// Identifies a key in lists and logs: the beginning of the key's text, which leaves 208 random bits of it unknown. For a
/// key from an older file, characters of its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    /// Bytes of the longest id.
    const LENGTH: usize = 12;

    /// An id from its text; `None` if it is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; Self::LENGTH];
        id.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(id))
    }

    pub(super) fn of_hash(hash: &KeyHash) -> Self {
        let digest = match hash {
            KeyHash::Sha256(digest) => *digest,
            KeyHash::Argon2(slow) => digest(&slow.phc),
        };
        Self::parse(&base64url(&digest[..9])).unwrap_or(Self([0; Self::LENGTH]))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::LENGTH);
        // It is made of a text only.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stored key. The two keys of a pair, and the old and the new one of a rotation, have one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: Box<str>,
    /// What it gives access to.
    pub kind: KeyKind,
    /// Its id.
    pub id: KeyId,
    pub(crate) hash: KeyHash,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is not good any more; `None` for never.
    pub expires: Option<Timestamp>,
    pub(super) terms: Option<Arc<KeyTerms>>,
}

impl Key {
    /// What it may use, and how much of it.
    #[must_use]
    pub fn terms(&self) -> &KeyTerms {
        self.terms.as_deref().unwrap_or(&UNLIMITED)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether its id is the beginning of its text.
    #[must_use]
    pub fn has_id_in_text(&self) -> bool {
        matches!(self.hash, KeyHash::Sha256(_))
    }

    /// Its hash, if only a slow check finds it.
    pub(crate) fn slow_hash(&self) -> Option<&SlowHash> {
        match &self.hash {
            KeyHash::Argon2(slow) => Some(slow),
            KeyHash::Sha256(_) => None,
        }
    }

    /// A key that only its hash describes.
    pub(super) fn bare(name: &str, kind: KeyKind, hash: KeyHash) -> Self {
        let (created, id) = (Timestamp::UNIX_EPOCH, KeyId::of_hash(&hash));
        Self { name: name.into(), kind, id, hash, created, expires: None, terms: None }
    }
}
