//! One worker as the board sees it: its models, its slots, its jobs.

use std::collections::HashMap;

use auxot_protocol::{Capabilities, Heartbeat, ModelReport, ModelState, extension};

use super::offer::{ModelOffer, Readiness};
use super::{BoardLimits, JobId, ResolvedRequirements};
use crate::desired_model::is_pending;
use crate::resolver::WorkerModels;

/// A model's name longer than this is none: it is not offered to clients.
const MAX_NAME: usize = 512;
/// Models of one worker that count.
const MAX_MODELS: usize = 10_000;

/// What there is for a chat that names no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChatAvailability {
    /// A model that serves, loads, or may do so, as far as is known.
    MayServe,
    /// Models for chats, of which none can be loaded: one of them.
    Failed(String),
    /// None for chats: the others, each with what it is for.
    NoChatModel(Vec<String>),
}

/// One connection that said `hello` with a good key.
#[derive(Debug)]
pub(crate) struct ConnectedWorker {
    /// Name of the only model, where `models` is empty.
    primary: String,
    models: Vec<ModelReport>,
    total_slots: u32,
    pending: bool,
    /// It wants no more jobs: it said so, or gave one back.
    pub(super) draining: bool,
    /// It understands the parameters of a caller's request.
    parameters: bool,
    named: WorkerModels,
    /// Heartbeats come within the threshold.
    pub(super) alive: bool,
    /// Jobs it holds, each with the model it counts for.
    pub(super) jobs: HashMap<JobId, Option<String>>,
    /// When it was last given a job, as a number that grows.
    pub(crate) last_dispatch: u64,
}

impl ConnectedWorker {
    pub(super) fn new(capabilities: &Capabilities, limits: &BoardLimits) -> Self {
        let mut worker = Self {
            primary: String::new(),
            models: Vec::new(),
            total_slots: limits.default_slots,
            pending: false,
            draining: false,
            parameters: false,
            named: WorkerModels::default(),
            alive: true,
            jobs: HashMap::new(),
            last_dispatch: 0,
        };
        worker.update_capabilities(capabilities);
        worker
    }

    /// Takes new capabilities; slots of 0 or none mean "as before". Returns whether its models have other names now.
    pub(super) fn update_capabilities(&mut self, capabilities: &Capabilities) -> bool {
        self.primary.clone_from(&capabilities.model);
        self.models = valid_models(&capabilities.models);
        self.pending = is_pending(capabilities);
        self.draining = capabilities.draining;
        self.parameters = extension::has(&capabilities.extensions, extension::PARAMETERS);
        if let Some(slots) = capabilities.total_slots.filter(|&slots| slots > 0) {
            self.total_slots = slots;
        }
        let only = (self.models.is_empty() && !self.pending).then_some(self.primary.as_str());
        let only = only.filter(|name| is_valid_name(name));
        let named = WorkerModels::of(self.models.iter().map(|report| report.name.as_str()), only, capabilities);
        let changed = named != self.named;
        self.named = named;
        changed
    }

    /// Takes the truth of a heartbeat. Returns whether its models have other names now.
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> bool {
        self.draining = heartbeat.draining;
        if heartbeat.models.is_empty() {
            return false;
        }
        self.models = valid_models(&heartbeat.models);
        let same = self.named.names().eq(self.models.iter().map(|report| report.name.as_str()));
        if !same {
            self.named.rename(self.models.iter().map(|report| report.name.as_str()));
        }
        !same
    }

    /// Its models with their names.
    pub(super) fn named(&self) -> &WorkerModels {
        &self.named
    }

