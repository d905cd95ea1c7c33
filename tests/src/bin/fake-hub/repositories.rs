//! The repositories of a folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

/// The only commit of every repository.
pub(crate) const COMMIT: &str = "5a1ab1e0c0ffee0000000000000000000000f00d";

/// The largest file whose digest is computed.
const LARGEST: u64 = 4 << 30;

/// The folder of all repositories.
pub(crate) struct Repositories {
    root: PathBuf,
    /// Digests of files that do not change.
    sums: Mutex<HashMap<PathBuf, String>>,
}

/// A file of a repository.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) place: PathBuf,
    pub(crate) size: u64,
    /// Zeros for a file that is too large to be read here; a test wants its header only.
    pub(crate) sha256: String,
}

impl Repositories {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, sums: Mutex::new(HashMap::new()) }
    }

    /// All files of a repository; `None` where there is no such repository. Blocks.
    pub(crate) fn files(&self, owner: &str, name: &str) -> Option<Vec<File>> {
        let folder = self.root.join(owner).join(name);
        let mut paths = Vec::new();
        walk(&folder, &mut paths).ok()?;
        paths.sort();
        Some(paths.into_iter().filter_map(|place| self.file(&folder, place)).collect())
    }

    /// One file. Blocks.
    pub(crate) fn find(&self, owner: &str, name: &str, path: &str) -> Option<File> {
        let folder = self.root.join(owner).join(name);
        let place = folder.join(path);
        place.is_file().then(|| self.file(&folder, place))?
    }

    fn file(&self, folder: &Path, place: PathBuf) -> Option<File> {
        let size = place.metadata().ok()?.len();
        let path = place.strip_prefix(folder).ok()?.to_str()?.to_owned();
        let mut sums = self.sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sha256 = match sums.get(&place) {
            Some(known) => known.clone(),
            None if size > LARGEST => "0".repeat(64),
            None => {
                let mut digest = Sha256::new();
                std::io::copy(&mut std::fs::File::open(&place).ok()?, &mut HashWriter(&mut digest)).ok()?;
                let sum: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
                sums.insert(place.clone(), sum.clone());
                sum
            }
        };
        Some(File { path, place, size, sha256 })
    }
}

struct HashWriter<'d>(&'d mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}
