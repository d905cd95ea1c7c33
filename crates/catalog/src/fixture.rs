//! Writes tiny GGUF files for the tests of this crate.

use std::path::Path;

/// A GGUF file in the making.
#[derive(Clone, Default)]
pub(crate) struct Tiny {
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<u64>, u32)>,
}

const F32: u32 = 0;
const ALIGNMENT: usize = 32;

impl Tiny {
    /// A small llama: two layers, a token embedding, an output.
    pub(crate) fn llama() -> Self {
        Self::new()
            .text("general.architecture", "llama")
            .u32("llama.block_count", 2)
            .u32("llama.context_length", 4096)
            .u32("llama.embedding_length", 8)
            .texts("tokenizer.ggml.tokens", &["<s>", "a", "b"])
            .tensor("token_embd.weight", &[8, 3], F32)
            .tensor("blk.0.attn_q.weight", &[8, 8], F32)
            .tensor("blk.1.ffn_up_exps.weight", &[8, 8], F32)
            .tensor("output.weight", &[8, 3], F32)
    }

    pub(crate) fn new() -> Self {
        Self { version: 3, ..Self::default() }
    }

    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    pub(crate) fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        let mut bytes = string(key);
        bytes.extend(kind.to_le_bytes());
        bytes.extend(value);
        self.keys.push(bytes);
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &string(value))
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn i32s(self, key: &str, values: &[i32]) -> Self {
        let mut bytes = 5u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    pub(crate) fn texts(self, key: &str, values: &[&str]) -> Self {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| string(value)));
        self.raw(key, 9, &bytes)
    }

    pub(crate) fn split(self, no: u16, count: u16) -> Self {
        self.raw("split.no", 2, &no.to_le_bytes()).raw("split.count", 2, &count.to_le_bytes())
    }

    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], kind: u32) -> Self {
        self.tensors.push((name.to_string(), shape.to_vec(), kind));
        self
    }

    /// The whole file. Tensors are zeros; those of an unknown type get 64 bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        bytes.extend(self.keys.concat());
        let mut offset = 0u64;
        for (name, shape, kind) in &self.tensors {
            bytes.extend(string(name));
            bytes.extend((shape.len() as u32).to_le_bytes());
            bytes.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            let size = if *kind == F32 { shape.iter().product::<u64>() * 4 } else { 64 };
            offset += size.next_multiple_of(ALIGNMENT as u64);
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT) + offset as usize, 0);
        bytes
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, self.bytes()).unwrap();
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}
