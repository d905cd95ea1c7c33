//! The profile of a model for the scheduler: its requirements, its measurements, and its settings.

use std::sync::Arc;

use auxot_catalog::Model;

use crate::config::{ModelConfig, with_layers};
use crate::model::managed::ManagedId;
use crate::model::plan::{requirements, sized};
use crate::owner::Shared;
use crate::state::FleetState;
use auxot_placement::Subject;
use auxot_scheduler::Profile;

impl Shared {
    /// The profile of a model.
    fn profile(&self, state: &FleetState, id: ManagedId) -> Profile {
        let managed = &state.models[&id];
        let size = managed.plan.sizes.size();
        let requirements = Arc::new(requirements(&managed.model, &managed.plan.parameters, size));
        let own = self.config_of(state, &managed.model);
        Profile {
            pin: managed.pinned.unwrap_or(own.pin),
            priority: own.priority,
            ttl: self.settings().fleet.ttl_of(&own).filter(|_| managed.pinned != Some(true)),
            rules: own.gpu_layers.map(|layers| with_layers(state.scheduler.rules(), layers)),
            devices: Some(own.devices).filter(|names| !names.is_empty()),
            shrinks: true,
            remembered: self.subject(state, id).map(|subject| self.measurements.about(subject)),
            ..Profile::new(managed.name(), requirements)
        }
    }

    /// Sends the present profile of a model to the scheduler.
    pub(crate) fn update_profile(&self, state: &mut FleetState, id: ManagedId) {
        let profile = self.profile(state, id);
        if let Some(managed) = state.models.get_mut(&id) {
            managed.unknown_devices.name(profile.devices.as_deref().unwrap_or_default());
            managed.unknown_devices.check(&managed.model.name, &self.devices.now());
        }
        state.scheduler.set(state.models[&id].scheduler_id, profile);
    }

    /// The key of a model's measurements in its present size.
    pub(crate) fn subject(&self, state: &FleetState, id: ManagedId) -> Option<Subject> {
        let managed = &state.models[&id];
        let identity = state.scan.catalog.identity(&managed.model)?;
        let parameters = sized(&managed.plan.parameters, managed.plan.sizes.size());
        let arguments = [&self.settings().engine.extra_args[..], &managed.plan.spec().extra_args].concat();
        Some(Subject { file: managed.model.file.clone(), identity, parameters, arguments, build: self.engines.build() })
    }

    /// The settings of one model, by any of its names.
    pub(crate) fn config_of(&self, state: &FleetState, model: &Model) -> ModelConfig {
        self.settings().fleet.of(model, |name| state.scan.resolve(name).ok())
    }
}
