//! A file with JSON in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::replace::replace;

/// A file with one JSON value, or one per line.
#[derive(Debug, Clone)]
pub struct StateFile<T> {
    path: PathBuf,
    longest: u64,
    synced: bool,
    value: PhantomData<fn() -> T>,
}

impl<T> StateFile<T> {
    /// The file at `path`. A value of more than `longest` bytes is not read.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, longest: u64) -> Self {
        Self { path: path.into(), longest, synced: false, value: PhantomData }
    }

    /// The same file, whose content also survives a loss of power once it is written.
    #[must_use]
    pub fn synced(self) -> Self {
        Self { synced: true, ..self }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn replace(&self, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        replace(&self.path, |file| {
            write(file)?;
            if self.synced { file.sync_all() } else { Ok(()) }
        })
    }
}

impl<T: Serialize + DeserializeOwned> StateFile<T> {
    /// The value, if there is one that can be read. Blocks.
    #[must_use]
    pub fn read(&self) -> Option<T> {
        let mut text = Vec::new();
        File::open(&self.path).ok()?.take(self.longest.saturating_add(1)).read_to_end(&mut text).ok()?;
        if text.len() as u64 > self.longest {
            return None;
        }
        serde_json::from_slice(&text).ok()
    }

    /// Replaces the file by one with this value. Blocks.
    ///
    /// # Errors
    /// When the value has no JSON, or the file cannot be written; then the old file is still there.
    pub fn write(&self, value: &T) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(value)?;
        self.replace(|mut file| file.write_all(&text))
    }

    /// The values of a file with one per line, without lines that cannot be read; not more than `most` lines. Blocks.
    pub fn read_lines(&self, most: usize) -> impl Iterator<Item = T> + use<'_, T> {
        let mut file = File::open(&self.path).ok().map(BufReader::new);
        let mut line = String::new();
        let values = (0..most).map_while(move |_| {
            line.clear();
            match file.as_mut()?.take(self.longest).read_line(&mut line) {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(serde_json::from_str(&line).ok()),
            }
        });
        values.flatten()
    }

    /// Replaces the file by one with a value per line, each in the form of `T`, without values that have no JSON. Blocks.
    ///
    /// # Errors
    /// When the file cannot be written; then the old file is still there.
    pub fn write_lines(&self, values: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
        self.replace(|file| {
            let mut file = BufWriter::new(file);
            for text in values.filter_map(|value| serde_json::to_vec(&value).ok()) {
                file.write_all(&text)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_or_overlong_file_is_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::<Vec<u32>>::new(folder.path().join("f"), 8).synced();
        assert_eq!(file.read(), None);
        file.write(&vec![1]).unwrap();
        assert_eq!(file.read(), Some(vec![1]));
        for damage in ["", "[1", "{}", "[1,2,3,4]"] {
            std::fs::write(file.path(), damage).unwrap();
            assert_eq!(file.read(), None, "{damage}");
        }
        std::fs::write(file.path(), "[1,2,34]").unwrap();
        assert_eq!(file.read(), Some(vec![1, 2, 34]), "as long as is allowed");
    }

    #[test]
    fn lines_that_cannot_be_read_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::<u32>::new(folder.path().join("f"), 8);
        assert_eq!(file.read_lines(9).count(), 0);
        file.write_lines([1, 2, 3].into_iter()).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"1\n2\n3\n");
        assert_eq!(file.read_lines(2).collect::<Vec<_>>(), [1, 2]);
        std::fs::write(file.path(), "1\nx\n[[[[[[[[[[[[[[[[\n\n4").unwrap();
        assert_eq!(file.read_lines(9).collect::<Vec<_>>(), [1, 4]);
    }
}
