//! The state that decisions use, and the pure queries on it.

pub(crate) mod scan;
pub(crate) mod work;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use auxot_catalog::{Model, Task};
use auxot_engine::Ready;
use tokio::sync::oneshot;

use crate::download::Download;
use crate::job_task::JobTask;
use crate::lease::Lease;
use crate::model::desired::DesiredModel;
use crate::model::managed::{KeepReason, ManagedId, ManagedModel};
use crate::model::process::Engine;
use crate::refusal::{Refusal, list};
use crate::state::scan::{Requested, Scan, ScanProgress};
use crate::state::work::Work;
use auxot_scheduler::{Action, ModelId, ModelState, Scheduler, Ticket};

/// The state that decisions use.
#[derive(Debug)]
pub(crate) struct FleetState {
    /// In the order of arrival: the operator's list first.
    pub(crate) models: BTreeMap<ManagedId, ManagedModel>,
    /// Decides which job gets a slot and which model is loaded or evicted.
    pub(crate) scheduler: Scheduler,
    /// The models by their scheduler ids.
    pub(crate) by_scheduler_id: HashMap<ModelId, ManagedId>,
    newest: ManagedId,
    pub(crate) waiters: HashMap<Ticket, Waiter>,
    tickets: Ticket,
    pub(crate) intake: Intake,
    pub(crate) desired: Desired,
    /// Models of the operator's list that are not here.
    pub(crate) missing: Vec<Missing>,
    /// Downloads of missing models.
    pub(crate) downloads: Vec<Download>,
    pub(crate) scan: Arc<Scan>,
    pub(crate) scans: ScanProgress,
    pub(crate) work: Vec<Work>,
    /// Actions of the scheduler that are not carried out yet.
    pub(crate) decisions: Vec<Action>,
}

/// Which jobs and changes are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intake {
    /// All.
    Open,
    /// No engine is started or replaced; jobs get slots of the running engines.
    Frozen,
    /// None: jobs are refused too.
    Closed,
}

/// The state of the router's newest policy.
#[derive(Debug)]
pub(crate) enum Desired {
    /// There is no policy, or it names no model.
    Nothing,
    /// Its model is here.
    Present { id: ManagedId, desired: DesiredModel },
    /// Its model is missing, for this reason. Until it appears, the model of the policy before it stays.
    Missing { desired: DesiredModel, reason: String, before: Option<(ManagedId, DesiredModel)> },
}

impl Desired {
    /// The router's model.
    pub(crate) fn managed(&self) -> Option<ManagedId> {
        match self {
            Desired::Nothing => None,
            Desired::Present { id, .. } => Some(*id),
            Desired::Missing { before, .. } => before.as_ref().map(|(id, _)| *id),
        }
    }
}

/// A model of the operator's list that is not here.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// A job that waits for a slot.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) managed: ManagedId,
    /// The job named this model.
    pub(crate) named: bool,
    pub(crate) answer: oneshot::Sender<Result<Lease, Refusal>>,
}

impl FleetState {
    pub(crate) fn new(scan: Scan, scheduler: Scheduler) -> Self {
        Self {
            models: BTreeMap::new(),
            scheduler,
            by_scheduler_id: HashMap::new(),
            newest: ManagedId::default(),
            waiters: HashMap::new(),
            tickets: 0,
            intake: Intake::Open,
            desired: Desired::Nothing,
            missing: Vec::new(),
            downloads: Vec::new(),
            scan: Arc::new(scan),
            scans: ScanProgress::new(),
            work: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Adds a model.
    pub(crate) fn add(&mut self, managed: ManagedModel) -> ManagedId {
        self.newest = self.newest.next();
        self.by_scheduler_id.insert(managed.scheduler_id, self.newest);
        self.models.insert(self.newest, managed);
        self.newest
    }

    /// Removes a leaving model once its engine is gone.
    pub(crate) fn remove_gone(&mut self, id: ManagedId) -> Option<ManagedModel> {
        let managed = self.models.get(&id)?;
        let is_unloaded = self.state_of(managed).place().is_none();
        if managed.keep != KeepReason::Leaving || managed.engine.is_some() || !is_unloaded {
            return None;
        }
        let managed = self.models.remove(&id)?;
        self.by_scheduler_id.remove(&managed.scheduler_id);
        // Its waiters were moved or refused before; any that is left sees its channel close.
        for ticket in self.scheduler.remove(managed.scheduler_id) {
            self.waiters.remove(&ticket);
        }
        Some(managed)
    }

    /// Repacked bytes of one of our processes: host memory that it can give back.
    pub(crate) fn repacked_of(&self, pid: u32) -> u64 {
        let mut engines = self.models.values().filter_map(|managed| managed.engine.as_ref());
        engines.find(|engine| engine.status.pid == Some(pid)).map_or(0, |engine| engine.repacked)
    }

    /// The name of the model with that scheduler id.
    pub(crate) fn name_of(&self, scheduler_id: ModelId) -> Option<&str> {
        self.models.get(self.by_scheduler_id.get(&scheduler_id)?).map(ManagedModel::name)
    }

    /// A number for one request.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// The models that take jobs: all but the leaving ones.
    pub(crate) fn staying(&self) -> impl Iterator<Item = (ManagedId, &ManagedModel)> {
        self.models
            .iter()
            .filter(|(_, managed)| managed.keep != KeepReason::Leaving)
            .map(|(id, managed)| (*id, managed))
    }

    /// The engine of a model, while it takes new jobs.
    pub(crate) fn serving<'a>(&self, managed: &'a ManagedModel) -> Option<&'a Arc<Ready>> {
        matches!(self.state_of(managed), ModelState::Ready(_)).then(|| managed.ready()).flatten()
    }

