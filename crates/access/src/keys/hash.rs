//! What is stored of a key.
//!
//! A generated key has 256 random bits, which cannot be guessed from its SHA-256. One fast hash is therefore enough, and it
//! finds the key among any number of others. Keys of older files and of the environment have Argon2id hashes: each of them
//! costs a slow check.

use std::fmt;

use sha2::{Digest, Sha256};

use super::phc;

/// The mark of a SHA-256 in a key file.
const SHA256: &str = "sha256:";

/// The SHA-256 of a key.
pub(crate) type KeyDigest = [u8; 32];

/// The digest of a key.
pub(crate) fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// The hash of a key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum KeyHash {
    /// Of a generated key.
    Sha256(KeyDigest),
    /// Of a key from an older file or from the environment.
    Argon2(Box<SlowHash>),
}

/// A hash that is slow to check.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct SlowHash {
    /// The PHC string.
    pub(crate) phc: Box<str>,
    /// Two bytes of the key's SHA-256 in hex: they reject a wrong key without a slow check.
    pub(crate) hint: Option<Box<str>>,
}

impl KeyHash {
    /// The hash of a generated key.
    pub(crate) fn of(key: &str) -> Self {
        Self::Sha256(digest(key))
    }

    /// Reads `sha256:…` in hex, or a PHC string of Argon2id with its hint.
    pub(crate) fn parse(text: &str, hint: Option<&str>) -> Option<Self> {
        match text.strip_prefix(SHA256) {
            Some(hex) => from_hex(hex).map(Self::Sha256),
            None => phc::is_readable(text)
                .then(|| Self::Argon2(Box::new(SlowHash { phc: text.into(), hint: hint.map(Into::into) }))),
        }
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2(slow) => f.write_str(&slow.phc),
            Self::Sha256(digest) => {
                f.write_str(SHA256)?;
                digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Prints the algorithm only: a hash is not secret, but a log does not need it.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "SHA-256",
            Self::Argon2(_) => "Argon2id",
        })
    }
}

fn from_hex(hex: &str) -> Option<KeyDigest> {
    let hex: &[u8; 64] = hex.as_bytes().try_into().ok()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_as_it_is_written() {
        let fast = KeyHash::of("rtr_key");
        let text = fast.to_string();
        assert!(text.starts_with("sha256:") && text.len() == 7 + 64, "{text}");
        assert_eq!(KeyHash::parse(&text, None), Some(fast));
        let phc = phc::cheap_hash("k").unwrap();
        let slow = KeyHash::parse(&phc, Some("00ff")).unwrap();
        assert_eq!(slow.to_string(), phc);
        assert!(!format!("{slow:?}{:?}", KeyHash::of("k")).contains(&phc[10..]));
        for bad in ["", "sha256:", "sha256:00", &format!("sha256:{}", "g".repeat(64)), "sha1:00", "$argon2id$"] {
            assert_eq!(KeyHash::parse(bad, None), None, "{bad}");
        }
    }
}
