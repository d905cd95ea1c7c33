//! A snapshot of the fleet for heartbeats, metrics and operators.

pub(crate) mod metrics;

use std::sync::Arc;
use std::time::Duration;

use auxot_catalog::{Model, Rank};
use auxot_engine::{Ready, Status};
use auxot_gpu::{Device, HOST, Kind, Sample};

use crate::download::Download;
use crate::model::managed::ManagedModel;
use crate::model::process::Engine;
use auxot_scheduler::{ModelState, Scheduler};

/// A snapshot of the fleet.
#[derive(Debug, Clone)]
pub struct Report {
    /// Every model, the primary one first.
    pub models: Vec<ModelView>,
    /// The newest sample of the devices.
    pub devices: Arc<Sample>,
    /// Ids of the devices that the engine cannot use: no model is placed there.
    pub unusable_devices: Vec<String>,
    /// What was desired and cannot be met, one sentence each.
    pub unmet: Vec<String>,
    /// Downloads of models that are missing, the running one first.
    pub downloads: Vec<Download>,
}

impl Report {
    /// The devices that models can be placed on.
    pub fn usable_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.devices.iter().filter(|device| !self.unusable_devices.contains(&device.id))
    }
}

/// A snapshot of one model.
#[derive(Debug, Clone)]
pub struct ModelView {
    /// The model on disk.
    pub model: Arc<Model>,
    /// Its state.
    pub state: ModelState,
    /// It is never evicted.
    pub pinned: bool,
    /// The status of its engine: the present one, or the one before.
    pub status: Status,
    /// The engine, while it takes jobs.
    pub ready: Option<Arc<Ready>>,
    /// Its slots, or those it will have once loaded.
    pub slots: u32,
    /// Tokens of context of each slot, now or once loaded.
    pub ctx_size: u32,
    /// Slots that run a job.
    pub slots_busy: u32,
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Bytes per device id that its process holds; empty where that is unknown.
    pub memory: Vec<(String, u64)>,
    /// Estimated bytes per device id; empty while it is not loaded.
    pub estimated: Vec<(String, u64)>,
    /// Measured bytes per device id, without the engine's prompt cache; empty where that is unknown.
    pub measured: Vec<(String, u64)>,
    /// What a load would take, while it is not loaded.
    pub load: Option<ExpectedLoad>,
}

/// What it takes to load a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedLoad {
    /// How long its last load took; `None` before the first one.
    pub time: Option<Duration>,
    /// Whether other models have to be unloaded for it; `None` where free memory is unknown.
    pub evicts: Option<bool>,
}

/// A model of the folders that no list, policy or job has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnloadedModel {
    /// Its name.
    pub name: String,
    /// What it can do, in the protocol's words.
    pub capabilities: Vec<String>,
    /// Tokens of context that it was trained for, where its header says so.
    pub ctx_train: Option<u32>,
}

impl UnloadedModel {
    pub(crate) fn of(model: &Model) -> Self {
        Self { name: model.name.clone(), capabilities: capabilities(model, model.vision), ctx_train: model.ctx_train }
    }
}

/// The names of a model besides its canonical name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNames {
    /// The canonical name.
    pub model: String,
    /// The quantisation, of the file's name or else of the header.
    pub quant: Option<String>,
    /// Names of the file, and of links to it.
    pub files: Vec<String>,
    /// Names in the header and of the folders.
    pub around: Vec<String>,
}

impl OtherNames {
    pub(crate) fn of(model: &Model, names: &[(Rank, String)]) -> Self {
        let of =
            |wanted: Rank| names.iter().filter(|(rank, _)| *rank == wanted).map(|(_, name)| name.clone()).collect();
        Self { model: model.name.clone(), quant: model.quant.clone(), files: of(Rank::File), around: of(Rank::Around) }
    }
}

