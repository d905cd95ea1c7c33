//! Whether a downloaded file still has its content, block by block on all processors.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::GrowingDigest;
use crate::error::HubError;
use crate::part::read_block;
use crate::record::Record;

/// Bytes of one read.
const PIECE: usize = 1 << 20;

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The file is as it was downloaded.
    Sound,
    /// There is no record of it: this program has not downloaded it.
    Unrecorded,
    /// The file has another size.
    Size {
        /// Its size.
        found: u64,
        /// The size that it should have.
        expected: u64,
    },
    /// These blocks of it have changed: the offset of each.
    Damaged(Vec<u64>),
}

/// Compares a file with its record; `checked` is called with the bytes of each block that was read. Blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn verify(file: &Path, checked: &(dyn Fn(u64) + Sync)) -> Result<Finding, HubError> {
    let fault = |error| HubError::disk("read", file)(error);
    let found = std::fs::metadata(file).map_err(fault)?.len();
    let Some(record) = Record::of(file) else { return Ok(Finding::Unrecorded) };
    if found != record.size {
        return Ok(Finding::Size { found, expected: record.size });
    }
    let (next, damaged) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || -> io::Result<()> {
        let mut file = File::open(file)?;
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= record.borders.blocks(record.size) {
                return Ok(());
            }
            if !is_sound(&mut file, &record, block)? {
                damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(block * record.borders.block);
            }
            checked(record.borders.block.min(record.size - block * record.borders.block));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        ended.collect::<io::Result<()>>()
    })
    .map_err(fault)?;
    let mut damaged = damaged.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    damaged.sort_unstable();
    Ok(if damaged.is_empty() { Finding::Sound } else { Finding::Damaged(damaged) })
}

fn is_sound(file: &mut File, record: &Record, block: u64) -> io::Result<bool> {
    let Some(mut digest) = record.borders.before(block) else { return Ok(false) };
    read_block(file, block, record.borders.block, &mut digest)?;
    Ok(record.borders.is_same(block, digest, Some(record.sha256)))
}

/// The digest of a whole file. Blocks.
pub(crate) fn sum_of(file: &Path, block: u64) -> io::Result<GrowingDigest> {
    let mut digest = GrowingDigest::new(block);
    let mut file = File::open(file)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digest),
            count => _ = digest.update(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::Origin;

    #[test]
    fn damage_is_found_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.gguf");
        let mut content: Vec<u8> = (0..1000_u32).map(|number| (number % 251) as u8).collect();
        std::fs::write(&file, &content).unwrap();
        let check = || verify(&file, &|_| ()).unwrap();
        assert_eq!(check(), Finding::Unrecorded);
        let digest = sum_of(&file, 128).unwrap();
        let (origin, borders) = (Origin::File("/x".into()), digest.borders().clone());
        Record { origin, size: 1000, sha256: digest.sum(), borders }.write(&file).unwrap();
        assert_eq!(check(), Finding::Sound);
        content[300] ^= 1;
        content[999] ^= 1;
        std::fs::write(&file, &content).unwrap();
        assert_eq!(check(), Finding::Damaged(vec![256, 896]));
        std::fs::write(&file, &content[1..]).unwrap();
        assert_eq!(check(), Finding::Size { found: 999, expected: 1000 });
        let bytes = AtomicU64::new(0);
        std::fs::write(&file, &content).unwrap();
        verify(&file, &|count| _ = bytes.fetch_add(count, Ordering::Relaxed)).unwrap();
        assert_eq!(bytes.into_inner(), 1000);
    }
}