    /// The state of a model.
    pub(crate) fn state_of(&self, managed: &ManagedModel) -> &ModelState {
        self.scheduler.state(managed.scheduler_id)
    }

    /// The primary model for a task: the one that serves jobs without a model name.
    ///
    /// It is the router's model, unless that one has failed, or is loading while a listed one is ready. Without a router's
    /// model it is the first listed one that is ready, unloaded, or in its first load; else the first that is ready, loading or
    /// unloaded. Where all have failed it is the router's, or else the first.
    pub(crate) fn primary(&self, task: JobTask) -> Option<ManagedId> {
        type Is = fn(&ModelState) -> bool;
        let is = |id: &ManagedId, is: Is| self.models.get(id).is_some_and(|managed| is(self.state_of(managed)));
        let is_ready: Is = |state| matches!(state, ModelState::Ready(_));
        let is_on_disk: Is = |state| matches!(state, ModelState::OnDisk);
        let fits = |managed: &ManagedModel| task.accepts(managed.model.task);
        let desired = self.desired.managed().filter(|id| self.models.get(id).is_some_and(fits));
        let all = || self.staying().filter(|(_, managed)| fits(managed)).map(|(id, _)| id);
        let mut listed = all().filter(|id| self.models[id].keep == KeepReason::Operator);
        let preferred = match desired {
            Some(desired) if is(&desired, ModelState::takes_jobs) => Some(desired),
            Some(desired) if is(&desired, ModelState::is_pending) => {
                listed.find(|id| is(id, is_ready)).or(Some(desired))
            }
            Some(_) | None => listed.find(|id| is(id, ModelState::takes_jobs) || self.is_first_load(*id)),
        };
        let mut ranks = [is_ready, ModelState::is_pending, is_on_disk].into_iter();
        let first = |wanted: Is| all().find(|id| is(id, wanted));
        preferred.or_else(|| ranks.find_map(first)).or(desired).or_else(|| all().next())
    }

    /// Whether a model is in its first load, without a failure so far.
    fn is_first_load(&self, id: ManagedId) -> bool {
        let Some(managed) = self.models.get(&id).filter(|managed| managed.placement_error.is_none()) else {
            return false;
        };
        let is_first = |engine: &Engine| engine.after.is_none() && engine.status.run.0 <= 1;
        self.state_of(managed).is_loading() && managed.engine.as_ref().is_some_and(is_first)
    }

    /// The model that a job names, or the primary one.
    pub(crate) fn find(&self, model: &Requested<'_>, task: JobTask) -> Result<ManagedId, Refusal> {
        let of = |is: &dyn Fn(&Model) -> bool| self.models.iter().find(|(_, managed)| is(&managed.model));
        let found = match model {
            Requested::Primary => {
                // What each model answers is asked of the one that chats.
                let primary = self.primary(JobTask::Chat).filter(|_| task.accepts(Task::Chat));
                return primary.or_else(|| self.primary(task)).ok_or_else(|| self.no_model_for(task));
            }
            Requested::Exact(name) => of(&|model| model.name == *name),
            Requested::File(_, file) => of(&|model| model.files.contains(file)),
            Requested::Unknown(_) => None,
            Requested::Ambiguous(name, candidates) => {
                return Err(Refusal::AmbiguousModel { name: (*name).to_owned(), candidates: candidates.clone() });
            }
        };
        found.map(|(id, _)| *id).ok_or_else(|| self.unknown(model.name().unwrap_or_default()))
    }