impl ModelView {
    pub(crate) fn of(managed: &ManagedModel, scheduler: &Scheduler, devices: &Sample) -> Self {
        let model_state = scheduler.state(managed.scheduler_id);
        let ready = managed.ready().filter(|_| matches!(model_state, ModelState::Ready(_))).cloned();
        let planned = managed.engine.as_ref().map_or_else(|| managed.plan.spec(), |engine| engine.spec.clone());
        Self {
            model: Arc::clone(&managed.model),
            estimated: managed.engine.as_ref().map(estimated).unwrap_or_default(),
            measured: managed.engine.as_ref().map(Engine::measured).unwrap_or_default(),
            memory: managed.engine.as_ref().map(|engine| memory_of(engine, devices)).unwrap_or_default(),
            state: model_state.clone(),
            pinned: scheduler.is_pinned(managed.scheduler_id),
            status: managed.last.clone().unwrap_or_else(Status::stopped),
            slots: ready.as_ref().map_or(planned.slots, |ready| ready.props.total_slots),
            ctx_size: ready.as_ref().map_or(planned.ctx_per_slot, |ready| ready.props.n_ctx),
            ready,
            slots_busy: scheduler.busy(managed.scheduler_id),
            waiting: scheduler.waiting(managed.scheduler_id),
            load: matches!(model_state, ModelState::OnDisk).then(|| ExpectedLoad {
                time: scheduler.load_time(managed.scheduler_id),
                evicts: scheduler.needs_eviction(managed.scheduler_id),
            }),
        }
    }

    /// How far its load is, from 0 to 1, where its engine reports it.
    #[must_use]
    pub fn load_progress(&self) -> Option<f32> {
        match self.status.state {
            auxot_engine::State::Starting { progress } if self.state.is_loading() => progress,
            _ => None,
        }
    }

    /// Whether a job gets a slot, or loads it.
    #[must_use]
    pub fn takes_jobs(&self) -> bool {
        self.ready.is_some() || matches!(self.state, ModelState::OnDisk)
    }

    /// Bytes of its process over all devices; unknown is not zero.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        (!self.memory.is_empty()).then(|| self.memory.iter().map(|(_, bytes)| bytes).sum())
    }

    /// The part of the measured memory that the estimate missed, where both are known for the same devices; negative where the
    /// estimate was too high.
    #[must_use]
    pub fn estimate_error(&self) -> Option<f64> {
        self.ready.as_ref()?;
        let both = self.measured.iter().map(|(device, measured)| {
            let estimated = self.estimated.iter().find(|(estimated, _)| estimated == device)?;
            Some((*measured, estimated.1))
        });
        let (measured, estimated) =
            both.collect::<Option<Vec<_>>>()?.into_iter().fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        (measured > 0 && estimated > 0).then(|| (measured as f64 - estimated as f64) / measured as f64)
    }

    /// What it can do, in the protocol's words.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let vision = self.ready.as_ref().map_or(self.takes_jobs() && self.model.vision, |ready| ready.props.vision);
        capabilities(&self.model, vision)
    }
}

fn capabilities(model: &Model, vision: bool) -> Vec<String> {
    let task = match model.task {
        auxot_catalog::Task::Chat => "chat",
        auxot_catalog::Task::Embedding => "embedding",
        auxot_catalog::Task::Rerank => "rerank",
        // Such a model is never added to the fleet.
        auxot_catalog::Task::None => return Vec::new(),
    };
    std::iter::once(task).chain(vision.then_some("vision")).map(str::to_owned).collect()
}

fn estimated(engine: &Engine) -> Vec<(String, u64)> {
    let bytes = engine.placement.bytes().filter(|(_, bytes)| *bytes > 0);
    bytes.map(|(device, bytes)| (device.to_owned(), bytes)).collect()
}

/// The memory of an engine: on devices as the drivers report it, else its resident host memory without repacked weights. Empty
/// where it is unknown: in a container a driver may list the process under another pid.
pub(crate) fn memory_of(engine: &Engine, devices: &Sample) -> Vec<(String, u64)> {
    let Some(pid) = engine.status.pid else { return Vec::new() };
    let on_devices = devices.devices.iter().filter(|device| device.kind != Kind::Host).filter_map(|device| {
        let used = device.processes.iter().find(|process| process.pid == pid)?;
        Some((device.id.clone(), used.bytes?))
    });
    let mut holds: Vec<(String, u64)> = on_devices.collect();
    if holds.is_empty() && engine.placement.shares.is_empty() {
        let on_host = devices.devices.iter().filter(|device| device.is_host()).flat_map(|host| &host.processes);
        let used = on_host.into_iter().find(|process| process.pid == pid).and_then(|used| engine.needs(used));
        holds.extend(used.map(|bytes| (HOST.to_owned(), bytes)));
    }
    holds
}
