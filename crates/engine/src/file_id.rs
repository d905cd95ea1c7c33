//! The identity of a file: a replaced or rewritten file has another one.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The identity of a file at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileId {
    /// Its length.
    bytes: u64,
    /// The time of its last change, in nanoseconds since 1970.
    written_ns: i128,
    inode: u64,
}

impl FileId {
    /// Reads the identity of a file; a missing file has the default one. Blocks as long as the file system does.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        path.metadata().map_or_else(
            |_| Self::default(),
            |meta| Self {
                bytes: meta.len(),
                written_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
                inode: meta.ino(),
            },
        )
    }
}

/// A file is not the one that the model was planned with.
#[derive(Debug, thiserror::Error)]
#[error("{} has been replaced or is gone", .0.display())]
pub(crate) struct FileChanged(pub(crate) PathBuf);

/// Checks that files have not changed; an unknown identity matches every file. Blocks as long as the file system does.
pub(crate) fn unchanged(files: &[(PathBuf, FileId)]) -> Result<(), FileChanged> {
    let has_changed = |(path, known): &&(PathBuf, FileId)| *known != FileId::default() && FileId::of(path) != *known;
    files.iter().find(has_changed).map_or(Ok(()), |(path, _)| Err(FileChanged(path.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_removed_has_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, "one").unwrap();
        let first = FileId::of(&path);
        assert_eq!(FileId::of(&path), first);
        std::fs::write(&path, "longer").unwrap();
        assert_ne!(FileId::of(&path), first);
        std::fs::write(folder.path().join("n"), "one").unwrap();
        std::fs::rename(folder.path().join("n"), &path).unwrap();
        assert_ne!(FileId::of(&path), first);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(FileId::of(&path), FileId::default());
    }
}
