//! A file that is replaced whole or not at all.
//!
//! It is written beside the old one, under a name of this process alone, then moved over it. Whether it must also survive a
//! loss of power is for its owner to say, by `sync_all` in what is written: headers that can be read again need not, keys
//! must.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes a file beside `path` and puts it in its place. Readers see the old one or the new one; a crash leaves the old.
/// It is its owner's alone, as is a folder that is made for it.
///
/// # Errors
/// When the file cannot be written; then the old one is still there.
pub fn replace(path: &Path, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder_of(path))?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // Two processes do not share a number, so neither writes into the other's file.
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    // Left by one of the same number that crashed; or a trap, in a folder that others may write too.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let outcome = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|file| write(&file))
        .and_then(|()| fs::rename(&beside, path));
    if outcome.is_err() {
        // Half a file helps nobody; that it could not be removed either changes nothing.
        let _ = fs::remove_file(&beside);
    }
    outcome
}

/// The folder that a file lies in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
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
    fn what_lies_in_the_way_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&other, "mine").unwrap();
        symlink(&other, folder.path().join(format!("file.{}", std::process::id()))).unwrap();
        replace(&path, |mut file| file.write_all(b"new")).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&other).unwrap()), (b"new".into(), b"mine".into()));
    }
}
