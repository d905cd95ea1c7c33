//! Everything that decisions are made from, and the questions that it answers by itself.

pub(crate) mod shelf;
pub(crate) mod work;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use auxot_catalog::{Model, ResolveError, Task};
use auxot_engine::Ready;
use tokio::sync::oneshot;

use crate::lease::Lease;
use crate::model::managed::MemberId;
use crate::model::managed::{Member, Tenure};
use crate::model::process::Engine;
use crate::model::wish::Wish;
use crate::outlook::Outlook;
use crate::refusal::{Refusal, list};
use crate::state::shelf::{Looks, Shelf};
use crate::state::work::Work;
use auxot_scheduler::{Admission, Effect, Life, ModelId, Ticket};

/// Everything that decisions are made from.
#[derive(Debug)]
pub(crate) struct Judge {
    /// In the order in which they came: the operator's list first.
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// Who may use what, who comes and who goes.
    pub(crate) admission: Admission,
    /// The members by their numbers there.
    pub(crate) seats: HashMap<ModelId, MemberId>,
    newest: MemberId,
    pub(crate) waiters: HashMap<Ticket, Waiter>,
    tickets: Ticket,
    pub(crate) door: Door,
    pub(crate) wished: Wished,
    /// The operator's models that are not here.
    pub(crate) missing: Vec<Missing>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) looks: Looks,
    pub(crate) work: Vec<Work>,
    /// What the admission has decided and was not carried out yet.
    pub(crate) decisions: Vec<Effect>,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Everything.
    Open,
    /// No engine is started or replaced; jobs get the slots of those that run.
    Frozen,
    /// Nothing: jobs are sent away too.
    Closed,
}

/// What the router's newest policy has come to.
#[derive(Debug)]
pub(crate) enum Wished {
    /// It has none, or does not care which model.
    Nothing,
    /// Its model is here.
    Member { id: MemberId, wish: Wish },
    /// Its model is not here, for this reason; until it comes, the model of the policy before it stays.
    Missing { wish: Wish, reason: String, before: Option<(MemberId, Wish)> },
}

impl Wished {
    /// The member that is the router's.
    pub(crate) fn member(&self) -> Option<MemberId> {
        match self {
            Wished::Nothing => None,
            Wished::Member { id, .. } => Some(*id),
            Wished::Missing { before, .. } => before.as_ref().map(|(id, _)| *id),
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
    pub(crate) member: MemberId,
    /// It asked for this model and no other.
    pub(crate) named: bool,
    pub(crate) answer: oneshot::Sender<Result<Lease, Refusal>>,
}

impl Judge {
    pub(crate) fn new(shelf: Shelf, admission: Admission) -> Self {
        Self {
            members: BTreeMap::new(),
            admission,
            seats: HashMap::new(),
            newest: MemberId::default(),
            waiters: HashMap::new(),
            tickets: 0,
            door: Door::Open,
            wished: Wished::Nothing,
            missing: Vec::new(),
            shelf: Arc::new(shelf),
            looks: Looks::new(),
            work: Vec::new(),
            decisions: Vec::new(),
        }
    }

    /// Takes in a member.
    pub(crate) fn add(&mut self, member: Member) -> MemberId {
        self.newest = self.newest.next();
        self.seats.insert(member.seat, self.newest);
        self.members.insert(self.newest, member);
        self.newest
    }

    /// Takes a member out that was let go and of which nothing is left.
    pub(crate) fn forget(&mut self, id: MemberId) -> Option<Member> {
        let member = self.members.get(&id)?;
        let life = self.admission.life(member.seat);
        let rests = matches!(life, Life::Absent | Life::Failed);
        if member.tenure != Tenure::Leaving || member.engine.is_some() || !rests {
            return None;
        }
        let member = self.members.remove(&id)?;
        self.seats.remove(&member.seat);
        // Those who waited have been sent elsewhere, or away; whoever is left is told by the end of its channel.
        for ticket in self.admission.remove(member.seat) {
            self.waiters.remove(&ticket);
        }
        Some(member)
    }

    /// Bytes of the host's memory that a process of ours holds and can do without.
    pub(crate) fn held_twice_by(&self, pid: u32) -> u64 {
        let mut engines = self.members.values().filter_map(|member| member.engine.as_ref());
        engines.find(|engine| engine.status.pid == Some(pid)).map_or(0, |engine| engine.twice)
    }

    /// The name of who has that seat.
    pub(crate) fn name_of(&self, seat: ModelId) -> Option<&str> {
        self.members.get(self.seats.get(&seat)?).map(Member::name)
    }

    /// A number for one request.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Those that jobs may be given to.
    pub(crate) fn staying(&self) -> impl Iterator<Item = (MemberId, &Member)> {
        self.members.iter().filter(|(_, member)| member.tenure != Tenure::Leaving).map(|(id, member)| (*id, member))
    }

    /// The engine of a member that takes new jobs.
    pub(crate) fn serving<'a>(&self, member: &'a Member) -> Option<&'a Arc<Ready>> {
        match self.admission.life(member.seat) {
            Life::Ready { draining: None, .. } => member.ready(),
            _ => None,
        }
    }

