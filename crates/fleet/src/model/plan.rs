//! The plan of one model: the wanted size, and the search for the one that fits.

use auxot_catalog::{Layer, MemoryRequirements, Model, RunParameters};
use auxot_engine::{Spec, Task};
use tracing::warn;

use crate::model::remembered::Key;
use crate::model::size_search::{Size, SizeSearch};

/// The cache of a model whose header is incomplete is guessed as this fraction of its weights, on the high side.
const GUESSED_CACHE: u64 = 4;
/// The guess for its compute buffers.
const GUESSED_COMPUTE: u64 = 512 << 20;
/// The guess for the process itself, with a large vocabulary.
const GUESSED_PROCESS: u64 = 100 << 20;

/// The plan of one model.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    wanted: Spec,
    /// The parameters of it that decide about memory.
    pub(crate) parameters: RunParameters,
    pub(crate) sizes: SizeSearch,
    /// The key of the size on disk.
    pub(crate) key: Key,
}

impl Plan {
    /// A plan for the wanted spec. It begins with the size that an earlier run found.
    pub(crate) fn new(wanted: Spec, parameters: RunParameters, key: Key, found: Option<Size>) -> Self {
        let size = size_of(&wanted);
        let sizes = found.map_or_else(|| SizeSearch::new(size), |found| SizeSearch::known(size, found));
        Self { wanted, parameters, sizes, key }
    }

    /// Whether both plans are for the same spec and key.
    pub(crate) fn is_for(&self, other: &Plan) -> bool {
        self.wanted == other.wanted && self.key == other.key
    }

    /// The spec of the next start.
    pub(crate) fn spec(&self) -> Spec {
        let Size { slots, ctx } = self.sizes.size();
        Spec { slots, ctx_per_slot: ctx, ..self.wanted.clone() }
    }

    /// Whether the operator adds arguments of this model's own. Copies nothing: each job asks for it.
    pub(crate) fn has_extra_args(&self) -> bool {
        !self.wanted.extra_args.is_empty()
    }

    /// What the memory does not allow of the wanted size, as a sentence.
    pub(crate) fn shortfall(&self, spec: &Spec) -> Option<String> {
        let (wanted, present) = (self.sizes.wanted(), size_of(spec));
        (wanted != present).then(|| {
            format!(
                "{} is planned with {} slots of {} tokens; the memory holds {} of {}",
                spec.model, wanted.slots, wanted.ctx, present.slots, present.ctx
            )
        })
    }
}

/// The task that the engine is started for.
pub(crate) fn task_of(model: &Model) -> Task {
    match model.task {
        auxot_catalog::Task::Embedding => Task::Embedding { pooling: model.pooling().name() },
        auxot_catalog::Task::Rerank => Task::Rerank,
        // A model without a task is never started.
        auxot_catalog::Task::Chat | auxot_catalog::Task::None => Task::Chat,
    }
}

/// The size of a spec.
pub(crate) fn size_of(spec: &Spec) -> Size {
    Size { slots: spec.slots.max(1), ctx: spec.ctx_per_slot }
}

/// The memory requirements of a model in one size. Where its header is incomplete, they are its weights and a guess: unknown is
/// not zero.
pub(crate) fn requirements(model: &Model, parameters: &RunParameters, size: Size) -> MemoryRequirements {
    model.requirements(&sized(parameters, size)).unwrap_or_else(|unknown| {
        warn!(model = %model.name, %unknown, "the header is incomplete; the memory requirements are a guess");
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
