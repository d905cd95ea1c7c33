//! Argon2id hashes of keys, as PHC strings: of keys from the environment, which operators may have chosen themselves, and
//! from older files.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::random::random;

/// Why a key cannot be hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The operating system gave no random bytes.
    #[error("cannot get randomness: {0}")]
    Randomness(getrandom::Error),
    /// The hash function failed.
    #[error("cannot hash a key: {0}")]
    Hash(argon2::password_hash::Error),
}

/// A hash that is cheap to check, for tests.
///
/// # Errors
/// The operating system has no randomness for the salt.
pub fn cheap_hash(key: &str) -> Result<String, HashError> {
    hash_with(key, (8, 1, 1))
}

fn hash_with(key: &str, (memory, passes, lanes): (u32, u32, u32)) -> Result<String, HashError> {
    let salt = random::<16>().map_err(HashError::Randomness)?;
    let salt = SaltString::encode_b64(&salt).map_err(HashError::Hash)?;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| HashError::Hash(error.into()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon2.hash_password(key.as_bytes(), &salt).map_err(HashError::Hash)?.to_string())
}

/// Whether `key` has this hash, with the parameters that the string names.
pub(crate) fn verify(key: &str, phc: &str) -> bool {
    // The comparison takes constant time; an unreadable hash matches no key.
    PasswordHash::new(phc).is_ok_and(|hash| Argon2::default().verify_password(key.as_bytes(), &hash).is_ok())
}

/// Whether a string is a hash of a key.
#[must_use]
pub fn is_readable(phc: &str) -> bool {
    PasswordHash::new(phc).is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && hash.hash.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_key_and_no_other() {
        let phc = cheap_hash("adm_one").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{phc}");
        assert!(verify("adm_one", &phc) && !verify("adm_two", &phc) && !verify("", &phc));
        assert_ne!(phc, cheap_hash("adm_one").unwrap(), "salted");
    }

    #[test]
    fn other_parameters_are_read_from_the_string() {
        let phc = hash_with("k", (64, 3, 4)).unwrap();
        assert!(phc.contains("m=64,t=3,p=4") && verify("k", &phc) && is_readable(&phc));
        assert!(!is_readable("argon2id") && !verify("k", "argon2id"));
    }
}
