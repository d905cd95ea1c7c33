//! Adds models to the fleet, each with its plan and its profile for the scheduler: those of the operator's list, of the router's
//! policy, and those that jobs name.

use std::sync::Arc;
use std::time::SystemTime;

use auxot_catalog::{CHECKPOINT_STEP, Model};
use auxot_engine::Spec;
use tracing::{error, info, warn};

use crate::config::{ModelConfig, table_warnings, with_layers};
use crate::job_task::JobTask;
use crate::model::desired::{DesiredModel, MAX_SLOTS};
use crate::model::history::Key;
use crate::model::managed::{KeepReason, ManagedId, ManagedModel};
use crate::model::plan::{Plan, parameters, requirements, sized, task_of};
use crate::model::process::AfterExit;
use crate::owner::Shared;
use crate::state::scan::Scan;
use crate::state::{Desired, FleetState, Intake, Missing};
use auxot_placement::Subject;
use auxot_scheduler::{ModelState, Profile, Wanted};

impl Shared {
    /// Adds the operator's list, and the desired model of the last run.
    pub(crate) fn open_models(self: &Arc<Self>, desired: Option<DesiredModel>) {
        let scan = Arc::clone(&self.lock().scan);
        scan.resolve_all(&self.names_of(desired.as_ref()));
        self.warn_of_tables(&scan);
        scan.warn_of_aliases();
        let mut state = self.lock();
        for name in &self.settings().fleet.autoload {
            match self.add_model(&mut state, name, KeepReason::Operator, desired.as_ref()) {
                Ok(id) => self.want(&mut state, id, KeepReason::Operator),
                Err(reason) => {
                    error!(reason, "cannot load a model of the autoload list");
                    state.missing.push(Missing { name: name.clone(), reason });
                }
            }
        }
        if let Some(desired) = desired {
            self.apply_policy(&mut state, desired);
            for gap in state.gaps() {
                info!(gap, "the router's last policy cannot be met yet");
            }
        }
        // No job waits yet, so there is no answer to send.
        self.conclude(state, Vec::new());
    }

    /// Warns of tables in the settings that change nothing.
    pub(crate) fn warn_of_tables(&self, scan: &Scan) {
        for setting in table_warnings(&self.settings().fleet, &scan.catalog) {
            warn!(setting, "a table of one model changes nothing");
        }
    }

    /// The names of the operator and the router: those of the list, the tables, and the policy.
    pub(crate) fn names_of(&self, desired: Option<&DesiredModel>) -> Vec<String> {
        let settings = self.settings();
        let desired = desired.map(|desired| desired.model.clone()).filter(|name| !name.is_empty());
        settings.fleet.autoload.iter().chain(settings.fleet.models.keys()).cloned().chain(desired).collect()
    }

    /// Applies the router's policy: its model becomes the primary one, in the desired size.
    pub(crate) fn apply_policy(self: &Arc<Self>, state: &mut FleetState, desired: DesiredModel) {
        if state.intake != Intake::Open {
            return;
        }
        if desired.model.is_empty() {
            state.desired = Desired::Nothing;
            return;
        }
        state.desired = match self.add_model(state, &desired.model, KeepReason::Router, Some(&desired)) {
            Ok(id) => {
                self.resize(state, id, &desired);
                self.want(state, id, KeepReason::Router);
                Desired::Present { id, desired }
            }
            Err(reason) => Desired::Missing { desired, reason, before: state.present_desired() },
        };
    }

    /// Tries once more to add the models that were missing.
    pub(crate) fn retry_missing(self: &Arc<Self>, state: &mut FleetState) {
        let desired = state.policy().cloned();
        for missing in std::mem::take(&mut state.missing) {
            match self.add_model(state, &missing.name, KeepReason::Operator, desired.as_ref()) {
                Ok(id) => self.want(state, id, KeepReason::Operator),
                Err(reason) => state.missing.push(Missing { reason, ..missing }),
            }
        }
        if let (Desired::Missing { .. }, Some(desired)) = (&state.desired, desired) {
            self.apply_policy(state, desired);
        }
    }

