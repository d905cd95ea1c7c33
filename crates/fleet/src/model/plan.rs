//! What a model is to run as: the size that is wanted, and the search for the one that fits.

use auxot_catalog::{Layer, MemoryRequirements, Model, RunParameters};
use auxot_engine::{Spec, Task};
use tracing::warn;

use crate::model::remembered::Key;
use crate::model::size_search::{Size, SizeSearch};

/// What a model whose header leaves things out is taken to keep of its slots: a part of its weights, on the high side.
const GUESSED_CACHE: u64 = 4;
/// The same for the intermediate results.
const GUESSED_COMPUTE: u64 = 512 << 20;
/// And for the program with a large vocabulary.
const GUESSED_PROCESS: u64 = 100 << 20;

/// The plan of one model.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    wanted: Spec,
    /// The same as far as it decides about memory.
    pub(crate) parameters: RunParameters,
    pub(crate) sizes: SizeSearch,
    /// The question that a size on disk answers.
    pub(crate) key: Key,
}

impl Plan {
    /// A plan for what is wanted, that begins with the size found in an earlier run.
    pub(crate) fn new(wanted: Spec, parameters: RunParameters, key: Key, found: Option<Size>) -> Self {
        let size = size_of(&wanted);
        let sizes = found.map_or_else(|| SizeSearch::new(size), |found| SizeSearch::known(size, found));
        Self { wanted, parameters, sizes, key }
    }

    /// Whether it is for the same thing.
    pub(crate) fn is_for(&self, other: &Plan) -> bool {
        self.wanted == other.wanted && self.key == other.key
    }

    /// What to start next.
    pub(crate) fn spec(&self) -> Spec {
        let Size { slots, ctx } = self.sizes.size();
        Spec { slots, ctx_per_slot: Some(ctx), ..self.wanted.clone() }
    }

    /// What is less than wanted because the memory holds no more, as a sentence.
    pub(crate) fn shortfall(&self, spec: &Spec) -> Option<String> {
        let (wanted, present) = (self.sizes.wanted(), size_of(spec));
        (wanted != present).then(|| {
            format!(
                "{} was to have {} slots of {} tokens; the memory holds {} of {}",
                spec.model, wanted.slots, wanted.ctx, present.slots, present.ctx
            )
        })
    }
}

/// What the engine of a model is started for.
pub(crate) fn task_of(model: &Model) -> Task {
    match model.task {
        auxot_catalog::Task::Embedding => Task::Embedding { pooling: model.pooling().name() },
        auxot_catalog::Task::Rerank => Task::Rerank,
        // One without a task is never started.
        auxot_catalog::Task::Chat | auxot_catalog::Task::None => Task::Chat,
    }
}

/// The size that a process is started with.
pub(crate) fn size_of(spec: &Spec) -> Size {
    Size { slots: spec.slots.max(1), ctx: spec.ctx_per_slot.unwrap_or_default() }
}

/// What a model needs in a size. Where its header does not tell, its weights and a guess: unknown is not zero.
pub(crate) fn requirements(model: &Model, parameters: &RunParameters, size: Size) -> MemoryRequirements {
    model.requirements(&sized(parameters, size)).unwrap_or_else(|unknown| {
        warn!(model = %model.name, %unknown, "the memory that it needs is a guess");
        guess(model)
    })
}

pub(crate) fn sized(parameters: &RunParameters, size: Size) -> RunParameters {
    parameters.resized(size.slots, size.ctx)
}

fn guess(model: &Model) -> MemoryRequirements {
    let count = u64::from(model.block_count.unwrap_or(1)).clamp(1, 1024);
    let weights = model.bytes / count;
    let layer = Layer { weights, experts: 0, cache: weights / GUESSED_CACHE };
    MemoryRequirements {
        layers: vec![layer; usize::try_from(count).unwrap_or(1)],
        output: 0,
        embedding: 0,
        weights: model.bytes,
        compute: GUESSED_COMPUTE,
        inputs: 0,
        logits: 0,
        all_rows: 0,
        projector: 0,
        process: GUESSED_PROCESS,
        slots: 0,
    }
}
