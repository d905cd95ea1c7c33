//! What is known of a finished file: a hidden file beside it.

use std::io;
use std::path::{Path, PathBuf};

use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};

use crate::digest::{Borders, Sum};
use crate::download::Origin;
use crate::error::HubError;

/// The states of a file of a terabyte are 4 MB.
const LONGEST: u64 = 16 << 20;

/// Where a finished file came from, and its digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it came from.
    pub origin: Origin,
    /// Its size.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sum,
    /// The digest at each block border.
    pub(crate) borders: Borders,
}

impl Record {
    /// The record of a file; `None` where it has none that can be read. Blocks.
    #[must_use]
    pub fn of(file: &Path) -> Option<Self> {
        StateFile::new(record_path(file), LONGEST).read()
    }

    /// Writes the record. Blocks.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        StateFile::new(record_path(file), LONGEST).synced().write(self)
    }
}

/// Removes a downloaded file and its record. Blocks.
///
/// # Errors
/// When the file cannot be removed; then its record stays.
pub fn remove(file: &Path) -> Result<(), HubError> {
    std::fs::remove_file(file).map_err(HubError::disk("remove", file))?;
    let record = record_path(file);
    match std::fs::remove_file(&record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(HubError::disk("remove", &record)(error)),
        _ => Ok(()),
    }
}

/// Where a file's record is.
pub(crate) fn record_path(file: &Path) -> PathBuf {
    hidden(file, ".pull.json")
}

/// A hidden neighbour of a file, which scans of models folders leave out.
pub(crate) fn hidden(file: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(ending);
    file.with_file_name(name)
}