    /// Adds the first model of the folders, where no other stays and jobs may name any.
    pub(crate) fn serve_any_model(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        if state.staying().next().is_some() {
            return true;
        }
        let taken = self.add_any(&mut state, JobTask::Chat).is_some();
        drop(state);
        self.changed();
        taken
    }

    /// Serves another model of the folders where every named model has failed and jobs may name any. A failure of the engine
    /// program would hit that one too, and is no reason.
    pub(crate) fn serve_fallback(self: &Arc<Self>, state: &mut FleetState) {
        let program_failed =
            |(_, managed): (_, &ManagedModel)| managed.cause().is_some_and(|cause| cause.class.is_program_fault());
        if state.intake != Intake::Open || !state.all_have_failed() || state.staying().any(program_failed) {
            return;
        }
        if let Some(managed) = self.add_any(state, JobTask::Chat).and_then(|id| state.models.get(&id)) {
            warn!(model = managed.name(), "every named model has failed: another model of the folders is served");
        }
    }

    /// Adds the first model of the folders that is for the task and is not in the fleet, or is leaving.
    pub(crate) fn add_any(self: &Arc<Self>, state: &mut FleetState, task: JobTask) -> Option<ManagedId> {
        let scan = Arc::clone(&state.scan);
        let known = |model: &Model| state.staying().any(|(_, managed)| managed.model.file == model.file);
        let first = scan.catalog.models().iter().find(|model| task.accepts(model.task) && !known(model));
        self.add_file(state, first.filter(|_| self.settings().fleet.on_demand)?, KeepReason::Demand, None).ok()
    }

    /// Adds the model that the operator or the router names, as [`Shared::add_file`] does.
    pub(crate) fn add_model(
        self: &Arc<Self>,
        state: &mut FleetState,
        name: &str,
        keep: KeepReason,
        desired: Option<&DesiredModel>,
    ) -> Result<ManagedId, String> {
        let scan = Arc::clone(&state.scan);
        let model = scan.resolve(name).map_err(|error| error.to_string())?;
        self.add_file(state, model, keep, desired)
    }

    /// Adds a model of the folders to the fleet, unless it is there. Whether it is loaded is decided elsewhere.
    pub(crate) fn add_file(
        self: &Arc<Self>,
        state: &mut FleetState,
        model: &Model,
        keep: KeepReason,
        desired: Option<&DesiredModel>,
    ) -> Result<ManagedId, String> {
        if !model.task.is_served() {
            return Err(format!("cannot serve {}: a {} model has no task here", model.name, model.arch));
        }
        let known = state.models.iter_mut().find(|(_, managed)| managed.model.file == model.file);
        let id = if let Some((id, managed)) = known {
            managed.stay(keep);
            *id
        } else {
            let plan = self.plan(state, model, desired);
            let spec = plan.spec();
            info!(model = %model.name, slots = spec.slots, ctx_per_slot = spec.ctx_per_slot, file = %model.file.display(), "model is added");
            let requirements = Arc::new(requirements(model, &plan.parameters, plan.sizes.size()));
            let scheduler_id = state.scheduler.add(Profile::new(model.name.as_str(), requirements));
            let id = state.add(ManagedModel::new(Arc::new(model.clone()), keep, plan, scheduler_id));
            self.update_profile(state, id);
            id
        };
        Ok(id)
    }

    /// Sets how much a model is wanted, by its keep reason.
    pub(crate) fn want(self: &Arc<Self>, state: &mut FleetState, id: ManagedId, keep: KeepReason) {
        let now = self.moment();
        let want = match keep {
            KeepReason::Operator => Wanted::IfRoom(now),
            KeepReason::Router => Wanted::Since(now),
            KeepReason::Demand | KeepReason::Leaving => Wanted::No,
        };
        // An engine that is about to be replaced is loaded again without this.
        let stays = |managed: &&ManagedModel| managed.engine.as_ref().is_none_or(|engine| engine.after.is_none());
        let Some(scheduler_id) = state.models.get(&id).filter(stays).map(|managed| managed.scheduler_id) else {
            return;
        };
        state.decisions.extend(state.scheduler.want(scheduler_id, want, now));
    }

