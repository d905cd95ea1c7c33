//! Why the key file cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::phc::HashError;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file operation failed.
    #[error("cannot {verb} the key file {}: {error}", path.display())]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The content is not a key file.
    #[error("cannot understand the key file {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Other users can write the file.
    #[error("cannot trust the key file {}: others than its owner can write it; chmod 600 it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// The file does not exist yet.
    #[error("no key file {} yet: make a first key with `keys create`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A key with the name exists.
    #[error("cannot add the key `{name}`: {} has one of that name already; choose another --name", path.display())]
    Taken {
        /// The name.
        name: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// No key has the name.
    #[error("cannot {verb} the key `{name}`: {} has none of that name", path.display())]
    Unknown {
        /// The operation.
        verb: &'static str,
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The name has characters that are not allowed.
    #[error("cannot use `{0}` as a name: 1 to 64 letters, digits, `.`, `_` or `-` are allowed")]
    Name(String),
    /// The time of an old or of a new key ends too far ahead.
    #[error(
        "cannot rotate the key `{name}`: its old or its new one would end after the year 9999; keep the old one for less time, or create one of another name"
    )]
    Time {
        /// The name.
        name: String,
    },
    /// The keys could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl FileError {
    pub(super) fn io(verb: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { verb, path: path.to_owned(), error }
    }

    pub(super) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into() }
    }
}
