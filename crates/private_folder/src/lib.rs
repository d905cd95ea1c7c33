//! Folders that only their user can enter.
//!
//! # Theory of operation
//!
//! Sockets and records of a running program lie in such a folder: its mode is what keeps other users from them. [`make`]
//! makes one, or checks that an existing one belongs to this user and that no other can enter it. It follows no links: in a
//! folder such as `/tmp` another user can have made one. [`open`] opens one to lock it; the lock is on the folder itself,
//! since a lock file could be removed.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let base = tempfile::tempdir()?;
//! let folder = base.path().join("sockets");
//! auxot_private_folder::make(&folder)?;
//! auxot_private_folder::open(&folder)?.try_lock()?;
//! # Ok(())
//! # }
//! ```

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFolderError {
    /// A system call failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Other users could write or read there.
    #[error("cannot use {}: {reason}; remove it", path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes a folder that only our user can enter, or checks that an existing one is such. Blocks.
///
/// # Errors
/// The system does not allow it, or other users can enter the folder.
pub fn make(path: &Path) -> Result<(), PrivateFolderError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
        Err(fault) => return Err(io_fault("create", path)(fault)),
    }
    check(path)
}

/// Checks that an existing folder is one that only our user can enter. Blocks.
///
/// # Errors
/// It is none, or other users can enter it.
pub fn check(path: &Path) -> Result<(), PrivateFolderError> {
    // Without following links: in /tmp another user can have made one.
    let meta = path.symlink_metadata().map_err(io_fault("inspect", path))?;
    let reason = if !meta.is_dir() {
        "it is not a directory".to_owned()
    } else if meta.uid() != geteuid().as_raw() {
        format!("it belongs to user {}, not to {}", meta.uid(), geteuid())
    } else if meta.mode() & 0o077 != 0 {
        format!("its mode is {:o}, so others can enter it", meta.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(PrivateFolderError::NotPrivate { path: path.to_owned(), reason })
}

/// Opens an existing folder; a link to one does not count. Blocks.
///
/// # Errors
/// It is no folder, or the system does not allow it.
pub fn open(path: &Path) -> Result<File, PrivateFolderError> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
    options.open(path).map_err(io_fault("open", path))
}

/// Whether an open folder is the one at `path`. Blocks.
#[must_use]
pub fn is_at(folder: &File, path: &Path) -> bool {
    let Ok((opened, there)) = folder.metadata().and_then(|opened| Ok((opened, path.symlink_metadata()?))) else {
        return false;
    };
    (opened.dev(), opened.ino()) == (there.dev(), there.ino())
}

fn io_fault<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> PrivateFolderError + use<'a> {
    move |source| PrivateFolderError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_folder_is_private_and_stays_in_use() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("private");
        make(&path).unwrap();
        make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        let opened = open(&path).unwrap();
        assert!(is_at(&opened, &path));
        std::fs::remove_dir(&path).unwrap();
        assert!(!is_at(&opened, &path));
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let fault = make(base.path()).unwrap_err();
        assert!(fault.to_string().contains("mode is 755"), "{fault}");
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let base = tempfile::tempdir().unwrap();
        // Only root can change the owner of a folder; for other users the root of the file system is another user's.
        let path = if geteuid().is_root() {
            let path = base.path().join("other");
            make(&path).unwrap();
            std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
            path
        } else {
            PathBuf::from("/")
        };
        let fault = make(&path).unwrap_err();
        assert!(fault.to_string().contains("belongs to user"), "{fault}");
    }

    #[test]
    fn a_link_or_a_file_in_its_place_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let (link, private, file) = (base.path().join("link"), base.path().join("private"), base.path().join("file"));
        make(&private).unwrap();
        std::os::unix::fs::symlink(&private, &link).unwrap();
        std::fs::write(&file, "").unwrap();
        for path in [link, file] {
            assert!(matches!(make(&path), Err(PrivateFolderError::NotPrivate { .. })), "{}", path.display());
            assert!(open(&path).is_err(), "{}", path.display());
        }
    }
}
