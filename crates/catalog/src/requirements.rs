//! How much memory a model will take: computed from its header before anything is loaded.
//!
//! The engine's buffers are of four kinds, and each is computed here as the engine itself lays it out:
//!
//! * **weights**: the tensors, by layer ([`crate::Weights`]); a layer is on the device of its cache and of its computing;
//! * **cache**: what each layer keeps of each slot ([`cache`]): keys and values of a context, of a window of it, or the
//!   state of a recurrent layer;
//! * **compute**: the intermediate results of one batch, as the engine's allocator packs them ([`graph`]);
//! * **logits**: one row of the vocabulary for each slot.
//!
//! Beside them the engine's process takes host memory for itself ([`process`]): program, vocabulary, slots and what it
//! may keep of their conversations. What it keeps of earlier prompts (`engine.cache_ram`) is no part of this: it grows
//! with the traffic, up to what the operator allows, and a model needs none of it. Neither is the second copy of
//! quantised weights that it makes for some processors: what it is made from is not needed any more, so that weights
//! count once. The driver's own memory for a process depends on the device and not on the model.

mod arena;
mod cache;
mod graph;
mod kv_type;
mod process;
mod shape;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use kv_type::KvType;
pub use process::CHECKPOINT_STEP;

use crate::gguf::Gguf;
use shape::Shape;

/// No model is larger than this, in bytes. A wrong header must give a large number, and sums of such numbers must not
/// wrap around: there are at most some thousand layers.
const LARGEST: u64 = 1 << 50;

fn bounded(bytes: u64) -> u64 {
    bytes.min(LARGEST)
}

/// How a model is to be run, as far as it decides about memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunParameters {
    /// Tokens of context for each slot.
    pub ctx: u32,
    /// Requests side by side; at least 1.
    pub slots: u32,
    /// How keys are stored.
    pub keys: KvType,
    /// How values are stored.
    pub values: KvType,
    /// Tokens computed at once: the engine's physical batch.
    pub batch: u32,
    /// Whether it makes embeddings: then every token of a batch has a result.
    pub embedding: bool,
    /// Whether attention is computed without writing down all scores. The engine's default wherever it can.
    pub flash: bool,
    /// So many copies of windows and states the engine may keep of each slot: `engine.ctx_checkpoints`.
    pub checkpoints: u32,
}

impl RunParameters {
    /// The default parameters of this program's engines, with so many slots of so many tokens.
    #[must_use]
    pub fn new(slots: u32, ctx: u32) -> Self {
        let (keys, values) = (KvType::F16, KvType::F16);
        Self { ctx, slots: slots.max(1), keys, values, batch: 512, embedding: false, flash: true, checkpoints: 8 }
    }

    /// The same for embeddings, where the batch is as long as the context.
    #[must_use]
    pub fn embedding(slots: u32, ctx: u32) -> Self {
        Self { batch: ctx, embedding: true, ..Self::new(slots, ctx) }
    }

    /// The same in another size.
    #[must_use]
    pub fn resized(self, slots: u32, ctx: u32) -> Self {
        let batch = if self.embedding { ctx } else { self.batch };
        Self { ctx, slots: slots.max(1), batch, ..self }
    }

    /// Tokens that are computed at once: a batch is never longer than all slots together.
    fn tokens(&self) -> u64 {
        u64::from(self.batch).min(u64::from(self.ctx) * u64::from(self.slots)).max(1)
    }

    /// The cells that the engine makes of one slot's context.
    fn cells(&self) -> u64 {
        u64::from(self.ctx.max(1)).next_multiple_of(cache::PAD)
    }
}

/// In words, as it is remembered beside what a model really took.
impl fmt::Display for RunParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ctx, slots, keys, values, batch, embedding, flash, checkpoints } = self;
        write!(f, "{slots} x {ctx} tokens, keys {keys}, values {values}, batch {batch}")?;
        f.write_str(if *embedding { ", embeddings" } else { "" })?;
        f.write_str(if *flash { "" } else { ", scores written down" })?;
        write!(f, ", {checkpoints} checkpoints")
    }
}

