//! The text of a key: a prefix that says what it is for, and 32 random bytes.

use super::base64::base64url;
use super::hash::KeyHash;
use super::key::KeyId;
use super::phc::HashError;
use crate::random::random;

/// Characters behind the prefix that are a part of the id.
const ID_CHARACTERS: usize = 8;

/// The prefix of worker keys.
pub(super) const WORKER: &str = "adm_";

/// A new key in clear text.
///
/// No `Debug`: a derived one would print it.
pub(super) struct NewText {
    pub(super) text: String,
    pub(super) id: KeyId,
    pub(super) hash: KeyHash,
}

impl NewText {
    /// A key of 32 random bytes.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub(super) fn generate(prefix: &str) -> Result<Self, HashError> {
        let bytes = random::<32>().map_err(HashError::Randomness)?;
        let text = format!("{prefix}{}", base64url(&bytes));
        let hash = KeyHash::of(&text);
        let id = KeyId::parse(&text[..prefix.len() + ID_CHARACTERS]).unwrap_or_else(|| KeyId::of_hash(&hash));
        Ok(Self { text, id, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_prefix_and_43_characters_and_begin_with_their_id() {
        let (one, two) = (NewText::generate("rtr_").unwrap(), NewText::generate("rtr_").unwrap());
        let body = one.text.strip_prefix("rtr_").unwrap();
        assert_eq!(body.len(), 43);
        assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert!(one.text.starts_with(one.id.as_str()) && one.id.as_str().len() == 12);
        assert_ne!(one.text[4..], two.text[4..]);
        assert_eq!(NewText::generate("gw_").unwrap().id.as_str().len(), 11);
    }
}
