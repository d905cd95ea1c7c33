//! Atomic replacement of a file.
//!
//! The new content is written beside the old file, under a name that no other process can use, then moved over it. Whether
//! it must also survive a loss of power the caller decides, by `sync_all` in what it writes: headers that can be read again
//! need not, keys must.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file beside `path` and moves it over `path`. Readers find the old file or the new one; a crash leaves the old
/// one. Only the owner can read the file and the folders that are made for it. A link at `path` is replaced, not followed.
///
/// # Errors
/// When the file cannot be written; then the old one is still there.
pub fn replace(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Made with mode 0600, and removed when it is dropped before it has its place.
    let file = NamedTempFile::new_in(folder)?;
    write(file.as_file())?;
    file.persist(path)?;
    Ok(())
}

/// The folder that a file lies in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        replace(&path, |mut file| file.write_all(b"one")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder_of(&path)).unwrap().permissions().mode() & 0o777, 0o700);
        let half = |mut file: &File| file.write_all(b"half").and(Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(replace(&path, half).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, |mut file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder_of(&path)).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&other, "mine").unwrap();
        symlink(&other, &path).unwrap();
        replace(&path, |mut file| file.write_all(b"new")).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"new".into(), b"mine".into()));
        assert!(!path.is_symlink());
    }
}
