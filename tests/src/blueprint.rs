//! Models of any size as sparse files: a real header, and the tensors as a hole in the file.
//!
//! A test of a large model needs only its sizes: they decide its name, estimate and placement. The sizes of
//! well-known models are here ([`Blueprint::llama_70b`], …), quantised as `llama-quantize` would do it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::gguf::{Pairs, put_text};

/// How numbers are stored, by the type numbers of GGUF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    F32 = 0,
    Q4_0 = 2,
    Q8_0 = 8,
    Q4K = 12,
    Q5K = 13,
    Q6K = 14,
}

impl Type {
    /// The bytes of this many numbers.
    fn bytes(self, numbers: u64) -> u64 {
        let (numbers_of_block, bytes_of_block) = match self {
            Self::F32 => (1, 4),
            Self::Q4_0 => (32, 18),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        };
        numbers / numbers_of_block * bytes_of_block
    }
}

/// A quantisation of a whole model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    /// Everything in 4 bits, the output in 6.
    Q4_0,
    /// 4 bits, with more of them where they matter most.
    Q4KM,
    /// 8 bits.
    Q8_0,
}

impl Quant {
    /// Its form in a file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4_0 => "q4_0",
            Self::Q4KM => "q4_k_m",
            Self::Q8_0 => "q8_0",
        }
    }

    /// `general.file_type`.
    fn number(self) -> u32 {
        match self {
            Self::Q4_0 => 2,
            Self::Q4KM => 15,
            Self::Q8_0 => 7,
        }
    }
}

/// The sizes of a dense model.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// `general.architecture`.
    pub arch: &'static str,
    /// `general.name`, and the file's name with the quantisation behind it.
    pub name: &'static str,
    /// Repeating layers.
    pub layers: u64,
    /// Width of the hidden state between layers.
    pub embedding: u64,
    /// Width inside the feed-forward part.
    pub feed_forward: u64,
    /// Query heads.
    pub heads: u64,
    /// Query heads.
    pub kv_heads: u64,
    /// Width of one head.
    pub head: u64,
    /// Words of the vocabulary.
    pub words: u64,
    /// Tokens it was trained for.
    pub context: u32,
    /// How it is stored.
    pub quant: Quant,
}

impl Blueprint {
    /// Qwen2.5 14B.
    pub fn qwen_14b(quant: Quant) -> Blueprint {
        let (layers, embedding, feed_forward, heads) = (48, 5120, 13_824, 40);
        Blueprint { name: "qwen2.5-14b", layers, embedding, feed_forward, heads, ..Self::qwen_32b(quant) }
    }

    /// Qwen2.5 32B.
    pub fn qwen_32b(quant: Quant) -> Blueprint {
        let (arch, name, layers, embedding, feed_forward) = ("qwen2", "qwen2.5-32b", 64, 5120, 27_648);
        let (heads, kv_heads, head, words, context) = (40, 8, 128, 152_064, 32_768);
        Blueprint { arch, name, layers, embedding, feed_forward, heads, kv_heads, head, words, context, quant }
    }

    /// Llama 3.3 70B.
    pub fn llama_70b(quant: Quant) -> Blueprint {
        let (arch, name, layers, embedding, feed_forward) = ("llama", "llama-3.3-70b", 80, 8192, 28_672);
        let (heads, kv_heads, head, words, context) = (64, 8, 128, 128_256, 131_072);
        Blueprint { arch, name, layers, embedding, feed_forward, heads, kv_heads, head, words, context, quant }
    }

    /// A model that is small in all.
    pub fn small(name: &'static str) -> Blueprint {
        let (arch, layers, embedding, feed_forward, words) = ("llama", 32, 256, 768, 4000);
        let (heads, kv_heads, head, context, quant) = (4, 2, 64, 8192, Quant::Q4KM);
        Blueprint { arch, name, layers, embedding, feed_forward, heads, kv_heads, head, words, context, quant }
    }

    /// A model whose file has about so many MiB, whose cache takes [`Blueprint::SIZED_TOKEN`] for each token.
    pub fn sized(name: &'static str, mib: u64) -> Blueprint {
        let (layers, heads_of_cache, words) = (32_u64, 1_u64, 1000);
        // 18 bytes hold 32 numbers. A layer has 11 e² of them, except for the small key and value part.
        let of_layer = (mib << 20) / 18 * 32 / layers;
        let embedding = ((of_layer / 11).isqrt() / 256 * 256).max(256);
        // The rest goes into the feed-forward part, whose size is free.
        let attention = 2 * embedding * embedding + 2 * 128 * embedding;
        let feed_forward = (of_layer.saturating_sub(attention) / (3 * embedding) / 32 * 32).max(32);
        let (kv_heads, head, context, quant) = (heads_of_cache, 128, 131_072, Quant::Q4_0);
        let (arch, heads) = ("llama", embedding / head);
        Blueprint { arch, name, layers, embedding, feed_forward, heads, kv_heads, head, words, context, quant }
    }

