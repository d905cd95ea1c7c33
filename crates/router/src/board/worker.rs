//! One connected worker: its models, its slots, its jobs.

use std::collections::HashMap;
use std::sync::Arc;

use auxot_llama::PathTask;
use auxot_protocol::{Capabilities, Heartbeat, ModelReport, ModelState, extension};

use super::offer::{LoadCost, ModelOffer, Readiness};
use super::ranking::{Rank, Ranks, TASKS};
use super::totals::WorkerTotals;
use super::{BoardLimits, JobId, RequiredExtension, ResolvedRequirements, WorkerId};
use crate::desired_model::is_pending;
use crate::resolver::WorkerModels;

/// A longer model name is not listed for clients.
const MAX_NAME: usize = 512;
/// More models of one worker are ignored.
const MAX_MODELS: usize = 10_000;

/// What is available for a job that names no model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Availability {
    /// A model that serves, loads or may load, as far as is known.
    MayServe,
    /// There are models for the task, and all have failed: one of them.
    Failed(String),
    /// There is no model for the task: the other models with their tasks.
    OtherTasks(Vec<String>),
}

/// What an operator sees of a worker's jobs and models.
#[derive(Debug, Clone)]
pub(crate) struct WorkerView {
    pub(crate) alive: bool,
    pub(crate) draining: bool,
    /// It does not know its model yet.
    pub(crate) pending: bool,
    /// Jobs that it can run in parallel.
    pub(crate) slots: u32,
    /// The model of each of its jobs; `None` where it lists no models.
    pub(crate) jobs: Vec<Option<String>>,
    pub(crate) models: Arc<Vec<ModelReport>>,
    /// Names of its models where it reports none of them.
    pub(crate) names: Arc<[Arc<str>]>,
}

/// One connection that sent `hello` with a good key.
#[derive(Debug)]
pub(crate) struct ConnectedWorker {
    pub(super) id: WorkerId,
    /// Name of the only model, where `models` is empty.
    primary: String,
    models: Arc<Vec<ModelReport>>,
    /// Where in `models` each is.
    places: HashMap<String, usize>,
    /// The number of the last job for each place of `ranks`, counted over all workers.
    last_dispatch: Vec<u64>,
    /// The names of its models, for the ranks.
    names: Arc<[Arc<str>]>,
    ranks: Ranks,
    total_slots: u32,
    pending: bool,
    /// It accepts no more jobs: it reported so, or returned one.
    pub(super) draining: bool,
    /// It has the `parameters` extension.
    parameters: bool,
    /// It has the `requests` extension.
    requests: bool,
    named: WorkerModels,
    /// Its heartbeats come within the threshold.
    pub(super) alive: bool,
    /// Its jobs, each with the model whose slot it uses.
    pub(super) jobs: HashMap<JobId, Option<String>>,
}

impl ConnectedWorker {
    pub(super) fn new(id: WorkerId, capabilities: &Capabilities, limits: &BoardLimits) -> Self {
        let mut worker = Self {
            id,
            primary: String::new(),
            models: Arc::default(),
            places: HashMap::new(),
            last_dispatch: Vec::new(),
            names: Arc::default(),
            ranks: Ranks::default(),
            total_slots: limits.default_slots,
            pending: false,
            draining: false,
            parameters: false,
            requests: false,
            named: WorkerModels::default(),
            alive: true,
            jobs: HashMap::new(),
        };
        worker.update_capabilities(capabilities);
        worker
    }

    /// Takes new capabilities; slots of 0 or none mean "unchanged". Returns the names of its models before, where
    /// they have changed.
    pub(super) fn update_capabilities(&mut self, capabilities: &Capabilities) -> Option<WorkerModels> {
        self.primary.clone_from(&capabilities.model);
        self.models = Arc::new(valid_models(capabilities.models.iter().cloned()));
        self.pending = is_pending(capabilities);
        self.draining = capabilities.draining;
        self.parameters = extension::has(&capabilities.extensions, extension::PARAMETERS);
        self.requests = extension::has(&capabilities.extensions, extension::REQUESTS);
        if let Some(slots) = capabilities.total_slots.filter(|&slots| slots > 0) {
            self.total_slots = slots;
        }
        let only = (self.models.is_empty() && !self.pending).then_some(self.primary.as_str());
        let only = only.filter(|name| is_valid_name(name));
        let named = WorkerModels::of(self.models.iter().map(|report| report.name.as_str()), only, capabilities);
        let before = (named != self.named).then(|| std::mem::replace(&mut self.named, named));
        self.find_places();
        before
    }