    /// What can be expected of a member.
    fn outlook_of(&self, member: &Member) -> Outlook {
        match self.admission.life(member.seat) {
            Life::Failed => Outlook::Failed,
            Life::Ready { draining: None, .. } => Outlook::Serving,
            Life::Absent if !self.admission.is_wanted(member.seat) => Outlook::Asleep,
            _ => Outlook::Coming,
        }
    }

    /// The member that jobs without a model name mean, of those that chat. The router's model, unless it has failed or is on
    /// its way while a listed one serves; without it the first listed one that serves, sleeps, or is loaded for the first
    /// time; else the first that serves, or comes, or sleeps. Only where all have failed it is one of those, the router's if
    /// it has one.
    pub(crate) fn primary(&self) -> Option<MemberId> {
        let is = |id: &MemberId, outlooks: &[Outlook]| {
            self.members.get(id).is_some_and(|member| outlooks.contains(&self.outlook_of(member)))
        };
        let takes: &[Outlook] = &[Outlook::Serving, Outlook::Asleep];
        let chats = |member: &Member| member.model.task == Task::Chat;
        let wished = self.wished.member().filter(|id| self.members.get(id).is_some_and(chats));
        let all = || self.staying().filter(|(_, member)| chats(member)).map(|(id, _)| id);
        let mut listed = all().filter(|id| self.members[id].tenure == Tenure::Operator);
        let meant = match wished {
            Some(wished) if is(&wished, takes) => Some(wished),
            Some(wished) if is(&wished, &[Outlook::Coming]) => {
                listed.find(|id| is(id, &[Outlook::Serving])).or(Some(wished))
            }
            Some(_) | None => listed.find(|id| is(id, takes) || self.comes_first_time(*id)),
        };
        let mut ranks = [Outlook::Serving, Outlook::Coming, Outlook::Asleep].into_iter();
        let first = |outlook| all().find(|id| is(id, &[outlook]));
        meant.or_else(|| ranks.find_map(first)).or(wished).or_else(|| all().next())
    }

    /// Whether a member has its place and loads, and nothing has gone wrong with it.
    fn comes_first_time(&self, id: MemberId) -> bool {
        let Some(member) = self.members.get(&id).filter(|member| member.misfit.is_none()) else { return false };
        let is_first = |engine: &Engine| engine.after.is_none() && engine.status.run.0 <= 1;
        matches!(self.admission.life(member.seat), Life::Loading { .. }) && member.engine.as_ref().is_some_and(is_first)
    }

    /// The member that a job means.
    pub(crate) fn find(&self, model: Option<&str>) -> Result<MemberId, Refusal> {
        let Some(name) = model.filter(|name| !name.is_empty()) else {
            return self.primary().ok_or_else(|| self.none_chats());
        };
        let by_name = self.members.iter().find(|(_, member)| member.name() == name || member.model.base_name == name);
        let by_file = || {
            let of_file =
                |file: &Path| self.members.iter().find(|(_, member)| member.model.files.iter().any(|of| of == file));
            match self.shelf.catalog.resolve(name) {
                Ok(model) => of_file(&model.file),
                // One that has failed for it has the same answer by each of its names.
                Err(ResolveError::Damaged { path, .. } | ResolveError::ShardsMissing { path, .. }) => of_file(&path),
                Err(ResolveError::Unknown { .. } | ResolveError::Ambiguous { .. }) => None,
            }
        };
        by_name.or_else(by_file).map(|(id, _)| *id).ok_or_else(|| self.unknown(name))
    }

