//! What is true of the fleet at one moment, for heartbeats, metrics and people.

pub(crate) mod metrics;

use std::sync::Arc;

use auxot_catalog::{Model, Rank};
use auxot_engine::{Ready, State, Status};
use auxot_gpu::{Device, HOST, Kind, Sample};

use crate::model::managed::ManagedModel;
use crate::model::process::Engine;
use auxot_scheduler::{Admission, ModelState};

/// The fleet at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// Every model, the primary one first.
    pub models: Vec<ModelView>,
    /// The newest reading of the devices.
    pub devices: Arc<Sample>,
    /// Ids of those that the engine cannot use: no model will ever lie there.
    pub out_of_reach: Vec<String>,
    /// What was wished for and cannot be had, one sentence each.
    pub unmet: Vec<String>,
}

impl Report {
    /// The devices on which models can lie.
    pub fn reached(&self) -> impl Iterator<Item = &Device> {
        self.devices.devices.iter().filter(|device| !self.out_of_reach.contains(&device.id))
    }
}

/// One model at one moment.
#[derive(Debug, Clone)]
pub struct ModelView {
    /// What is on disk.
    pub model: Arc<Model>,
    /// Where its process is.
    pub status: Status,
    /// The engine that takes jobs now.
    pub ready: Option<Arc<Ready>>,
    /// Slots that it has, or will have once it is loaded.
    pub slots: u32,
    /// Tokens of context of each slot, in the same sense.
    pub ctx_size: u32,
    /// It is not loaded, and will be for a job.
    pub asleep: bool,
    /// Its slots that hold a job.
    pub slots_busy: u32,
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Bytes per device id that its process holds; empty where nobody can tell.
    pub memory: Vec<(String, u64)>,
    /// Bytes per device id that it was expected to take; empty while it is not loaded.
    pub expected: Vec<(String, u64)>,
    /// Bytes per device id that it has turned out to take, what the engine keeps of earlier prompts aside; empty where nobody
    /// can tell.
    pub took: Vec<(String, u64)>,
}

/// A model of the folders that nobody has asked for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnloadedModel {
    /// Its name.
    pub name: String,
    /// What it can do, in the protocol's words.
    pub capabilities: Vec<String>,
}

impl UnloadedModel {
    pub(crate) fn of(model: &Model) -> Self {
        Self { name: model.name.clone(), capabilities: capabilities(model, model.vision) }
    }
}

/// What a model is called besides its canonical name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNames {
    /// The canonical name.
    pub model: String,
    /// The quantisation, as the file's name or else the header says.
    pub quant: Option<String>,
    /// Names of the file, and of links to it.
    pub files: Vec<String>,
    /// What the header and the folders say.
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
    pub(crate) fn of(managed: &ManagedModel, scheduler: &Admission, devices: &Sample) -> Self {
        let life = scheduler.state(managed.scheduler_id);
        let takes = matches!(life, ModelState::Ready { draining: None, .. });
        let ready = managed.ready().filter(|_| takes).cloned();
        let planned = managed.engine.as_ref().map_or_else(|| managed.plan.spec(), |engine| engine.spec.clone());
        Self {
            model: Arc::clone(&managed.model),
            expected: managed.engine.as_ref().map(expected).unwrap_or_default(),
            took: managed.engine.as_ref().map(Engine::took).unwrap_or_default(),
            memory: managed.engine.as_ref().map(|engine| memory_of(engine, devices)).unwrap_or_default(),
            status: status(managed, life, scheduler.is_wanted(managed.scheduler_id)),
            slots: ready.as_ref().map_or(planned.slots, |ready| ready.props.total_slots),
            ctx_size: ready.as_ref().map_or(planned.ctx_per_slot.unwrap_or_default(), |ready| ready.props.n_ctx),
            asleep: matches!(life, ModelState::Absent) && !scheduler.is_wanted(managed.scheduler_id),
            ready,
            slots_busy: scheduler.busy(managed.scheduler_id),
            waiting: scheduler.waiting(managed.scheduler_id),
        }
    }

    /// Bytes of its process over all devices; unknown is not zero.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        (!self.memory.is_empty()).then(|| self.memory.iter().map(|(_, bytes)| bytes).sum())
    }

    /// How much more it takes than was expected, as a part of what it takes, where both are known for the same devices;
    /// negative where it takes less.
    #[must_use]
    pub fn estimate_error(&self) -> Option<f64> {
        self.ready.as_ref()?;
        let both = self.took.iter().map(|(device, took)| {
            let expected = self.expected.iter().find(|(expected, _)| expected == device)?;
            Some((*took, expected.1))
        });
        let (took, expected) =
            both.collect::<Option<Vec<_>>>()?.into_iter().fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        (took > 0 && expected > 0).then(|| (took as f64 - expected as f64) / took as f64)
    }

    /// What it can do, in the protocol's words.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let vision = self.ready.as_ref().map_or(self.asleep && self.model.vision, |ready| ready.props.vision);
        capabilities(&self.model, vision)
    }
}

fn capabilities(model: &Model, vision: bool) -> Vec<String> {
    let task = match model.task {
        auxot_catalog::Task::Chat => "chat",
        auxot_catalog::Task::Embedding => "embedding",
        auxot_catalog::Task::Rerank => "rerank",
        // Never enrolled, so nobody asks.
        auxot_catalog::Task::None => return Vec::new(),
    };
    std::iter::once(task).chain(vision.then_some("vision")).map(str::to_owned).collect()
}

fn expected(engine: &Engine) -> Vec<(String, u64)> {
    let bytes = engine.placement.bytes().filter(|(_, bytes)| *bytes > 0);
    bytes.map(|(device, bytes)| (device.to_owned(), bytes)).collect()
}

/// Where a model is: its process, or what is to become of it.
fn status(managed: &ManagedModel, life: &ModelState, wanted: bool) -> Status {
    let mut status = managed.last.clone().unwrap_or_else(Status::stopped);
    status.state = match (life, status.state) {
        (ModelState::Ready { draining: Some(_), .. }, State::Ready(_)) => State::Draining,
        (ModelState::Coming { .. }, _) => State::Starting { progress: None },
        (ModelState::Absent, _) if wanted => State::Starting { progress: None },
        (ModelState::Absent, _) => State::Stopped,
        (ModelState::Leaving { .. }, _) if managed.engine.is_none() => State::Stopping,
        // Between two tries.
        (ModelState::Loading { .. }, State::Stopped | State::Failed { .. }) => State::Starting { progress: None },
        (_, state) => state,
    };
    status
}

/// The memory of an engine: what the drivers say of it where it lies on devices, else its resident host memory, less what it
/// holds twice. Empty where nobody can tell: in a container a driver may know it by another number.
pub(crate) fn memory_of(engine: &Engine, devices: &Sample) -> Vec<(String, u64)> {
    let Some(pid) = engine.status.pid else { return Vec::new() };
    let on_devices = devices.devices.iter().filter(|device| device.kind != Kind::Host).filter_map(|device| {
        let used = device.processes.iter().find(|process| process.pid == pid)?;
        Some((device.id.clone(), used.bytes?))
    });
    let mut holds: Vec<(String, u64)> = on_devices.collect();
    if holds.is_empty() && engine.placement.shares.is_empty() {
        holds.extend(engine.needs_of_host().map(|bytes| (HOST.to_owned(), bytes)));
    }
    holds
}
