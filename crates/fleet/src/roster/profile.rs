//! What the admission must know of a model: its need in its size, what it took before, and what the operator says of it.

use std::sync::Arc;

use auxot_catalog::{Ask, Layer, Model, Need};
use auxot_engine::GpuLayers;
use tracing::warn;

use crate::config::ModelConfig;
use crate::judge::shared::Shared;
use crate::judge::{Judge, MemberId};
use crate::roster::dial::Size;
use auxot_placement::{Rules, Subject};
use auxot_scheduler::Profile;

/// What a model whose header leaves things out is taken to keep of its slots: a part of its weights, on the high side.
const GUESSED_CACHE: u64 = 4;
/// The same for the intermediate results.
const GUESSED_COMPUTE: u64 = 512 << 20;
/// And for the program with a large vocabulary.
const GUESSED_PROCESS: u64 = 100 << 20;

impl Shared {
    /// What is known of a member.
    fn profile(&self, judge: &Judge, id: MemberId) -> Profile {
        let member = &judge.members[&id];
        let size = member.plan.dial.size();
        let need = Arc::new(need(&member.model, &member.plan.ask, size));
        let own = self.config_of(judge, &member.model);
        Profile {
            pin: own.pin,
            priority: own.priority,
            ttl: self.orders().fleet.ttl_of(&own),
            rules: own.gpu_layers.map(|layers| with_layers(judge.admission.rules(), layers)),
            devices: Some(own.devices).filter(|names| !names.is_empty()),
            shrinks: true,
            remembered: self.subject(judge, id).map(|subject| self.experience.about(subject)),
            ..Profile::new(member.name(), need)
        }
    }

    /// Tells the admission what a member is by now.
    pub(crate) fn reprofile(&self, judge: &mut Judge, id: MemberId) {
        let profile = self.profile(judge, id);
        if let Some(member) = judge.members.get_mut(&id) {
            member.strays.name(profile.devices.as_deref().unwrap_or_default());
            member.strays.look(&member.model.name, &self.devices.now());
        }
        judge.admission.set(judge.members[&id].seat, profile);
    }

    /// What measurements of a member in its present size are remembered under.
    pub(crate) fn subject(&self, judge: &Judge, id: MemberId) -> Option<Subject> {
        let member = &judge.members[&id];
        let identity = judge.shelf.catalog.identity(&member.model)?;
        let ask = sized(&member.plan.ask, member.plan.dial.size());
        let arguments = [&self.orders().engine.extra_args[..], &member.plan.spec().extra_args].concat();
        Some(Subject { file: member.model.file.clone(), identity, ask, arguments, build: self.engines.build() })
    }

    /// What the operator says of one model, by whatever name of it.
    pub(crate) fn config_of(&self, judge: &Judge, model: &Model) -> ModelConfig {
        self.orders().fleet.of(model, &judge.shelf.catalog)
    }
}

/// The rules of the planner with the operator's word on layers.
#[must_use]
pub fn with_layers(rules: &Rules, layers: GpuLayers) -> Rules {
    match layers {
        GpuLayers::Auto => Rules { layers: None, ..*rules },
        GpuLayers::All => Rules { layers: None, partial: false, ..*rules },
        GpuLayers::Count(count) => Rules { layers: Some(count as usize), ..*rules },
    }
}

/// What a model needs in a size. Where its header does not tell, its weights and a guess: unknown is not zero.
pub(crate) fn need(model: &Model, ask: &Ask, size: Size) -> Need {
    model.need(&sized(ask, size)).unwrap_or_else(|unknown| {
        warn!(model = %model.name, %unknown, "the memory that it needs is a guess");
        guess(model)
    })
}

fn sized(ask: &Ask, size: Size) -> Ask {
    ask.resized(size.slots, size.ctx)
}

fn guess(model: &Model) -> Need {
    let count = u64::from(model.block_count.unwrap_or(1)).clamp(1, 1024);
    let weights = model.bytes / count;
    let layer = Layer { weights, experts: 0, cache: weights / GUESSED_CACHE };
    Need {
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
