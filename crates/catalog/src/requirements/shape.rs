//! The sizes in a header that decide about memory.

use super::RequirementsUnknown;
use crate::gguf::{Gguf, Value};

/// The sizes of a model, in numbers (not bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) layers: Vec<LayerShape>,
    /// Width of what goes from layer to layer.
    pub(super) embedding: u64,
    pub(super) vocabulary: u64,
    /// Tokens in the window of a windowed layer.
    pub(super) window: u64,
}

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerShape {
    pub(super) heads: u64,
    /// Width of all queries together.
    pub(super) queries: u64,
    pub(super) memory: Memory,
    /// Numbers of a state that it keeps of each slot beside that.
    pub(super) beside: u64,
    /// Width inside the feed-forward part: of all experts that one token uses.
    pub(super) feed_forward: u64,
    /// Experts that one token uses, each of which gives a result of its own; 0 where there are none.
    pub(super) experts: u64,
}

/// What a layer keeps of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// So many numbers of keys and of values for each token of the context.
    Context { keys: u64, values: u64 },
    /// The same, for the tokens of a window.
    Window { keys: u64, values: u64 },
    /// So many numbers of four bytes, whatever the context; and the widths of what it is made from.
    State { numbers: u64, convolved: u64, inner: u64 },
    /// Nothing of its own.
    Unstated,
}

impl Memory {
    /// Keys and values of one token.
    pub(super) fn per_token(self) -> (u64, u64) {
        match self {
            Self::Context { keys, values } | Self::Window { keys, values } => (keys, values),
            Self::State { .. } | Self::Unstated => (0, 0),
        }
    }
}

impl Shape {
    pub(super) fn of(header: &Gguf) -> Result<Self, RequirementsUnknown> {
        let arch = header.arch().unwrap_or_default();
        let requirements =
            |key, what| header.arch_uint(key).ok_or(RequirementsUnknown { arch: arch.to_string(), what });
        let count = requirements("block_count", "its layers")?;
        let embedding = requirements("embedding_length", "its width")?;
        let vocabulary = match header.get("tokenizer.ggml.tokens") {
            // The first form is of a header that an earlier version remembered.
            Some(Value::List(count) | Value::Texts { count, .. }) => *count,
            _ => header.arch_uint("vocab_size").unwrap_or(0),
        };
        let keys = Keys { header, arch, count, embedding };
        // The count is bounded by the tensors: a wrong header may claim more layers.
        let count = (count as usize).min(header.weights().blocks.len());
        let layers = (0..count).map(|at| keys.layer(at)).collect::<Result<_, _>>()?;
        Ok(Self { layers, embedding, vocabulary, window: header.arch_size("attention.sliding_window").unwrap_or(0) })
    }
}

/// Architectures without attention.
const RECURRENT: [&str; 6] = ["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];

/// Reads the facts of each layer.
struct Keys<'a> {
    header: &'a Gguf,
    arch: &'a str,
    count: u64,
    embedding: u64,
}

