//! Headers that were read before, by the state of their file, so that a rescan reads only what has changed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};

use crate::files::Found;
use crate::gguf::{Gguf, GgufError};
use crate::identity::Identity;

/// The longest remembered header that is read, in bytes of text; real ones take a few thousand.
const MAX_LINE: u64 = 4 << 20;
/// More headers than this are not remembered on disk.
const MAX_LINES: usize = 20_000;

/// What is known of files without opening them.
#[derive(Debug, Default)]
pub(crate) struct HeaderCache {
    files: HashMap<PathBuf, Kept>,
    /// Files that had to be opened.
    pub(crate) opened: usize,
}

#[derive(Debug, Clone)]
struct Kept {
    identity: Identity,
    header: Result<Arc<Gguf>, GgufError>,
}

/// One line of the file on disk.
#[derive(Serialize, Deserialize)]
struct Line<P, H> {
    path: P,
    identity: Identity,
    header: H,
}

impl HeaderCache {
    /// The header of a file: from `earlier` where the file is still the same, else from the file.
    pub(crate) fn header(&mut self, file: &Found, earlier: &Self) -> Result<Arc<Gguf>, GgufError> {
        let kept = match earlier.files.get(&file.path) {
            Some(kept) if kept.identity == file.identity => kept.clone(),
            _ => {
                self.opened += 1;
                Kept { identity: file.identity, header: Gguf::read(&file.path).map(Arc::new) }
            }
        };
        // A disk that failed may work the next time, with the file unchanged.
        if !matches!(kept.header, Err(GgufError::Io { .. })) {
            self.files.insert(file.path.clone(), kept.clone());
        }
        kept.header
    }

    /// Whether the file at this path has the same state in both caches.
    pub(crate) fn same(&self, earlier: &Self, path: &Path) -> bool {
        let identity = |header_cache: &Self| header_cache.files.get(path).map(|kept| kept.identity);
        identity(self).is_some() && identity(self) == identity(earlier)
    }

    /// The state of a file when its header was read.
    pub(crate) fn identity(&self, path: &Path) -> Option<Identity> {
        self.files.get(path).map(|kept| kept.identity)
    }

    /// Reads what [`HeaderCache::write`] wrote. What cannot be read is not remembered, which costs time and nothing
    /// else.
    pub(crate) fn read(path: &Path) -> Self {
        let lines = StateFile::<Line<PathBuf, Gguf>>::new(path, MAX_LINE);
        let files = lines
            .read_lines(MAX_LINES)
            .map(|Line { path, identity, header }| (path, Kept { identity, header: Ok(Arc::new(header)) }));
        Self { files: files.collect(), opened: 0 }
    }

    /// Writes all good headers, whole or not at all: another worker may be reading or writing the same file. A path
    /// that is no UTF-8 has no JSON; its header is read again after each start.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let good = self.files.iter().filter_map(|(path, kept)| {
            Some(Line { path, identity: kept.identity, header: &**kept.header.as_ref().ok()? })
        });
        StateFile::<Line<PathBuf, Gguf>>::new(path, MAX_LINE).write_lines(good.take(MAX_LINES))
    }
}