    /// The plan of a model.
    pub(crate) fn plan(&self, state: &FleetState, model: &Model, desired: Option<&DesiredModel>) -> Plan {
        // A policy is for its own model only; the others use the operator's settings alone.
        let desired = desired
            .filter(|desired| state.scan.resolve(&desired.model).is_ok_and(|desired| desired.file == model.file));
        let own = self.config_of(state, model);
        let engine = &self.settings().engine;
        let parameters = parameters(engine, &own, desired, model);
        let (slots, ctx_per_slot) = (parameters.slots, parameters.ctx);
        let wanted = Spec {
            model: model.name.clone(),
            file: model.file.clone(),
            files: state.scan.of(model),
            mmproj: model.mmproj.clone(),
            task: task_of(model),
            slots,
            ctx_per_slot,
            checkpoint_step: CHECKPOINT_STEP,
            layout: Vec::new(),
            kv_type: own.kv_type.map(|kind| kind.name().to_owned()),
            extra_args: own.args.clone(),
            env: own.env.clone().into_iter().collect(),
        };
        let devices = self.devices.now().devices.iter().map(|device| device.id.clone()).collect();
        // Everything that the engine depends on: the program, the model with its shards, its projector.
        let program = self.engines.program();
        let paths = [&program].into_iter().chain(&model.files).chain(&model.mmproj);
        let files = paths.map(|path| (path.clone(), state.scan.file(path))).collect();
        // The allowed devices are part of the key, like the command line.
        let bounds = format!("devices {:?} layers {:?}", own.devices, own.gpu_layers.unwrap_or(engine.gpu_layers));
        let key = Key::new(files, format!("{} {bounds}", self.engines.line(&wanted)), devices);
        let found = self.found_sizes.recall(&key, SystemTime::now());
        Plan::new(wanted, parameters, key, found)
    }

    /// Changes a model to the desired size, if it has another.
    fn resize(self: &Arc<Self>, state: &mut FleetState, id: ManagedId, desired: &DesiredModel) {
        let Some(model) = state.models.get(&id).map(|managed| Arc::clone(&managed.model)) else { return };
        let mut desired = desired.clone();
        // A size beyond the engine's limit is a gap, and no reason for another size.
        if desired.slots.is_some_and(|slots| slots > MAX_SLOTS) {
            desired.slots = state.models.get(&id).map(|managed| managed.plan.sizes.wanted().slots);
        }
        let plan = self.plan(state, &model, Some(&desired));
        self.change_plan(state, id, plan);
    }

    /// Gives a model another plan. If its engine runs another one, its jobs drain and it is reloaded; jobs that arrive
    /// meanwhile wait for the new engine.
    pub(crate) fn change_plan(self: &Arc<Self>, state: &mut FleetState, id: ManagedId, plan: Plan) {
        let now = self.moment();
        let Some(managed) = state.models.get_mut(&id).filter(|managed| !managed.plan.is_for(&plan)) else { return };
        let scheduler_id = managed.scheduler_id;
        if managed.change_plan(plan) {
            let next = managed.plan.spec();
            info!(
                model = managed.name(),
                slots = next.slots,
                ctx_per_slot = next.ctx_per_slot,
                "model gets another size"
            );
            // An evicted model uses the new plan at its next load, if there is one.
            if state.scheduler.makes_room_for(scheduler_id).is_some() {
                return;
            }
            if let Some(engine) = &mut managed.engine {
                engine.after = Some(AfterExit::Reload);
            }
            state.decisions.extend(state.scheduler.unload(
                scheduler_id,
                now + self.settings().fleet.drain_timeout,
                now,
            ));
            return;
        }
        let was_stopping = managed.engine.as_mut().is_some_and(|engine| engine.after.take().is_some());
        let (has_failed, keep) = (matches!(state.scheduler.state(scheduler_id), ModelState::Failed), managed.keep);
        self.update_profile(state, id);
        if has_failed {
            state.decisions.extend(state.scheduler.reset(scheduler_id, now));
        }
        if has_failed || was_stopping {
            self.want(state, id, keep);
        }
    }

    /// The profile of a model: its requirements, its measurements, and its settings.
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
