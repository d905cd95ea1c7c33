//! A file that is replaced whole or not at all.

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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // Two processes do not share a number, so neither writes into the other's file.
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let outcome = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
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
