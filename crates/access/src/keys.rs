//! Keys, stored as hashes: of workers and of clients.
//!
//! ```
//! use auxot_access::keys::{KeyFile, KeyTerms, NewKeys};
//!
//! # fn main() -> Result<(), auxot_access::keys::FileError> {
//! # let folder = tempfile::tempdir().unwrap();
//! let file = KeyFile::of_router(folder.path().join("keys"));
//! let shown_once = file.create("laptop", &NewKeys::Api(KeyTerms::workers_only()), None)?;
//! assert!(shown_once.api.is_some_and(|key| key.starts_with("rtr_")));
//! assert_eq!(&*file.list()?[0].name, "laptop");
//! file.revoke("laptop")?;
//! # Ok(())
//! # }
//! ```

mod base64;
mod error;
mod file;
mod hash;
mod key;
mod line;
mod old_file;
mod phc;
mod reader;
mod set;
mod store;
mod terms;
mod text;

use std::fmt;
use std::path::PathBuf;

pub use error::FileError;
pub use file::{CreatedKeys, KeyFile, NewKeys, is_exposed};
pub(crate) use hash::{KeyDigest, KeyHash, digest};
pub use key::{Key, KeyId, KeyKind};
pub(crate) use phc::verify;
pub use phc::{HashError, cheap_hash, is_readable};
pub use store::KeyStore;
pub(crate) use store::{CurrentKeys, SETTLED};
pub use terms::{KeyTerms, WORKERS};

/// Where the keys are that are checked.
#[derive(Clone, Default)]
pub struct Keys {
    /// Read again when it changes, so that a key added at run time is good at once.
    pub file: Option<PathBuf>,
    bare: Vec<Key>,
}

impl Keys {
    /// The keys in a file that a [`KeyFile`] wrote.
    #[must_use]
    pub fn file(path: PathBuf) -> Self {
        Self { file: Some(path), ..Self::default() }
    }

    /// One pair in clear text, hashed with the cheapest parameters: for tests.
    ///
    /// # Errors
    /// The salt needs random bytes, and the operating system has none.
    pub fn plain(worker: &str, api: &str) -> Result<Self, HashError> {
        Ok(Self::default().with_hashes(Some(&cheap_hash(worker)?), Some(&cheap_hash(api)?)))
    }

    /// Adds hashes given as PHC strings, as the upstream router takes them from its environment. One that is not readable
    /// is left out.
    #[must_use]
    pub fn with_hashes(mut self, worker: Option<&str>, api: Option<&str>) -> Self {
        let worker = worker.map(|phc| (KeyKind::Worker, "environment", phc));
        let api = api.map(|phc| (KeyKind::Api, "environment", phc));
        let key = |(kind, name, phc)| KeyHash::parse(phc, None).map(|hash| Key::bare(name, kind, hash));
        self.bare.extend(worker.into_iter().chain(api).filter_map(key));
        self
    }

    /// The keys that only their hashes describe.
    pub(crate) fn bare(&self) -> impl Iterator<Item = Key> {
        self.bare.iter().cloned()
    }
}

/// Prints the number of hashes only: a hash is not secret, but a log does not need it.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("file", &self.file).field("hashes", &self.bare.len()).finish()
    }
}

/// Two bytes of a key's SHA-256 in hex, stored beside its slow hash in older files: they reject a wrong key without a slow
/// check.
pub(crate) fn hint(digest: &KeyDigest) -> String {
    format!("{:02x}{:02x}", digest[0], digest[1])
}
