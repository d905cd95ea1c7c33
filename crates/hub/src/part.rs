//! The part file of a download: locked, resumed, and given its name once it is whole. All of it blocks.
//!
//! The lock is that of the part file itself. A process that waited for it finds out, by the file's identity, that the part
//! has become the finished file meanwhile.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use auxot_state_file::StateFile;
use serde::{Deserialize, Serialize};

use crate::digest::{Borders, GrowingDigest, Sum};
use crate::download::{Item, Origin};
use crate::error::HubError;
use crate::record::{Record, hidden};

/// Bytes between two states of the digest: a download that is killed reads at most so many bytes again.
pub(crate) const BLOCK: u64 = 64 << 20;
/// The states of a file of a terabyte are 4 MB.
const LONGEST_JOURNAL: u64 = 16 << 20;
/// Bytes of one read.
const PIECE: usize = 1 << 20;

/// What is known of a part file, for another process.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Journal {
    origin: Origin,
    size: Option<u64>,
    sha256: Option<Sum>,
    /// The validator of the content, for `If-Range`.
    etag: Option<String>,
    borders: Borders,
    /// The digest of the whole file, once it is verified.
    whole: Option<Sum>,
}

impl Journal {
    /// Whether the part file may go on as this item.
    fn is_for(&self, item: &Item) -> bool {
        match (self.sha256, item.sha256) {
            (Some(known), Some(expected)) => known == expected,
            // Without a digest only the server's validator keeps two contents apart.
            (_, None) => self.origin == item.origin && (self.etag.is_some() || self.whole.is_some()),
            (None, Some(_)) => false,
        }
    }
}

/// A part file that this process alone writes.
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    journal_file: StateFile<Journal>,
    journal: Journal,
    digest: GrowingDigest,
}

/// Where the part file of a file is.
pub(crate) fn part_path(target: &Path) -> PathBuf {
    hidden(target, ".part")
}

impl Part {
    /// Opens or creates the part file; `waiting` is called before a wait for another process.
    pub(crate) fn open(target: &Path, item: &Item, block: u64, waiting: impl FnOnce()) -> Result<Self, HubError> {
        let path = part_path(target);
        let file = lock(&path, waiting).map_err(HubError::disk("lock", &path))?;
        let journal_file = StateFile::new(hidden(target, ".part.json"), LONGEST_JOURNAL);
        let fresh = || {
            let (size, sha256) = (item.size, item.sha256);
            Journal { origin: item.origin.clone(), size, sha256, etag: None, borders: Borders::new(block), whole: None }
        };
        let earlier =
            journal_file.read().filter(|journal: &Journal| journal.is_for(item) && journal.borders.block == block);
        let journal = earlier.unwrap_or_else(fresh);
        let mut part = Self { digest: GrowingDigest::new(block), path, file, journal_file, journal };
        let fault = HubError::disk("read", &part.path);
        part.resume().map_err(fault)?;
        part.journal.origin = item.origin.clone();
        Ok(part)
    }

    /// Reads what the last border leaves open. A part without a journal, or longer than its file, begins anew.
    fn resume(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if self.journal.whole.is_some() && self.journal.size == Some(length) {
            self.digest = GrowingDigest::resume(self.journal.borders.clone(), length);
            return Ok(());
        }
        self.journal.whole = None;
        let known = self.journal.sha256.is_some() || self.journal.etag.is_some();
        if !known || self.journal.size.is_some_and(|size| length > size) {
            return self.cut(0);
        }
        self.digest = GrowingDigest::resume(self.journal.borders.clone(), length);
        self.file.seek(SeekFrom::Start(self.digest.length()))?;
        let mut piece = vec![0; PIECE];
        loop {
            match self.file.read(&mut piece)? {
                0 => return Ok(()),
                count => _ = self.digest.update(&piece[..count]),
            }
        }
    }

    /// Bytes that are here.
    pub(crate) fn have(&self) -> u64 {
        if self.journal.whole.is_some() { self.journal.size.unwrap_or_default() } else { self.digest.length() }
    }