impl Keys<'_> {
    fn layer(&self, at: usize) -> Result<LayerShape, RequirementsUnknown> {
        let missing = |what| RequirementsUnknown { arch: self.arch.to_string(), what };
        let uint = |key| self.header.arch_size(key);
        let heads = self.per_layer("attention.head_count", at);
        // A recurrent model has no attention at all; any other says its heads.
        let recurrent = uint("ssm.inner_size").or_else(|| uint("wkv.head_size"));
        let heads = match (heads, recurrent) {
            (Some(heads), _) => heads,
            (None, Some(_)) => 0,
            (None, None) => return Err(missing("its heads")),
        };
        let kv_heads = self.per_layer("attention.head_count_kv", at).unwrap_or(heads);
        let windowed = self.is_windowed(at);
        let head = |key, windowed_key| {
            let own = uint(key).or_else(|| self.embedding.checked_div(heads)).unwrap_or(0);
            if windowed { uint(windowed_key).unwrap_or(own) } else { own }
        };
        let key = head("attention.key_length", "attention.key_length_swa");
        let value = head("attention.value_length", "attention.value_length_swa");
        let (feed_forward, experts) = self.feed_forward(at);
        // The layers of these do one thing each, and one with a feed-forward part does that.
        let is_only_forward = self.arch.starts_with("nemotron_h") && feed_forward > 0;
        let memory = if is_only_forward { Memory::Unstated } else { self.memory(at, (kv_heads, key, value), windowed) };
        let beside = match (self.arch, self.state(0)) {
            ("falcon-h1", Memory::State { numbers, .. }) => numbers,
            _ => 0,
        };
        Ok(LayerShape { heads, queries: heads.saturating_mul(key), memory, beside, feed_forward, experts })
    }

    fn memory(&self, at: usize, (heads, key, value): (u64, u64, u64), windowed: bool) -> Memory {
        let uint = |key| self.header.arch_size(key);
        if self.is_recurrent(at, heads) {
            return self.state(heads.saturating_mul(key).saturating_mul(value));
        }
        let shared = uint("attention.shared_kv_layers").unwrap_or(0);
        if heads == 0 || at as u64 >= self.count.saturating_sub(shared) {
            return Memory::Unstated;
        }
        // Latent attention: values are read out of the keys.
        let value = if uint("attention.key_length_mla").is_some() { 0 } else { value };
        let (keys, values) = (heads.saturating_mul(key).saturating_add(self.indexer(at)), heads.saturating_mul(value));
        if windowed { Memory::Window { keys, values } } else { Memory::Context { keys, values } }
    }

    /// Sparse attention picks the tokens that count by a key of its own, one for all heads, in every layer or in those
    /// listed.
    fn indexer(&self, at: usize) -> u64 {
        let has_one = match self.header.arch_get("attention.indexer.types") {
            Some(Value::Ints(list)) => list.get(at).is_some_and(|has_one| *has_one != 0),
            _ => true,
        };
        self.header.arch_size("attention.indexer.key_length").filter(|_| has_one).unwrap_or(0)
    }

    /// Hybrids say which layers attend by a list, by heads of zero, or by an interval.
    fn is_recurrent(&self, at: usize, heads: u64) -> bool {
        // Its layers do both.
        if self.arch == "falcon-h1" {
            return false;
        }
        match self.header.arch_get("attention.recurrent_layers") {
            Some(Value::Ints(list)) => return list.get(at).is_some_and(|recurrent| *recurrent != 0),
            // The engine's saver writes one value where all layers have it.
            Some(Value::Bool(true) | Value::Uint(1)) => return true,
            _ => {}
        }
        if RECURRENT.contains(&self.arch) {
            return true;
        }
        let uint = |key| self.header.arch_size(key);
        if uint("ssm.inner_size").is_none() && uint("wkv.head_size").is_none() && uint("shortconv.l_cache").is_none() {
            return false;
        }
        match uint("full_attention_interval") {
            Some(every) if every > 0 => !(at as u64 + 1).is_multiple_of(every),
            _ => heads == 0,
        }
    }

    /// What a recurrent layer keeps; `linear` numbers where its attention is a linear one.
    fn state(&self, linear: u64) -> Memory {
        let uint = |key| self.header.arch_size(key);
        if let Some(head) = uint("wkv.head_size") {
            let shifted = uint("token_shift_count").unwrap_or(2);
            let numbers = self.embedding.saturating_mul(shifted.saturating_add(head));
            return Memory::State { numbers, convolved: self.embedding, inner: self.embedding };
        }
        if let Some(length) = uint("shortconv.l_cache") {
            let numbers = self.embedding.saturating_mul(length.saturating_sub(1));
            return Memory::State { numbers, convolved: self.embedding, inner: self.embedding };
        }
        let Some(inner) = uint("ssm.inner_size") else {
            return Memory::State { numbers: linear, convolved: self.embedding, inner: self.embedding };
        };
        let size = uint("ssm.state_size").unwrap_or(0);
        let groups = uint("ssm.group_count").unwrap_or(0);
        let window = uint("ssm.conv_kernel").unwrap_or(0).saturating_sub(1);
        let convolved = inner.saturating_add(groups.saturating_mul(size).saturating_mul(2));
        let numbers = window.saturating_mul(convolved).saturating_add(size.saturating_mul(inner));
        Memory::State { numbers, convolved, inner }
    }

    /// Whether a layer has a window: by the header's list, else by the architecture. Where both are unknown every layer
    /// has the whole context, which takes more memory.
    fn is_windowed(&self, at: usize) -> bool {
        if self.header.arch_size("attention.sliding_window").is_none() {
            return false;
        }
        let listed = match self.header.arch_get("attention.sliding_window_pattern") {
            Some(Value::Ints(list)) => list.get(at).map(|windowed| *windowed != 0),
            _ => None,
        };
        let every = self.header.arch_uint("attention.sliding_window_pattern").or(match self.arch {
            "gemma2" | "gpt-oss" => Some(2),
            "cohere2" | "llama4" | "olmo2" | "smallthinker" => Some(4),
            // The engine knows the large one by its layers.
            "exaone4" if self.count == 64 => Some(4),
            "gemma3n" => Some(5),
            "gemma3" | "gemma-embedding" => Some(6),
            _ => None,
        });
        let by_pattern = every.filter(|every| *every > 0).is_some_and(|every| at as u64 % every < every - 1);
        listed.unwrap_or(by_pattern)
    }

    /// Width inside the feed-forward part, and the experts that a token uses there.
    fn feed_forward(&self, at: usize) -> (u64, u64) {
        let dense = self.per_layer("feed_forward_length", at).unwrap_or(0);
        let uint = |key| self.header.arch_size(key);
        let leading = uint("leading_dense_block_count").unwrap_or(0);
        // Some headers speak of experts that the architecture has no tensors for.
        let has_experts = self.header.weights().blocks.get(at).is_some_and(|block| block.experts > 0);
        match (uint("expert_used_count").unwrap_or(0), at as u64 >= leading && has_experts) {
            (0, _) | (_, false) => (dense, 0),
            (used, true) => {
                let one = uint("expert_feed_forward_length").unwrap_or(dense);
                let shared = uint("expert_shared_feed_forward_length")
                    .unwrap_or_else(|| one.saturating_mul(uint("expert_shared_count").unwrap_or(0)));
                (used.saturating_mul(one).max(shared), used)
            }
        }
    }

    /// A number that is one for all layers, or a list with one for each.
    fn per_layer(&self, key: &str, at: usize) -> Option<u64> {
        match self.header.arch_get(key)? {
            Value::Ints(list) => list.get(at).and_then(|number| u64::try_from(*number).ok()),
            value => value.as_uint(),
        }
    }
}