    /// Why a model that a job means cannot chat: the member that was found, or the one of the folders that has this name.
    pub(crate) fn no_chat(&self, found: Option<&MemberId>, name: Option<&str>) -> Option<Refusal> {
        let model = match (found, name) {
            (Some(id), _) => self.members.get(id).map(|member| &*member.model),
            (None, name) => self.shelf.catalog.resolve(name?).ok(),
        }?;
        (model.task != Task::Chat).then(|| Refusal::NotForChat { model: model.name.clone(), task: model.task })
    }

    /// Whether the file of a member is in its folder, as of the last look.
    pub(crate) fn has_file(&self, id: MemberId) -> bool {
        self.members.get(&id).is_some_and(|member| self.shelf.model(&member.model.file).is_some())
    }

    /// Nobody here is meant by that name.
    pub(crate) fn unknown(&self, name: &str) -> Refusal {
        let serves = self.staying().map(|(_, member)| member.name().to_owned()).collect();
        Refusal::UnknownModel { name: name.to_owned(), serves }
    }

    /// There is no member that chats.
    fn none_chats(&self) -> Refusal {
        let is_expected = !self.missing.is_empty() || matches!(self.wished, Wished::Missing { .. });
        let there: Vec<String> = self.staying().map(|(_, member)| with_task(&member.model)).collect();
        if is_expected || there.is_empty() {
            Refusal::NoModel { reason: self.nothing_to_serve() }
        } else {
            Refusal::NoneChats { there }
        }
    }

    /// Why there is no model that serves without being named: one that is missing, or what the folders hold.
    pub(crate) fn nothing_to_serve(&self) -> String {
        match (self.missing.first(), &self.wished) {
            (Some(missing), _) => return missing.reason.clone(),
            (None, Wished::Missing { reason, .. }) => return reason.clone(),
            (None, _) => {}
        }
        let (models, damaged) = (self.shelf.catalog.models(), self.shelf.catalog.damaged());
        if models.iter().any(|model| model.task == Task::Chat) {
            "no model is named by the operator or the router".to_owned()
        } else if !models.is_empty() {
            let there: Vec<String> = models.iter().map(with_task).collect();
            format!("none of the models folders' models can chat: {}", list(&there))
        } else if damaged.is_empty() {
            "there is no model in the models folders".to_owned()
        } else {
            let names: Vec<String> = damaged.iter().map(|damaged| damaged.name.clone()).collect();
            format!("the models folders hold damaged files only: {}", list(&names))
        }
    }

    /// What the router's policy asks for and this host does not give, one sentence each.
    pub(crate) fn gaps(&self) -> Vec<String> {
        match &self.wished {
            Wished::Nothing => Vec::new(),
            Wished::Member { id, wish } => self.members.get(id).map(|member| member.gaps(wish)).unwrap_or_default(),
            Wished::Missing { reason, .. } => vec![reason.clone()],
        }
    }

    /// Whether any model takes jobs now, or sleeps until one comes.
    pub(crate) fn takes_jobs(&self) -> bool {
        let takes = |member: &Member| matches!(self.outlook_of(member), Outlook::Serving | Outlook::Asleep);
        self.staying().any(|(_, member)| takes(member))
    }

    /// What can be expected of the models here.
    pub(crate) fn outlook(&self) -> Outlook {
        self.staying().map(|(_, member)| self.outlook_of(member)).fold(Outlook::Nothing, Outlook::better)
    }
}

/// A model with what it is for.
fn with_task(model: &Model) -> String {
    match model.task {
        Task::None => format!("{} (no task)", model.name),
        task => format!("{} ({task})", model.name),
    }
}