    /// The refusal for a model that is for another task: the one that was found, or the one of the folders with this name.
    pub(crate) fn wrong_task(
        &self,
        found: Option<&ManagedId>,
        requested: &Requested<'_>,
        wanted: JobTask,
    ) -> Option<Refusal> {
        let model = match found {
            Some(id) => self.models.get(id).map(|managed| &*managed.model),
            None => self.scan.model(requested.file()?),
        }?;
        (!wanted.accepts(model.task)).then(|| Refusal::WrongTask {
            model: model.name.clone(),
            task: model.task,
            wanted,
        })
    }

    /// Whether the file of a model was in its folder at the last scan.
    pub(crate) fn has_file(&self, id: ManagedId) -> bool {
        self.models.get(&id).is_some_and(|managed| self.scan.model(&managed.model.file).is_some())
    }

    /// The refusal for an unknown name.
    pub(crate) fn unknown(&self, name: &str) -> Refusal {
        let serves = self.staying().map(|(_, managed)| managed.name().to_owned()).collect();
        Refusal::UnknownModel { name: name.to_owned(), serves }
    }

    /// The refusal where no model for the task is here.
    fn no_model_for(&self, wanted: JobTask) -> Refusal {
        let is_expected = !self.missing.is_empty() || matches!(self.desired, Desired::Missing { .. });
        let mut there: Vec<String> = self.staying().map(|(_, managed)| with_task(&managed.model)).collect();
        let may_chat = wanted.accepts(Task::Chat);
        if there.is_empty() && !may_chat {
            there = self.scan.catalog.models().iter().map(with_task).collect();
        }
        if (is_expected && may_chat) || there.is_empty() {
            Refusal::NoModel { reason: self.nothing_to_serve() }
        } else {
            Refusal::NoModelForTask { wanted, there }
        }
    }

    /// Why no model serves a job that names none: a model is missing, or the folders hold none.
    pub(crate) fn nothing_to_serve(&self) -> String {
        match (self.missing.first(), &self.desired) {
            (Some(missing), _) => return self.missing_text(&missing.name, &missing.reason),
            (None, Desired::Missing { desired, reason, .. }) => return self.missing_text(&desired.model, reason),
            (None, _) => {}
        }
        let (models, damaged) = (self.scan.catalog.models(), self.scan.catalog.damaged());
        if models.iter().any(|model| model.task == Task::Chat) {
            "no model is named by the operator or the router".to_owned()
        } else if !models.is_empty() {
            let there: Vec<String> = models.iter().map(with_task).collect();
            format!("none of the models in the models folders can chat: {}", list(&there))
        } else if damaged.is_empty() {
            "there is no model in the models folders".to_owned()
        } else {
            let names: Vec<String> = damaged.iter().map(|damaged| damaged.name.clone()).collect();
            format!("the models folders hold damaged files only: {}", list(&names))
        }
    }

    /// The router's newest policy, if it names a model.
    pub(crate) fn policy(&self) -> Option<&DesiredModel> {
        match &self.desired {
            Desired::Nothing => None,
            Desired::Present { desired, .. } | Desired::Missing { desired, .. } => Some(desired),
        }
    }

    /// The parts of the router's policy that this host does not meet, one sentence each.
    pub(crate) fn gaps(&self) -> Vec<String> {
        match &self.desired {
            Desired::Nothing => Vec::new(),
            Desired::Present { id, desired } => {
                self.models.get(id).map(|managed| managed.gaps(desired)).unwrap_or_default()
            }
            Desired::Missing { desired, reason, .. } => vec![self.missing_text(&desired.model, reason)],
        }
    }

    /// Whether a model takes jobs now, or would be loaded for one.
    pub(crate) fn takes_jobs(&self) -> bool {
        self.staying().any(|(_, managed)| self.state_of(managed).takes_jobs())
    }

    /// Whether there are models, and all of them have failed.
    pub(crate) fn all_have_failed(&self) -> bool {
        let has_failed = |(_, managed): (_, &ManagedModel)| matches!(self.state_of(managed), ModelState::Failed);
        self.staying().next().is_some() && self.staying().all(has_failed)
    }
}

/// A model's name with its task.
fn with_task(model: &Model) -> String {
    match model.task {
        Task::None => format!("{} (no task)", model.name),
        task => format!("{} ({task})", model.name),
    }
}