/// The memory that a model takes, in bytes, by the parts that can be on different devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryRequirements {
    /// The repeating layers, in order.
    pub layers: Vec<Layer>,
    /// The weights of the output layer, which is on the device of the last layer. They include a copy of the token
    /// embedding
    /// where the model has no output matrix of its own.
    pub output: u64,
    /// Weights that stay in host memory wherever the layers are: the token embedding.
    pub embedding: u64,
    /// All weights, each counted once: what the file maps where nothing is on a device.
    pub weights: u64,
    /// Intermediate results, on every device that holds layers, or in host memory where none does.
    pub compute: u64,
    /// The part of `compute` that holds a batch's inputs; several devices in a row keep copies of it.
    pub inputs: u64,
    /// The results' rows, in host memory.
    pub logits: u64,
    /// The same for every token of a batch: what the engine's dry run counts with its intermediate results.
    pub all_rows: u64,
    /// What the projector takes, weights and intermediate results together.
    pub projector: u64,
    /// What the process has for itself before its first job, in host memory: its program, its vocabulary.
    pub process: u64,
    /// What jobs in all slots add to that, in host memory.
    pub slots: u64,
}

/// What one layer needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layer {
    /// Its weights, in bytes.
    pub weights: u64,
    /// The part of the weights that holds the experts of a mixture.
    pub experts: u64,
    /// What it keeps of all slots, in bytes.
    pub cache: u64,
}

/// Why the need of a model is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot tell how much memory {arch} needs: its header says nothing of {what}")]
pub struct RequirementsUnknown {
    /// The architecture.
    pub arch: String,
    /// What is missing.
    pub what: &'static str,
}

impl MemoryRequirements {
    /// Computes the need of a model.
    ///
    /// # Errors
    /// When its header leaves out what must be known. Then it is unknown, and not small.
    pub fn of(
        header: &Gguf,
        projector: Option<&Gguf>,
        parameters: &RunParameters,
    ) -> Result<Self, RequirementsUnknown> {
        let shape = Shape::of(header)?;
        let weights = header.weights();
        let mut layers: Vec<Layer> = weights
            .blocks
            .iter()
            .map(|block| Layer { weights: bounded(block.bytes), experts: bounded(block.experts), cache: 0 })
            .collect();
        // Layers without tensors are none; layers beyond the count (for speculation) hold weights and no cache.
        for (at, layer) in layers.iter_mut().enumerate().take(shape.layers.len()) {
            layer.cache = bounded(cache::of_layer(&shape, at, parameters));
        }
        let tied = if weights.tied { weights.token_embd } else { 0 };
        let (compute, inputs) = graph::buffer(&shape, parameters);
        Ok(Self {
            layers,
            output: bounded(weights.output.saturating_add(tied)),
            embedding: bounded(weights.token_embd.saturating_add(weights.other)),
            weights: bounded(weights.total),
            compute,
            inputs,
            logits: bounded(shape.vocabulary.saturating_mul(4).saturating_mul(u64::from(parameters.slots))),
            all_rows: bounded(shape.vocabulary.saturating_mul(4).saturating_mul(parameters.tokens())),
            projector: bounded(projector.map_or(0, graph::projector)),
            process: process::at_rest(header, &shape),
            slots: process::of_slots(&shape, parameters),
        })
    }

    /// How many layers can be on devices, the output layer among them.
    #[must_use]
    pub fn offloadable(&self) -> usize {
        self.layers.len() + 1
    }

    /// Weights and cache of some layers, in bytes; the output layer is the one after the last.
    #[must_use]
    pub fn of_layers(&self, range: Range<usize>) -> u64 {
        let output = range.contains(&self.layers.len());
        let end = range.end.min(self.layers.len());
        let layers = &self.layers[range.start.min(end)..end];
        let sum: u64 = layers.iter().map(|layer| layer.weights.saturating_add(layer.cache)).sum();
        if output { sum.saturating_add(self.output) } else { sum }
    }

    /// What all layers keep of all slots, in bytes.
    #[must_use]
    pub fn cache(&self) -> u64 {
        self.layers.iter().map(|layer| layer.cache).sum()
    }

    /// Everything on one device but what stays in host memory anyway.
    #[must_use]
    pub fn on_one_device(&self) -> u64 {
        self.of_layers(0..self.offloadable()) + self.compute + self.projector
    }

    /// Host memory with the last `offloaded` layers (the output layer among them) on devices.
    #[must_use]
    pub fn on_host(&self, offloaded: usize) -> u64 {
        let kept = self.offloadable().saturating_sub(offloaded);
        let own = self.process + self.slots + self.logits;
        if offloaded == 0 {
            return self.weights + self.cache() + self.compute + self.projector + own;
        }
        // A batch that goes through layers on both sides has its intermediate results on both sides.
        let compute = if kept > 0 { self.compute } else { self.inputs };
        self.embedding + self.of_layers(0..kept) + compute + own
    }

    /// The part of the host memory that is not taken before there are jobs, where nothing is on a device.
    #[must_use]
    pub fn at_work(&self) -> u64 {
        self.compute + self.slots
    }
}
