//! Keys, stored as hashes: API keys alone, or in pairs with worker keys.

mod file;
mod phc;
mod store;

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

pub use file::{FileError, Stored, add, add_api_key, is_exposed, list, revoke};
pub(crate) use phc::verify;
pub use phc::{HashError, cheap_hash, is_readable};
pub(crate) use store::{Hash, KeySnapshot};
pub use store::{KeySet, KeyStore};

use crate::random::random;

/// The hashes against which keys are checked.
#[derive(Clone, Default)]
pub struct Keys {
    /// Read again when it changes, so that a pair added at run time is good at once.
    pub file: Option<PathBuf>,
    pub(crate) worker: Vec<String>,
    pub(crate) api: Vec<String>,
}

impl Keys {
    /// The pairs in a file that [`add`] wrote.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        Self { file: Some(path), ..Self::default() }
    }

    /// One pair in clear text, hashed with the cheapest parameters: for tests.
    ///
    /// # Errors
    /// The salt needs random bytes, and the operating system has none.
    pub fn plain(worker: &str, api: &str) -> Result<Self, HashError> {
        Ok(Self { file: None, worker: vec![cheap_hash(worker)?], api: vec![cheap_hash(api)?] })
    }

    /// Adds hashes given as PHC strings, as the upstream router takes them from its environment.
    #[must_use]
    pub fn with_hashes(mut self, worker: Option<String>, api: Option<String>) -> Self {
        self.worker.extend(worker);
        self.api.extend(api);
        self
    }
}

/// Prints the number of hashes only: a hash is not secret, but a log does not need it.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("file", &self.file)
            .field("worker", &self.worker.len())
            .field("api", &self.api.len())
            .finish()
    }
}

/// A new pair in clear text, to be shown once.
///
/// No `Debug`: a derived one would print the keys.
pub struct Pair {
    /// For `auxot-worker`, as `AUXOT_GPU_KEY`.
    pub worker: String,
    /// For clients, as `Authorization: Bearer`.
    pub api: String,
}

impl Pair {
    /// Two keys of 32 random bytes each.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn generate() -> Result<Self, HashError> {
        Ok(Self { worker: secret("adm_")?, api: secret("rtr_")? })
    }
}

/// Two bytes of a key's SHA-256 in hex, stored beside its hash: they reject a wrong key without a slow check. They
/// reveal nothing useful about 256 random bits.
pub(crate) fn hint(key: &str) -> String {
    let hash = Sha256::digest(key.as_bytes());
    format!("{:02x}{:02x}", hash[0], hash[1])
}

fn secret(prefix: &str) -> Result<String, HashError> {
    let bytes = random::<32>().map_err(HashError::Randomness)?;
    Ok(format!("{prefix}{}", base64url(&bytes)))
}

/// Base64url without padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for at in 0..=group.len() {
            text.push(char::from(LETTERS[(word >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_the_vectors_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn keys_have_their_prefix_and_43_characters() {
        let pair = Pair::generate().unwrap();
        for (key, prefix) in [(&pair.worker, "adm_"), (&pair.api, "rtr_")] {
            let body = key.strip_prefix(prefix).unwrap();
            assert_eq!(body.len(), 43);
            assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        }
        assert_ne!(pair.worker[4..], pair.api[4..]);
    }

    #[test]
    fn debug_shows_no_hash() {
        let keys = Keys::plain("w", "a").unwrap();
        assert!(!format!("{keys:?}").contains("argon2"));
    }
}
