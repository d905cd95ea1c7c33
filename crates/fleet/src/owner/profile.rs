//! What the admission must know of a model: its need in its size, what it took before, and what the operator says of it.

use std::sync::Arc;

use auxot_catalog::Model;

use crate::config::{ModelConfig, with_layers};
use crate::model::managed::MemberId;
use crate::model::plan::{need, sized};
use crate::owner::Shared;
use crate::state::Judge;
use auxot_placement::Subject;
use auxot_scheduler::Profile;

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
