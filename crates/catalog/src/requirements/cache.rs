//! What one layer keeps of all slots.

use super::RunParameters;
use super::shape::{Memory, Shape};

/// The engine rounds the cells of a cache up to a multiple of this.
pub(super) const PAD: u64 = 256;

/// Bytes that a layer keeps of all slots.
pub(super) fn of_layer(shape: &Shape, at: usize, parameters: &RunParameters) -> u64 {
    let slots = u64::from(parameters.slots);
    let tokens = |cells: u64, keys: u64, values: u64| {
        let token = parameters.keys.bytes(keys).saturating_add(parameters.values.bytes(values));
        cells.saturating_mul(slots).saturating_mul(token)
    };
    let layer = &shape.layers[at];
    let beside = slots.saturating_mul(state(layer.beside));
    let kept = match layer.memory {
        Memory::Context { keys, values } => tokens(parameters.cells(), keys, values),
        Memory::Window { keys, values } => tokens(window_cells(shape, parameters), keys, values),
        Memory::State { numbers, .. } => slots.saturating_mul(state(numbers)),
        Memory::Unstated => 0,
    };
    kept.saturating_add(beside)
}

/// Bytes of the state of one slot.
pub(super) fn state(numbers: u64) -> u64 {
    numbers.saturating_mul(4)
}

/// A window keeps room for a batch beyond itself, and never more than the context.
pub(super) fn window_cells(shape: &Shape, parameters: &RunParameters) -> u64 {
    let window = shape.window.saturating_add(parameters.tokens());
    parameters.cells().min(window).next_multiple_of(PAD)
}
