//! The plan of one model: its parameters, the wanted size, and the search for the one that fits.

use auxot_catalog::{Layer, MemoryRequirements, Model, RunParameters};
use auxot_engine::{Ready, Spec, Task};
use tracing::warn;

use crate::config::ModelConfig;
use crate::model::desired::{DesiredModel, MAX_SLOTS};
use crate::model::history::Key;
use crate::model::size_search::{Size, SizeSearch};

/// Slots where no setting and no policy gives a number.
const DEFAULT_SLOTS: u32 = 4;
/// Context per slot where no setting and no policy gives a number: a model trained for 128k tokens would fill the host.
const DEFAULT_CTX: u32 = 8192;
/// The engine rounds a context up to whole blocks of this many tokens.
pub(crate) const CTX_BLOCK: u32 = 256;
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

    /// The wanted context of a slot; `None` where the model's own arguments may set another one. Copies nothing: each job asks
    /// for it.
    pub(crate) fn ctx(&self) -> Option<u32> {
        self.wanted.extra_args.is_empty().then_some(self.wanted.ctx_per_slot)
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

/// The parameters of one model's engine: the model's own settings first, then the settings for all models, then the router's
/// policy, then the model's header.
#[must_use]
pub fn parameters(
    engine: &auxot_engine::Config,
    own: &ModelConfig,
    desired: Option<&DesiredModel>,
    model: &Model,
) -> RunParameters {
    let operator = Sizing { slots: own.slots.or(engine.slots), ctx_size: own.ctx_size.or(engine.ctx_size) };
    let (slots, ctx) = size(operator, desired, model.ctx_train);
    let kv_type = own.kv_type.unwrap_or_default();
    let usual = RunParameters { keys: kv_type, values: kv_type, ..model.run_parameters(slots, ctx) };
    RunParameters { checkpoints: engine.ctx_checkpoints, ..usual }
}

/// The operator's numbers first, then the router's, then the model's training length up to a bound.
fn size(operator: Sizing, desired: Option<&DesiredModel>, trained: Option<u32>) -> (u32, u32) {
    let by_router = desired.and_then(|desired| desired.slots).filter(|slots| *slots <= MAX_SLOTS);
    let slots = operator.slots.or(by_router).unwrap_or(DEFAULT_SLOTS).clamp(1, MAX_SLOTS);
    let tokens_per_slot =
        operator.ctx_size.or_else(|| desired.and_then(|desired| desired.ctx_size)).filter(|tokens| *tokens > 0);
    let tokens = tokens_per_slot.unwrap_or(DEFAULT_CTX);
    (slots, trained.filter(|trained| *trained > 0).map_or(tokens, |trained| tokens.min(trained)))
}

/// The operator's slots and context for one model; what is unset comes from the router, then from the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sizing {
    /// Slots set by the operator.
    slots: Option<u32>,
    /// Tokens per slot set by the operator.
    ctx_size: Option<u32>,
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

/// The difference between the planned numbers and those the engine runs with. Extra arguments override ours, and the engine
/// parses some of them in its own way (`-c 32k` is 256 tokens).
pub(crate) fn deviation(spec: &Spec, ready: &Ready) -> Option<String> {
    let (slots, tokens, model) = (ready.props.total_slots, ready.props.n_ctx, &spec.model);
    let planned = spec.ctx_per_slot;
    let rounded = planned.checked_next_multiple_of(CTX_BLOCK).unwrap_or(planned);
    (slots != spec.slots || !(planned..=rounded).contains(&tokens)).then(|| {
        let (wanted, actual) = (spec.slots, format!("{slots} of {tokens}"));
        format!("{model} was planned with {wanted} slots of {planned} tokens, its engine runs {actual}: check the extra arguments")
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_overrides_the_router_and_the_router_overrides_the_model() {
        let desired = DesiredModel { model: "m".into(), ctx_size: Some(32_768), slots: Some(2) };
        let unset = Sizing::default();
        assert_eq!(size(unset, None, None), (4, 8192));
        assert_eq!(size(unset, None, Some(2048)), (4, 2048));
        assert_eq!(size(unset, Some(&desired), Some(131_072)), (2, 32_768));
        assert_eq!(size(Sizing { slots: Some(1), ctx_size: Some(4096) }, Some(&desired), Some(131_072)), (1, 4096));
        assert_eq!(size(unset, Some(&DesiredModel { ctx_size: Some(0), slots: Some(0), ..desired }), None), (1, 8192));
    }

    #[test]
    fn slots_beyond_the_engine_limit_are_ignored() {
        let unset = Sizing::default();
        for slots in [MAX_SLOTS + 1, 100_000_000, u32::MAX] {
            let desired = DesiredModel { model: "m".into(), ctx_size: Some(u32::MAX), slots: Some(slots) };
            assert_eq!(size(unset, Some(&desired), Some(4096)), (4, 4096));
            let operator = Sizing { slots: Some(slots), ctx_size: None };
            assert_eq!(size(operator, Some(&desired), Some(4096)).0, MAX_SLOTS);
        }
    }
}
