//! A file that looks like a model and cannot be used, with what is wrong with it.

use std::io;
use std::path::PathBuf;

use crate::gguf::GgufError;

/// A file or folder that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The name the model would have.
    pub name: String,
    /// The file (of a sharded set: the first that is there), or the folder.
    pub path: PathBuf,
    /// What is wrong.
    pub fault: Fault,
}

/// What can be wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The operating system refused to open it.
    #[error("cannot open it: {0}")]
    Unreadable(io::ErrorKind),
    /// The header is wrong.
    #[error(transparent)]
    Header(#[from] GgufError),
    /// A sharded set is not complete.
    #[error("{have} of {want} shards are there; missing: {}", list(missing, have, want))]
    ShardsMissing {
        /// Shards found.
        have: u32,
        /// Shards there should be, by the names of those found.
        want: u32,
        /// File names of missing shards, the first few of them.
        missing: Vec<String>,
    },
    /// A shard's header contradicts its file name.
    #[error("cannot use shard {file}: its header says part {part} of {of}")]
    ShardMixedUp {
        /// The file name.
        file: String,
        /// The part that the header claims to be, counted from 1.
        part: u64,
        /// The number of parts that the header claims.
        of: u64,
    },
    /// The models folder has more entries than are read.
    #[error("cannot search all of it: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
}

fn list(missing: &[String], have: &u32, want: &u32) -> String {
    let unnamed = (want - have) as usize - missing.len();
    let mut text = missing.join(", ");
    if unnamed > 0 {
        text.push_str(&format!(" and {unnamed} more"));
    }
    text
}
