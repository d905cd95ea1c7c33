//! How large the engine's compute buffer becomes: one batch, walked through a few layers.
//!
//! Every result of a batch has a row for each token. What counts is not how many there are but how many live at once,
//! and whether the holes of the dead ones fit the next: so the walk takes and frees them in the engine's order in an
//! [`Arena`] that packs as the engine's does. Checked against the engine for dense shapes of four architectures, to the
//! last printed digit, and for mixtures of experts of two.

use super::RunParameters;
use super::arena::{Arena, Slot};
use super::cache::window_cells;
use super::shape::{LayerShape, Memory, Shape};
use crate::gguf::Gguf;

/// After so many layers of one kind every further one finds the same holes.
const ENOUGH: usize = 4;
/// And no model has more kinds than would make this many.
const MOST: usize = 64;
/// An image is computed at once: some hundred rows of a width that no header has. Measured with the usual projectors.
const PROJECTOR_COMPUTE: u64 = 256 << 20;

/// The buffer, and the part of it that holds the inputs of a batch.
pub(super) fn buffer(shape: &Shape, parameters: &RunParameters) -> (u64, u64) {
    let mut walk = Walk { arena: Arena::default(), shape, parameters, tokens: parameters.tokens() };
    let (embedding, others) = walk.inputs();
    let inputs = walk.arena.most();
    let mut state = walk.rows(shape.embedding);
    let layers = walk.representative();
    for (at, layer) in layers.iter().enumerate() {
        state = walk.layer(layer, state, at + 1 == layers.len());
    }
    others.into_iter().for_each(|input| walk.arena.free(input));
    walk.results(state);
    walk.arena.free(embedding);
    (walk.arena.most(), inputs)
}

/// What the file beside the model takes: its weights, and room for one picture.
pub(super) fn projector(header: &Gguf) -> u64 {
    header.weights().total.saturating_add(PROJECTOR_COMPUTE)
}

struct Walk<'a> {
    arena: Arena,
    shape: &'a Shape,
    parameters: &'a RunParameters,
    tokens: u64,
}

impl Walk<'_> {
    /// One row of so many numbers for each token.
    fn rows(&mut self, width: u64) -> Slot {
        self.arena.take(self.tokens.saturating_mul(width).saturating_mul(4))
    }

    /// The tokens, also as vectors for requests with vectors, their positions, and the attention mask.
    fn inputs(&mut self) -> (Slot, Vec<Slot>) {
        let embedding = self.rows(self.shape.embedding);
        let mut others = vec![self.rows(1), self.rows(1)];
        let (mut context, mut window) = (false, false);
        for layer in &self.shape.layers {
            context |= matches!(layer.memory, Memory::Context { .. });
            window |= matches!(layer.memory, Memory::Window { .. });
        }
        let cells = [(context, self.parameters.cells()), (window, window_cells(self.shape, self.parameters))];
        let number = if self.parameters.flash { 2 } else { 4 };
        for (_, cells) in cells.into_iter().filter(|(is_there, _)| *is_there) {
            // Where each token's keys and values go.
            others.extend([self.rows(2), self.rows(2)]);
            others.push(self.arena.take(self.tokens.saturating_mul(cells).saturating_mul(number)));
        }
        others.push(self.rows(1));
        (embedding, others)
    }

    /// Some layers of each kind, in place of perhaps a hundred.
    fn representative(&self) -> Vec<LayerShape> {
        let mut few: Vec<LayerShape> = Vec::new();
        for layer in &self.shape.layers {
            if few.len() < MOST && few.iter().filter(|known| *known == layer).count() < ENOUGH {
                few.push(*layer);
            }
        }
        few
    }

    /// Attention, or a step of a state, and then feed-forward, both added to what came in.
    fn layer(&mut self, layer: &LayerShape, state: Slot, last: bool) -> Slot {
        let mixed = match layer.memory {
            Memory::State { convolved, inner, .. } => self.step(convolved, inner),
            Memory::Context { .. } | Memory::Window { .. } | Memory::Unstated => self.look_around(layer),
        };
        let mut sum = self.rows(self.shape.embedding);
        self.arena.free(mixed);
        self.arena.free(state);
        // Of the last layer only the tokens whose results are used go on.
        let tokens = self.tokens;
        if last && !self.parameters.embedding {
            self.tokens = u64::from(self.parameters.slots).min(tokens);
            let few = self.rows(self.shape.embedding);
            self.arena.free(sum);
            sum = few;
        }
        if layer.feed_forward == 0 {
            return sum;
        }
        let normed = self.rows(self.shape.embedding);
        let up = self.rows(layer.feed_forward);
        let gate = self.rows(layer.feed_forward);
        self.arena.free(normed);
        let product = self.rows(layer.feed_forward);
        self.arena.free(gate);
        self.arena.free(up);
        let down = self.rows(self.shape.embedding.saturating_mul(layer.experts.max(1)));
        self.arena.free(product);
        let down = self.add_up(layer, down);
        self.arena.free(sum);
        down
    }

    /// What a recurrent layer makes of a batch: projected, convolved, timed and scanned.
    fn step(&mut self, convolved: u64, inner: u64) -> Slot {
        let normed = self.rows(self.shape.embedding);
        let projected = self.rows(inner.saturating_add(convolved));
        self.arena.free(normed);
        let parts = [self.rows(convolved), self.rows(inner)];
        let scanned = self.rows(inner);
        parts.into_iter().chain([projected]).for_each(|part| self.arena.free(part));
        scanned
    }

    /// Queries, keys and values, and what comes of them.
    fn look_around(&mut self, layer: &LayerShape) -> Slot {
        let (keys, values) = layer.memory.per_token();
        let normed = self.rows(self.shape.embedding);
        let unturned = self.rows(layer.queries);
        let queries = self.rows(layer.queries);
        self.arena.free(unturned);
        let key = self.rows(keys);
        let turned = self.rows(keys);
        self.arena.free(key);
        let value = self.rows(values);
        self.arena.free(normed);
        // They go into the cache.
        self.arena.free(turned);
        self.arena.free(value);
        self.attend(layer, queries)
    }

    /// The results of all experts become one.
    fn add_up(&mut self, layer: &LayerShape, down: Slot) -> Slot {
        if layer.experts <= 1 {
            return down;
        }
        let one = self.rows(self.shape.embedding);
        self.arena.free(down);
        one
    }

    fn attend(&mut self, layer: &LayerShape, queries: Slot) -> Slot {
        let cells = match layer.memory {
            Memory::Context { .. } => self.parameters.cells(),
            Memory::Window { .. } => window_cells(self.shape, self.parameters),
            Memory::State { .. } | Memory::Unstated => 0,
        };
        if self.parameters.flash {
            let attended = self.rows(layer.queries);
            self.arena.free(queries);
            return attended;
        }
        let scores = self.rows(cells.saturating_mul(layer.heads));
        self.arena.free(queries);
        let attended = self.rows(layer.queries);
        self.arena.free(scores);
        let in_order = self.rows(layer.queries);
        self.arena.free(attended);
        in_order
    }

    /// A row of the vocabulary for each token whose result is used.
    fn results(&mut self, state: Slot) {
        let logits = self.rows(self.shape.vocabulary);
        self.arena.free(state);
        self.arena.free(logits);
    }
}
