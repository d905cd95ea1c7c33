//! What the engine's process takes of the host's memory whatever it computes, and what its slots add.
//!
//! Measured with the prebuilt b10434 for Linux on x86-64, as resident memory less the buffers that the engine reports:
//!
//! * [`PROGRAM`]: with vocabularies of some hundred words, one to four slots and 512 to 32,768 tokens 27.9 to 29.1 MiB
//!   stay,
//!   of which 22.5 MiB are pages of the program and its libraries. Other builds differ; what they really take is measured.
//! * [`WORD`] and [`MERGE`]: vocabularies of 32,000, 64,000, 128,000 and 262,144 words took 155 to 176 bytes a word,
//!   the more
//!   the longer the words, and Gemma's 173; those with merges 107 more for each.
//! * [`SLOT`] and [`TOKEN`]: each slot that has had a prompt as long as its context added 0.35 MiB for 2,048 tokens,
//!   1.1 MiB for
//!   8,192 and some 4 MiB for 32,768: its thread, its sampler, its tokens and what the request was read into.
//! * [`copies`]: a conversation of many turns left as many copies of the window as are counted, of 7.5 MiB each with
//!   Gemma 3
//!   270M; a model without windows and states left none.

use super::cache;
use super::shape::{Memory, Shape};
use super::{RunParameters, bounded};
use crate::gguf::{Gguf, Value};

/// Program, libraries, and all that does not depend on the model; in bytes, like the others.
const PROGRAM: u64 = 28_900 << 10;
const WORD: u64 = 170;
const MERGE: u64 = 107;
const SLOT: u64 = 100 << 10;
const TOKEN: u64 = 130;
/// Copies of the newest prompt that the engine makes wherever others are: where its last message begins, and twice
/// close to its end.
const NEWEST: u64 = 3;
/// Tokens between two of the other checkpoints of a conversation, for the engine's `--checkpoint-min-step`. With smaller steps the
/// oldest one is soon dropped, which is where other conversations branch off.
pub const CHECKPOINT_STEP: u32 = 8192;

/// What there is before any job.
pub(super) fn at_rest(header: &Gguf, shape: &Shape) -> u64 {
    let merges = match header.get("tokenizer.ggml.merges") {
        // The first form is of a header that an earlier version remembered.
        Some(Value::List(count) | Value::Texts { count, .. }) => *count,
        _ => 0,
    };
    let vocabulary = shape.vocabulary.saturating_mul(WORD).saturating_add(merges.saturating_mul(MERGE));
    bounded(vocabulary.saturating_add(PROGRAM))
}

/// What jobs in all slots add.
pub(super) fn of_slots(shape: &Shape, parameters: &RunParameters) -> u64 {
    let copied: u64 =
        shape.layers.iter().map(|layer| copy(layer.memory, shape, parameters)).fold(0, u64::saturating_add);
    let used = SLOT + u64::from(parameters.ctx) * TOKEN;
    bounded(used.saturating_add(copied.saturating_mul(copies(parameters))).saturating_mul(u64::from(parameters.slots)))
}

/// So many copies of windows and states are kept of a slot at most, so that another prompt with the same beginning need
/// not start from the beginning: they are at different tokens of its context.
fn copies(parameters: &RunParameters) -> u64 {
    let others = u64::from(parameters.ctx).div_ceil(u64::from(CHECKPOINT_STEP) + 1);
    (others + NEWEST).min(u64::from(parameters.checkpoints))
}

/// One copy of what a layer would have to compute anew.
fn copy(memory: Memory, shape: &Shape, parameters: &RunParameters) -> u64 {
    match memory {
        Memory::Window { keys, values } => {
            let tokens = shape.window.min(parameters.cells());
            tokens.saturating_mul(parameters.keys.bytes(keys).saturating_add(parameters.values.bytes(values)))
        }
        Memory::State { numbers, .. } => cache::state(numbers),
        Memory::Context { .. } | Memory::Unstated => 0,
    }
}