    /// The size of the whole file, where it is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.journal.size
    }

    /// The digest that the file must have, where it is known.
    pub(crate) fn expected(&self) -> Option<Sum> {
        self.journal.sha256
    }

    /// The validator of the content so far.
    pub(crate) fn etag(&self) -> Option<&str> {
        self.journal.etag.as_deref()
    }

    /// Whether it is whole and verified.
    pub(crate) fn whole(&self) -> Option<Sum> {
        self.journal.whole
    }

    /// Notes what an answer states; what is known already stays.
    pub(crate) fn note(
        &mut self,
        size: Option<u64>,
        sha256: Option<Sum>,
        etag: Option<String>,
    ) -> Result<(), HubError> {
        self.journal.size = self.journal.size.or(size);
        self.journal.sha256 = self.journal.sha256.or(sha256);
        if etag.is_some() {
            self.journal.etag = etag;
        }
        self.save()
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(HubError::disk("write", &self.path))?;
        if self.digest.update(bytes) { self.save() } else { Ok(()) }
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self) -> Result<(), HubError> {
        self.journal.etag = None;
        let fault = HubError::disk("empty", &self.path);
        self.cut(0).map_err(fault)
    }

    /// Ends the file before a border.
    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        self.digest = GrowingDigest::resume(self.digest.borders().clone(), length);
        Ok(())
    }

    /// Ends the file before the first block that is not on the disk as it was received. Where all are, the received content
    /// itself is wrong, and the file begins anew.
    pub(crate) fn drop_damage(&mut self) -> Result<(), HubError> {
        let fault = HubError::disk("read", &self.path);
        let damaged = self.first_damaged().map_err(fault)?.unwrap_or(0);
        let fault = HubError::disk("cut", &self.path);
        self.cut(damaged * self.journal.borders.block).map_err(fault)
    }

    fn first_damaged(&mut self) -> io::Result<Option<u64>> {
        let borders = self.digest.borders().clone();
        for block in 0..borders.reach() / borders.block {
            let Some(mut digest) = borders.before(block) else { return Ok(Some(block)) };
            read_block(&mut self.file, block, borders.block, &mut digest)?;
            if !borders.is_same(block, digest, None) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// The digest of all bytes so far.
    pub(crate) fn sum(&self) -> Sum {
        self.digest.sum()
    }

    /// Notes that the file is whole and has this digest, once it is on the disk.
    pub(crate) fn finish(&mut self, sum: Sum) -> Result<(), HubError> {
        self.file.sync_data().map_err(HubError::disk("write", &self.path))?;
        self.journal.size = Some(self.digest.length());
        self.journal.whole = Some(sum);
        self.save()
    }

    /// Gives a whole file its name, with its record beside it.
    pub(crate) fn place(self, target: &Path) -> Result<(), HubError> {
        let (Some(sha256), Some(size)) = (self.journal.whole, self.journal.size) else { return Ok(()) };
        let record = Record { origin: self.journal.origin, size, sha256, borders: self.digest.borders().clone() };
        record.write(target).map_err(HubError::disk("write the record of", target))?;
        fs::rename(&self.path, target).map_err(HubError::disk("name", target))?;
        // Without it the next pull reads the folder's leftovers only.
        let _gone = fs::remove_file(self.journal_file.path());
        Ok(())
    }

    /// Removes the part and its journal.
    pub(crate) fn discard(self) {
        let _left_for_the_sweep = (fs::remove_file(&self.path), fs::remove_file(self.journal_file.path()));
    }

    fn save(&mut self) -> Result<(), HubError> {
        self.journal.borders = self.digest.borders().clone();
        self.journal_file.write(&self.journal).map_err(HubError::disk("write", self.journal_file.path()))
    }
}

/// Adds a block of a file to a digest.
pub(crate) fn read_block(file: &mut File, block: u64, size: u64, digest: &mut sha2::Sha256) -> io::Result<()> {
    use sha2::Digest as _;
    file.seek(SeekFrom::Start(block * size))?;
    let mut rest = file.take(size);
    let mut piece = vec![0; PIECE];
    loop {
        match rest.read(&mut piece)? {
            0 => return Ok(()),
            count => digest.update(&piece[..count]),
        }
    }
}

/// Opens and locks the file at a path. A file that lost its path while this process waited is another one by now.
fn lock(path: &Path, waiting: impl FnOnce()) -> io::Result<File> {
    let mut waiting = Some(waiting);
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|mine| mine.ino() == now.ino())) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests;
