//! What a file is known by: another one in its place, or the same one written anew, is another file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The identity of a file at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileId {
    /// Its length.
    bytes: u64,
    /// When it was written last, in nanoseconds since 1970.
    written_ns: i128,
    inode: u64,
}

impl FileId {
    /// Looks at a file; one that is not there has the identity of nothing. Blocks for as long as the file system does.
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

/// A file is another one than it was to be: what is there now was not looked at yet.
#[derive(Debug, thiserror::Error)]
#[error("{} has been replaced or is gone", .0.display())]
pub(crate) struct FileChanged(pub(crate) PathBuf);

/// Looks whether files are what they were; one of which nothing is known is any. Blocks for as long as the file system does.
pub(crate) fn unchanged(files: &[(PathBuf, FileId)]) -> Result<(), FileChanged> {
    let is_other = |(path, known): &&(PathBuf, FileId)| *known != FileId::default() && FileId::of(path) != *known;
    files.iter().find(is_other).map_or(Ok(()), |(path, _)| Err(FileChanged(path.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_another_one_when_it_is_written_replaced_or_gone() {
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