    /// Names of the models that it can answer chats with, the primary one first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let only = self.models.is_empty().then(|| self.named.names()).into_iter().flatten();
        self.models.iter().filter(|report| serves(report)).map(|report| report.name.as_str()).chain(only)
    }

    /// Whether it has the model of this canonical name in whatever state.
    pub(super) fn has(&self, model: &str) -> bool {
        self.named.names().any(|name| name == model)
    }

    /// Whether it has the model, and not as one that gave up.
    pub(super) fn may_load(&self, model: &str) -> bool {
        self.models.is_empty() || self.report(model).is_some_and(|report| report.state != ModelState::Failed)
    }

    /// What the model is for, where that is not chats.
    pub(super) fn other_task(&self, model: &str) -> Option<&[String]> {
        self.report(model).filter(|report| !can_chat(report)).map(|report| report.capabilities.as_slice())
    }

    /// What it has for a chat that names no model.
    pub(super) fn chat_availability(&self) -> ChatAvailability {
        if self.models.is_empty() {
            return ChatAvailability::MayServe;
        }
        let mut chats = self.models.iter().filter(|report| can_chat(report)).peekable();
        match chats.peek() {
            None => ChatAvailability::NoChatModel(self.models.iter().map(with_tasks).collect()),
            Some(first) => {
                let failed = ChatAvailability::Failed(first.name.clone());
                if chats.any(serves) { ChatAvailability::MayServe } else { failed }
            }
        }
    }

    /// Whether it understands the parameters of a caller's request.
    pub(super) fn has_parameters(&self) -> bool {
        self.parameters
    }

    fn report(&self, model: &str) -> Option<&ModelReport> {
        self.models.iter().find(|report| report.name == model)
    }

    /// Jobs it can run at once.
    pub(super) fn slots(&self) -> u32 {
        if self.draining {
            return 0;
        }
        if self.models.is_empty() {
            return self.total_slots;
        }
        self.models.iter().filter(|report| report.state == ModelState::Ready).map(|report| self.slots_of(report)).sum()
    }

    /// What it offers for a job; nothing when it is silent, ends, or has no such model at hand.
    pub(super) fn offer(&self, target: ResolvedRequirements<'_>) -> Option<ModelOffer> {
        if !self.alive {
            return None;
        }
        let held = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let only = |slots| ModelOffer {
            readiness: Readiness::Ready,
            used: held,
            slots,
            model: None,
            reported_model: self.primary.clone(),
        };
        if self.draining || (target.parameters && !self.parameters) {
            return None;
        }
        if self.models.is_empty() {
            let mine = !self.pending && target.model.is_none_or(|model| self.has(model));
            return mine.then(|| only(self.total_slots.max(1)));
        }
        match target.model {
            Some(model) => self.report(model).and_then(|report| self.offer_of(report)),
            None => self.models.iter().find(|report| serves(report)).and_then(|report| self.offer_of(report)),
        }
    }

    fn offer_of(&self, report: &ModelReport) -> Option<ModelOffer> {
        let readiness = match report.state {
            ModelState::Ready => Readiness::Ready,
            ModelState::Starting => Readiness::Starting,
            ModelState::Stopped => Readiness::Stopped,
            ModelState::Draining | ModelState::Stopping | ModelState::BackingOff | ModelState::Failed => return None,
        };
        let used = self.jobs.values().filter(|model| model.as_deref() == Some(report.name.as_str())).count();
        Some(ModelOffer {
            readiness,
            used: u32::try_from(used).unwrap_or(u32::MAX),
            slots: self.slots_of(report),
            model: Some(report.name.clone()),
            reported_model: report.name.clone(),
        })
    }

    fn slots_of(&self, report: &ModelReport) -> u32 {
        report.slots.unwrap_or(self.total_slots).max(1)
    }
}

/// The models that may be offered at all.
fn valid_models(models: &[ModelReport]) -> Vec<ModelReport> {
    models.iter().filter(|report| is_valid_name(&report.name)).take(MAX_MODELS).cloned().collect()
}

fn is_valid_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control)
}

/// Whether the model can answer a chat, now or once it is loaded.
fn serves(report: &ModelReport) -> bool {
    can_chat(report) && report.state != ModelState::Failed
}

/// A worker that does not say what its models are for has models for chats.
fn can_chat(report: &ModelReport) -> bool {
    report.capabilities.is_empty() || report.capabilities.iter().any(|capability| capability == "chat")
}

fn with_tasks(report: &ModelReport) -> String {
    format!("{} ({})", report.name, report.capabilities.join(", "))
}