    /// Bytes of cache for a token of a [`Blueprint::sized`] model.
    pub const SIZED_TOKEN: u64 = 32 * 2 * 128 * 2;

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}-{}.gguf", self.name, self.quant.name())
    }

    /// Writes it into a folder and gives its path. The tensors are a hole: they can be measured, not computed with.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.file_name());
        let (header, len) = self.header();
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&header)?;
            file.set_len(len)
        };
        write().unwrap_or_else(|error: std::io::Error| panic!("cannot write {}: {error}", path.display()));
        path
    }

    /// Everything before the tensors, and the length that the whole file has.
    pub fn header(&self) -> (Vec<u8>, u64) {
        let tensors = self.tensors();
        let pairs = self.pairs();
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend((tensors.len() as u64).to_le_bytes());
        file.extend(pairs.count.to_le_bytes());
        file.extend(pairs.bytes);
        let mut offset = 0;
        for (name, shape, kind) in tensors {
            put_text(&mut file, &name);
            file.extend((shape.len() as u32).to_le_bytes());
            file.extend(shape.iter().flat_map(|size| size.to_le_bytes()));
            file.extend((kind as u32).to_le_bytes());
            file.extend(u64::to_le_bytes(offset));
            offset += kind.bytes(shape.iter().product()).next_multiple_of(32);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        let len = file.len() as u64 + offset;
        (file, len)
    }

    fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.text("general.architecture", self.arch);
        pairs.text("general.name", self.name);
        pairs.u32("general.file_type", self.quant.number());
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        for (key, number) in [
            ("context_length", self.context),
            ("block_count", small(self.layers)),
            ("embedding_length", small(self.embedding)),
            ("feed_forward_length", small(self.feed_forward)),
            ("attention.head_count", small(self.heads)),
            ("attention.head_count_kv", small(self.kv_heads)),
            ("attention.key_length", small(self.head)),
            ("attention.value_length", small(self.head)),
        ] {
            pairs.u32(&format!("{}.{key}", self.arch), number);
        }
        pairs.text("tokenizer.chat_template", "{{ messages }}");
        let words: Vec<String> = (0..self.words).map(|number| format!("w{number}")).collect();
        pairs.texts("tokenizer.ggml.tokens", &words.iter().map(String::as_str).collect::<Vec<_>>());
        pairs
    }

    fn tensors(&self) -> Vec<(String, Vec<u64>, Type)> {
        let (plain, output) = match self.quant {
            Quant::Q4_0 => (Type::Q4_0, Type::Q6K),
            Quant::Q4KM => (Type::Q4K, Type::Q6K),
            Quant::Q8_0 => (Type::Q8_0, Type::Q8_0),
        };
        let (wide, narrow) = (self.heads * self.head, self.kv_heads * self.head);
        let mut tensors = vec![
            ("token_embd.weight".to_owned(), vec![self.embedding, self.words], plain),
            ("output_norm.weight".to_owned(), vec![self.embedding], Type::F32),
            ("output.weight".to_owned(), vec![self.embedding, self.words], output),
        ];
        for layer in 0..self.layers {
            // The outer layers, and every third between them.
            let eighth = self.layers / 8;
            let matters = layer < eighth || layer >= 7 * eighth || (layer - eighth) % 3 == 2;
            let better = if self.quant == Quant::Q4KM && matters { Type::Q6K } else { plain };
            // Eight heads share one value matrix in a 70B: it is small, and gets more bits everywhere.
            let value = if self.quant == Quant::Q4KM && self.layers == 80 && !matters { Type::Q5K } else { better };
            let mut put = |part: &str, shape: &[u64], kind| {
                tensors.push((format!("blk.{layer}.{part}"), shape.to_vec(), kind));
            };
            put("attn_norm.weight", &[self.embedding], Type::F32);
            put("ffn_norm.weight", &[self.embedding], Type::F32);
            put("attn_q.weight", &[self.embedding, wide], plain);
            put("attn_k.weight", &[self.embedding, narrow], plain);
            put("attn_v.weight", &[self.embedding, narrow], value);
            put("attn_output.weight", &[wide, self.embedding], plain);
            put("ffn_gate.weight", &[self.embedding, self.feed_forward], plain);
            put("ffn_up.weight", &[self.embedding, self.feed_forward], plain);
            put("ffn_down.weight", &[self.feed_forward, self.embedding], better);
        }
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_of_a_size_is_as_large_as_was_said() {
        for mib in [20, 300, 1000, 6000, 14_000, 40_000] {
            let (_, len) = Blueprint::sized("any", mib).header();
            let error = len as f64 / (mib << 20) as f64 - 1.0;
            assert!(error.abs() < 0.03, "{mib} MiB: {len} bytes, {:+.2} %", error * 100.0);
        }
    }

    /// The lengths of the published files.
    #[test]
    fn the_files_are_as_long_as_the_published_ones() {
        for (blueprint, published) in [
            (Blueprint::qwen_14b(Quant::Q8_0), 15.70e9),
            (Blueprint::qwen_32b(Quant::Q4KM), 19.85e9),
            (Blueprint::llama_70b(Quant::Q4KM), 42.52e9),
            (Blueprint::llama_70b(Quant::Q4_0), 39.97e9),
            (Blueprint::llama_70b(Quant::Q8_0), 74.98e9),
        ] {
            let (_, len) = blueprint.header();
            let error = len as f64 / published - 1.0;
            assert!(error.abs() < 0.005, "{}: {len} bytes, {:+.2} %", blueprint.file_name(), error * 100.0);
        }
    }
}