    /// The names of its models may have changed. Of two models with one name the first counts.
    fn find_places(&mut self) {
        self.places.clear();
        for (place, report) in self.models.iter().enumerate() {
            self.places.entry(report.name.clone()).or_insert(place);
        }
        let names: Vec<Arc<str>> = match self.models.is_empty() {
            true => self.named.names().map(Arc::from).collect(),
            false => self.models.iter().map(|report| report.name.as_str().into()).collect(),
        };
        if *names != *self.names {
            self.last_dispatch = vec![0; names.len()];
            self.names = names.into();
        }
    }

    /// It gets a job, the `number`th of all.
    pub(super) fn begin(&mut self, job: JobId, model: Option<String>, number: u64) {
        match model.as_ref().and_then(|model| self.places.get(model)) {
            Some(place) => self.last_dispatch[*place] = number,
            // A worker that lists no models has the same slots for all of its names.
            None => self.last_dispatch.fill(number),
        }
        self.jobs.insert(job, model);
    }

    /// Its ranks as of the last update.
    pub(super) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Updates its ranks; returns those before.
    pub(super) fn update_ranks(&mut self) -> Ranks {
        let present = self.present_ranks();
        std::mem::replace(&mut self.ranks, present)
    }

    /// Its ranks as it is now.
    pub(super) fn present_ranks(&self) -> Ranks {
        let rank = |target: ResolvedRequirements<'_>| {
            let offer = self.offer(target)?;
            let place = offer.model.and_then(|model| self.places.get(model)).copied().unwrap_or_default();
            Some(Rank::of(self.id, &offer, self.last_dispatch.get(place).copied().unwrap_or_default()))
        };
        let any = |model, task| ResolvedRequirements { model, task, extension: RequiredExtension::None };
        let models = self.names.iter().map(|name| rank(any(Some(name), PathTask::Any))).collect();
        let tasks = TASKS.map(|task| rank(any(None, task)));
        Ranks { names: Arc::clone(&self.names), models, tasks }
    }

    /// Takes the models of a heartbeat. Returns their names before, where they have changed.
    pub(super) fn heartbeat(&mut self, heartbeat: Heartbeat) -> Option<WorkerModels> {
        self.draining = heartbeat.draining;
        if heartbeat.models.is_empty() {
            return None;
        }
        self.models = Arc::new(valid_models(heartbeat.models.into_iter()));
        if self.named.names().eq(self.models.iter().map(|report| report.name.as_str())) {
            return None;
        }
        let before = self.named.clone();
        self.named.rename(self.models.iter().map(|report| report.name.as_str()));
        self.find_places();
        Some(before)
    }

    /// What an operator sees of it.
    pub(super) fn view(&self) -> WorkerView {
        WorkerView {
            alive: self.alive,
            draining: self.draining,
            pending: self.pending,
            slots: self.slots(),
            jobs: self.jobs.values().cloned().collect(),
            models: Arc::clone(&self.models),
            names: Arc::clone(&self.names),
        }
    }

    /// Its models with their names.
    pub(super) fn named(&self) -> &WorkerModels {
        &self.named
    }

    /// Names of the models for a task, the primary one first.
    pub(super) fn names(&self, task: PathTask) -> impl Iterator<Item = &str> {
        let only = self.models.is_empty().then(|| self.named.names()).into_iter().flatten();
        self.models.iter().filter(move |report| serves(report, task)).map(|report| report.name.as_str()).chain(only)
    }

    /// Names of the models that clients can use: of all tasks where the worker takes whole requests.
    pub(super) fn usable(&self) -> impl Iterator<Item = &str> {
        self.names(if self.requests { PathTask::Any } else { PathTask::Chat })
    }

    /// Whether it has the model of this canonical name, in any state.
    pub(super) fn has(&self, model: &str) -> bool {
        match self.models.is_empty() {
            true => self.named.names().any(|name| name == model),
            false => self.places.contains_key(model),
        }
    }

    /// Whether it has the model in a state other than failed.
    pub(super) fn may_load(&self, model: &str) -> bool {
        self.models.is_empty() || self.report(model).is_some_and(|report| report.state != ModelState::Failed)
    }

    /// The tasks of the model, if this one is not among them.
    pub(super) fn other_task(&self, model: &str, task: PathTask) -> Option<&[String]> {
        self.report(model).filter(|report| !is_for(report, task)).map(|report| report.capabilities.as_slice())
    }

    /// What it has for a job that names no model.
    pub(super) fn availability(&self, task: PathTask) -> Availability {
        if self.models.is_empty() {
            return Availability::MayServe;
        }
        let mut suited = self.models.iter().filter(|report| is_for(report, task)).peekable();
        match suited.peek() {
            None => Availability::OtherTasks(self.models.iter().map(with_tasks).collect()),
            Some(first) => {
                let failed = Availability::Failed(first.name.clone());
                if suited.any(|report| serves(report, task)) { Availability::MayServe } else { failed }
            }
        }
    }

    /// Whether it has the extension.
    pub(super) fn has_extension(&self, extension: RequiredExtension) -> bool {
        match extension {
            RequiredExtension::None => true,
            RequiredExtension::Parameters => self.parameters || self.requests,
            RequiredExtension::Requests => self.requests,
        }
    }

    /// How ready the model is; `None` where it takes no jobs.
    pub(super) fn readiness(&self, model: &str) -> Option<Readiness> {
        self.report(model).and_then(|report| self.offer_of(report)).map(|offer| offer.readiness)
    }

    fn report(&self, model: &str) -> Option<&ModelReport> {
        self.models.get(*self.places.get(model)?)
    }

    /// What it adds to the totals of the board.
    pub(super) fn totals(&self) -> WorkerTotals {
        match self.alive {
            true => WorkerTotals { workers: 1, slots: u64::from(self.slots()) },
            false => WorkerTotals::default(),
        }
    }

    /// Jobs that it can run in parallel.
    pub(super) fn slots(&self) -> u32 {
        if self.draining {
            return 0;
        }
        if self.models.is_empty() {
            return self.total_slots;
        }
        self.models.iter().filter(|report| report.state == ModelState::Ready).map(|report| self.slots_of(report)).sum()
    }

    /// Its offer for a job; `None` when it is silent, drains or does not have the model.
    pub(super) fn offer(&self, target: ResolvedRequirements<'_>) -> Option<ModelOffer<'_>> {
        if !self.alive {
            return None;
        }
        let held = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX);
        let only = |slots| ModelOffer {
            readiness: Readiness::Ready,
            load: LoadCost::NONE,
            used: held,
            slots,
            model: None,
            reported_model: &self.primary,
        };
        if self.draining || !self.has_extension(target.extension) {
            return None;
        }
        if self.models.is_empty() {
            let mine = !self.pending && target.model.is_none_or(|model| self.has(model));
            return mine.then(|| only(self.total_slots.max(1)));
        }
        match target.model {
            Some(model) => self.report(model).and_then(|report| self.offer_of(report)),
            None => {
                self.models.iter().find(|report| serves(report, target.task)).and_then(|report| self.offer_of(report))
            }
        }
    }

    fn offer_of<'a>(&self, report: &'a ModelReport) -> Option<ModelOffer<'a>> {
        let readiness = match report.state {
            ModelState::Ready => Readiness::Ready,
            ModelState::Starting => Readiness::Starting,
            ModelState::Stopped => Readiness::Stopped,
            ModelState::Draining | ModelState::Stopping | ModelState::BackingOff | ModelState::Failed => return None,
        };
        let used = self.jobs.values().filter(|model| model.as_deref() == Some(report.name.as_str())).count();
        let load = if readiness == Readiness::Stopped { LoadCost::of(report) } else { LoadCost::NONE };
        Some(ModelOffer {
            readiness,
            load,
            used: u32::try_from(used).unwrap_or(u32::MAX),
            slots: self.slots_of(report),
            model: Some(&report.name),
            reported_model: &report.name,
        })
    }

    fn slots_of(&self, report: &ModelReport) -> u32 {
        report.slots.unwrap_or(self.total_slots).max(1)
    }
}

/// The reported models with valid names, up to the bound.
fn valid_models(models: impl Iterator<Item = ModelReport>) -> Vec<ModelReport> {
    models.filter(|report| is_valid_name(&report.name)).take(MAX_MODELS).collect()
}

fn is_valid_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.contains(char::is_control)
}

/// Whether the model can serve the task, now or after a load.
fn serves(report: &ModelReport, task: PathTask) -> bool {
    is_for(report, task) && report.state != ModelState::Failed
}

/// Whether the model is for the task. A model without reported tasks is a chat model.
fn is_for(report: &ModelReport, task: PathTask) -> bool {
    let has = |name: &str| report.capabilities.iter().any(|capability| capability == name);
    match task {
        PathTask::Chat => report.capabilities.is_empty() || has("chat"),
        PathTask::Embedding => has("embedding"),
        PathTask::Rerank => has("rerank"),
        PathTask::Any => true,
    }
}

fn with_tasks(report: &ModelReport) -> String {
    format!("{} ({})", report.name, report.capabilities.join(", "))
}
