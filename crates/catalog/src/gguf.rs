//! The header of one GGUF file: its small facts and where its bytes are, never its vocabulary.

mod cursor;
mod error;
mod tensors;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use error::GgufError;
pub use tensors::{Block, Weights};
pub use value::Value;

use cursor::Cursor;
use tensors::Tensors;

/// A header with more keys than this is not a model's: real ones have below a hundred.
const MAX_KEYS: u64 = 65_536;
/// Longest accepted key, in bytes; the longest real ones are about 60.
const MAX_KEY: u64 = 1_024;
/// What keys and values of one header may take in memory together.
const MAX_KEPT: usize = 1 << 20;
/// Tensor data starts at a multiple of this unless `general.alignment` says otherwise.
const ALIGNMENT: u64 = 32;

/// What the header of a GGUF file says. Vocabularies and other long values are left out, so a
/// header takes a few kilobytes whatever the size of the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gguf {
    version: u32,
    /// Sorted by key: a binary search over one allocation is smaller than a map of a hundred keys.
    kv: Vec<(Box<str>, Value)>,
    weights: Weights,
    file_len: u64,
}

impl Gguf {
    /// Reads the header of a file. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is no GGUF file that llama.cpp would load.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        let file = File::open(path).map_err(|e| GgufError::Io { at: 0, kind: e.kind() })?;
        let len = file.metadata().map_err(|e| GgufError::Io { at: 0, kind: e.kind() })?.len();
        Self::parse(file, len)
    }

    /// Reads a header from `source`, which is `file_len` bytes long.
    ///
    /// # Errors
    /// As [`Gguf::read`].
    pub fn parse<R: Read + Seek>(source: R, file_len: u64) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(source, file_len);
        let version = magic_and_version(&mut cursor)?;
        let tensor_count = cursor.u64("tensor count")?;
        let key_count = cursor.u64("key count")?;
        if key_count > MAX_KEYS {
            return Err(GgufError::LimitReached { what: "keys", count: key_count, limit: MAX_KEYS });
        }
        let kv = read_keys(&mut cursor, key_count)?;
        let mut header = Self { version, kv, weights: Weights::default(), file_len };
        let alignment = header.alignment()?;
        header.weights =
            Tensors::read(&mut cursor, tensor_count, alignment)?.weigh(cursor.position(), alignment, file_len)?;
        Ok(header)
    }

    /// The format's version, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The length of the file in bytes.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// What the tensors weigh, by the places where the engine can put them.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.kv.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        self.kv.get(at).map(|(_, value)| value)
    }

    /// All keys and values, sorted by key.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.kv.iter().map(|(key, value)| (&**key, value))
    }

    /// The value of a key that holds a short text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key that holds a whole number which is not negative.
    #[must_use]
    pub fn uint(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_uint()
    }

    /// The architecture, such as `llama`.
    #[must_use]
    pub fn arch(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// The value of `<architecture>.<key>`.
    #[must_use]
    pub fn arch_get(&self, key: &str) -> Option<&Value> {
        self.get(&format!("{}.{key}", self.arch()?))
    }

    /// The value of `<architecture>.<key>` where that is a whole number which is not negative.
    #[must_use]
    pub fn arch_uint(&self, key: &str) -> Option<u64> {
        self.arch_get(key)?.as_uint()
    }

    /// As [`Gguf::arch_uint`], for a number that counts or measures something: the engine's own saver writes one that a
    /// model does not have as 0, or as 4294967295.
    #[must_use]
    pub fn arch_size(&self, key: &str) -> Option<u64> {
        self.arch_uint(key).filter(|size| (1..u64::from(u32::MAX)).contains(size))
    }

    /// The bytes of the longest token, where every token stands for a part of the text that is not longer than itself:
    /// so with the tokenizers that keep every byte. A file writes some bytes with more than one, never with less.
    ///
    /// The others have no such bound: `bert` makes one token of a word that it does not know, `t5` one of a whole run
    /// of letters that it does not know, after a table has made others of them; `plamo2` leaves marks of byte order
    /// out.
    pub(crate) fn longest_token(&self) -> Option<u64> {
        match (self.text("tokenizer.ggml.model")?, self.get("tokenizer.ggml.tokens")?) {
            ("gpt2" | "llama" | "rwkv", Value::Texts { longest, .. }) if *longest > 0 => Some(*longest),
            _ => None,
        }
    }

    /// Takes the tensors of another shard of the same model as its own.
    pub(crate) fn absorb(&mut self, shard: &Self) {
        self.weights.add(&shard.weights);
        self.file_len = self.file_len.saturating_add(shard.file_len);
    }

    fn alignment(&self) -> Result<u64, GgufError> {
        match self.get("general.alignment") {
            None => Ok(ALIGNMENT),
            Some(value) => match value.as_uint() {
                Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 30 => Ok(alignment),
                _ => Err(GgufError::Alignment),
            },
        }
    }
}

fn magic_and_version<R: Read + Seek>(cursor: &mut Cursor<R>) -> Result<u32, GgufError> {
    match cursor.bytes::<4>("magic") {
        Ok(magic) if &magic == b"GGUF" => {}
        Err(GgufError::Io { at, kind }) => return Err(GgufError::Io { at, kind }),
        _ => return Err(GgufError::NotGguf),
    }
    match cursor.u32("version")? {
        version @ (2 | 3) => Ok(version),
        // A version whose low half is empty was written with the other byte order.
        version if version & 0xffff == 0 && version != 0 => Err(GgufError::BigEndian),
        version => Err(GgufError::Version(version)),
    }
}

fn read_keys<R: Read + Seek>(cursor: &mut Cursor<R>, count: u64) -> Result<Vec<(Box<str>, Value)>, GgufError> {
    let mut kv: Vec<(Box<str>, Value)> = Vec::new();
    let mut kept = 0;
    for _ in 0..count {
        let key = cursor.text("key", MAX_KEY)?;
        let value = Value::read(cursor)?;
        kept += size_of::<(Box<str>, Value)>() + key.len() + value.heap();
        if kept > MAX_KEPT {
            return Err(GgufError::LimitReached { what: "bytes of keys", count: kept as u64, limit: MAX_KEPT as u64 });
        }
        kv.push((key, value));
    }
    kv.sort_by(|a, b| a.0.cmp(&b.0));
    kv.shrink_to_fit();
    match kv.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(GgufError::DuplicateKey(pair[0].0.to_string())),
        None => Ok(kv),
    }
}
