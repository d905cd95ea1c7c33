//! Minimal model files: a true GGUF header, a tokenizer of three words and one small tensor.
//!
//! They are enough for a catalog to name them and for the fake engine to load them; the real engine loads the models
//! that `scripts/make-tiny-models.py` writes.

use std::path::{Path, PathBuf};

/// What the header says. `None` leaves the key out.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// `general.architecture`.
    pub arch: String,
    /// `general.name`.
    pub name: Option<String>,
    /// `general.file_type`, for instance 15 for `Q4_K_M`.
    pub file_type: Option<u32>,
    /// `<arch>.context_length`.
    pub context_length: Option<u32>,
    /// `<arch>.block_count`.
    pub block_count: u32,
    /// `<arch>.pooling_type`: 1 mean, 4 rank.
    pub pooling_type: Option<u32>,
    /// `split.no` and `split.count` of one part of a sharded model.
    pub split: Option<(u16, u16)>,
    /// `tokenizer.ggml.model`.
    pub tokenizer: Option<String>,
}

impl Default for ModelFile {
    fn default() -> Self {
        ModelFile {
            arch: "llama".into(),
            name: None,
            file_type: Some(1),
            context_length: Some(8192),
            block_count: 2,
            pooling_type: None,
            split: None,
            tokenizer: None,
        }
    }
}

impl ModelFile {
    /// A chat model whose file name says the rest.
    pub fn named(name: &str) -> ModelFile {
        ModelFile { name: Some(name.to_owned()), ..ModelFile::default() }
    }

    /// Writes the file `dir/file_name` and gives its path.
    pub fn write(&self, dir: &Path, file_name: &str) -> PathBuf {
        let path = dir.join(file_name);
        std::fs::write(&path, self.bytes()).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// The whole file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut pairs = Pairs::default();
        pairs.text("general.architecture", &self.arch);
        if let Some(name) = &self.name {
            pairs.text("general.name", name);
        }
        if let Some(file_type) = self.file_type {
            pairs.u32("general.file_type", file_type);
        }
        if let Some((number, count)) = self.split {
            pairs.u16("split.no", number);
            pairs.u16("split.count", count);
        }
        let arch = &self.arch;
        if let Some(length) = self.context_length {
            pairs.u32(&format!("{arch}.context_length"), length);
        }
        if let Some(pooling) = self.pooling_type {
            pairs.u32(&format!("{arch}.pooling_type"), pooling);
        }
        pairs.u32(&format!("{arch}.block_count"), self.block_count);
        pairs.u32(&format!("{arch}.embedding_length"), 32);
        pairs.u32(&format!("{arch}.attention.head_count"), 4);
        pairs.u32(&format!("{arch}.attention.head_count_kv"), 2);
        if let Some(tokenizer) = &self.tokenizer {
            pairs.text("tokenizer.ggml.model", tokenizer);
        }
        pairs.texts("tokenizer.ggml.tokens", &["<unk>", "<s>", "</s>"]);
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(1_u64.to_le_bytes());
        file.extend(pairs.count.to_le_bytes());
        file.extend(pairs.bytes);
        put_text(&mut file, "token_embd.weight");
        file.extend(2_u32.to_le_bytes());
        file.extend(32_u64.to_le_bytes());
        file.extend(3_u64.to_le_bytes());
        // Type 0 is f32; the data begins at offset 0 of the data section.
        file.extend(0_u32.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend([0; 32 * 3 * 4]);
        file
    }
}

/// Key-value pairs of a header, with the type numbers of GGUF v3.
#[derive(Default)]
pub(crate) struct Pairs {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u64,
}

impl Pairs {
    fn key(&mut self, key: &str, kind: u32) {
        self.count += 1;
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key, 8);
        put_text(&mut self.bytes, value);
    }

    fn u16(&mut self, key: &str, value: u16) {
        self.key(key, 2);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn texts(&mut self, key: &str, values: &[&str]) {
        self.key(key, 9);
        self.bytes.extend(8_u32.to_le_bytes());
        self.bytes.extend((values.len() as u64).to_le_bytes());
        for value in values {
            put_text(&mut self.bytes, value);
        }
    }
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
