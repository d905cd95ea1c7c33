//! One model: where it is in its life, and who waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Limits, ModelId, Moment, Profile, Run, Ticket, Wanted};
use auxot_placement::HOST;
use auxot_placement::{Capacity, LayerRequirements, Placement, Rules, Shown, Tenant};

/// The doubt of a model whose loads fail grows no longer than so.
const MOST_DOUBLINGS: u32 = 6;
/// How long a load is taken to last before one was seen.
const UNKNOWN_LOAD: Duration = Duration::from_secs(10);

/// Where a model is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelState {
    /// It is on disk.
    Absent,
    /// Its place is reserved, and others are going for it.
    Coming {
        /// The place.
        placement: Box<Placement>,
        /// Who goes.
        evicted: Vec<ModelId>,
    },
    /// It is being loaded.
    Loading {
        /// Where.
        placement: Box<Placement>,
        /// Since when.
        since: Moment,
    },
    /// It takes jobs.
    Ready {
        /// Where.
        placement: Box<Placement>,
        /// Since when.
        since: Moment,
        /// Which life of its engine this is.
        run: Run,
        /// Jobs that it can run at once.
        slots: u32,
        /// Jobs that it runs.
        busy: u32,
        /// Until when its jobs may go on, if it is to go.
        draining: Option<Moment>,
    },
    /// It was told to end, and its memory is not free yet.
    Leaving {
        /// Where it lies.
        placement: Box<Placement>,
    },
    /// It will not be tried again.
    Failed,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) profile: Profile,
    pub(super) requirements: LayerRequirements,
    pub(super) state: ModelState,
    /// Who waits, and since when; the oldest first.
    pub(super) waiting: VecDeque<(Ticket, Moment)>,
    pub(super) want: Wanted,
    pub(super) last_used: Moment,
    /// How long its last load took.
    load: Option<Duration>,
    /// When its last load went wrong, if it did: nobody is ended for the next one for a while.
    pub(super) failed_at: Option<Moment>,
    /// Loads that went wrong in a row: the more, the longer the doubt.
    failures: u32,
    /// It was looked at, has no room, and makes nobody go: not looked at again before something has come free.
    pub(super) no_room: bool,
    /// Whether it could be placed was asked, and cannot be told before memory is read again.
    pub(super) memory_unknown: bool,
    /// Since when that is so, without a moment in which it could be told.
    pub(super) memory_unknown_since: Option<Moment>,
    /// Whoever wants it if there is room was told that there is none.
    pub(super) no_room_reported: bool,
    /// It can never fit in its present size, and whoever knows its sizes has been told.
    pub(super) too_large: bool,
    /// Its owner has told it to go, so that it does not stay because nobody wants its room any more.
    pub(super) asked_to_unload: bool,
    /// What its place gives it, by device.
    given: Vec<(String, u64)>,
    /// It was loaded after the newest reading was begun, which cannot show all that it holds.
    pub(super) unread: bool,
    /// What it is seen to hold, by device; empty where that is not known.
    seen: Vec<(String, u64)>,
    /// The same, and what it was given where it is not seen; empty where nothing is seen.
    held: Vec<(String, u64)>,
}

impl Model {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            requirements: LayerRequirements::of(&profile.requirements),
            profile,
            state: ModelState::Absent,
            waiting: VecDeque::new(),
            want: Wanted::No,
            last_used: Moment::ZERO,
            load: None,
            failed_at: None,
            failures: 0,
            no_room: false,
            memory_unknown: false,
            memory_unknown_since: None,
            no_room_reported: false,
            too_large: false,
            asked_to_unload: false,
            given: Vec::new(),
            unread: false,
            seen: Vec::new(),
            held: Vec::new(),
        }
    }

    /// It is to be run in another way, from its next load on.
    pub(super) fn set(&mut self, profile: Profile) {
        self.requirements = LayerRequirements::of(&profile.requirements);
        self.profile = profile;
        (self.too_large, self.no_room) = (false, false);
    }

    /// It has a place, reserved or to be loaded into.
    pub(super) fn place(&mut self, placement: &Placement, state: ModelState) {
        self.given = placement.bytes().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
        self.seen.clear();
        self.held.clear();
        self.state = state;
    }

    /// It has none any more.
    pub(super) fn unplace(&mut self, state: ModelState) {
        self.asked_to_unload = false;
        self.given.clear();
        self.seen.clear();
        self.held.clear();
        self.state = state;
    }

    /// Gives its reserved place up, and tells who was to go for it.
    pub(super) fn give_up(&mut self) -> Vec<ModelId> {
        let evicted = match &mut self.state {
            ModelState::Coming { evicted, .. } => std::mem::take(evicted),
            _ => return Vec::new(),
        };
        self.unplace(ModelState::Absent);
        evicted
    }

    pub(super) fn is_seen_to_hold(&mut self, holds: Vec<(String, u64)>) {
        let given = self.given.iter().filter(|(device, _)| !holds.iter().any(|(seen, _)| seen == device));
        self.held = holds.iter().chain(given).cloned().collect();
        self.seen = holds;
        let later = self.at_work();
        if let Some((_, bytes)) = self.held.iter_mut().find(|(device, _)| device == HOST) {
            *bytes = bytes.saturating_add(later);
        }
    }

    /// A slot is free, nobody waits for it, and the model stays.
    pub(super) fn admits_at_once(&self) -> bool {
        let free = matches!(self.state, ModelState::Ready { slots, busy, draining: None, .. } if busy < slots);
        free && self.waiting.is_empty()
    }

    pub(super) fn take_slot(&mut self, now: Moment) {
        if let ModelState::Ready { busy, .. } = &mut self.state {
            *busy += 1;
        }
        self.last_used = now;
    }

    /// Whether the slot was one of the engine that runs now.
    pub(super) fn leave_slot(&mut self, of: Run, now: Moment) -> bool {
        match &mut self.state {
            ModelState::Ready { run, busy, .. } if *run == of => *busy = busy.saturating_sub(1),
            _ => return false,
        }
        self.last_used = now;
        true
    }

    pub(super) fn ready(&mut self, of: Run, count: u32, now: Moment) {
        if matches!(self.state, ModelState::Ready { run, .. } if run != of) {
            // The end of the life before was not heard of, and all of its slots went with it.
            self.lost(now);
        }
        match &mut self.state {
            ModelState::Loading { placement, since } => {
                self.load = Some(now.saturating_sub(*since));
                (self.failed_at, self.failures) = (None, 0);
                self.want = Wanted::No;
                self.last_used = now;
                self.unread = true;
                let placement = placement.clone();
                self.state =
                    ModelState::Ready { placement, since: now, run: of, slots: count.max(1), busy: 0, draining: None };
            }
            // The same life said it again: its busy slots are still busy.
            ModelState::Ready { run, slots, .. } if *run == of => *slots = count.max(1),
            _ => {}
        }
    }

    /// Its engine has ended unasked and starts again by itself, in the same place. What it held is free, and promised.
    pub(super) fn lost(&mut self, now: Moment) {
        if let ModelState::Ready { placement, .. } = &self.state {
            self.state = ModelState::Loading { placement: placement.clone(), since: now };
        }
        if matches!(self.state, ModelState::Loading { .. }) {
            self.seen.clear();
            self.held.clear();
        }
    }

    pub(super) fn failed(&mut self, now: Moment) {
        self.load_failed(now);
        self.want = Wanted::No;
        self.unplace(ModelState::Failed);
    }

    pub(super) fn revive(&mut self) {
        (self.failed_at, self.failures) = (None, 0);
        if matches!(self.state, ModelState::Failed) {
            self.state = ModelState::Absent;
        }
    }

    pub(super) fn gone(&mut self) {
        self.unplace(ModelState::Absent);
    }

    /// Somebody wants it: a job, its owner.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || self.want != Wanted::No
    }

    /// Whether its owner wants it, no job does, and that is not long ago: what is in its way may be on its way out.
    pub(super) fn is_newly_wanted(&self, limits: &Limits, now: Moment) -> bool {
        let since = match self.want {
            Wanted::IfRoom(since) | Wanted::Since(since) => since,
            Wanted::No => return false,
        };
        self.waiting.is_empty() && now.saturating_sub(since) < limits.preempt_after
    }

    /// A load of it has gone wrong.
    pub(super) fn load_failed(&mut self, now: Moment) {
        self.failed_at = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Until when nobody is to go for it because its last load went wrong: twice as long with each that did so in a
    /// row.
    pub(super) fn backoff_until(&self, limits: &Limits) -> Option<Moment> {
        let doublings = self.failures.saturating_sub(1).min(MOST_DOUBLINGS);
        self.failed_at.map(|since| since.saturating_add(limits.load_backoff.saturating_mul(1 << doublings)))
    }

    pub(super) fn is_backing_off(&self, limits: &Limits, now: Moment) -> bool {
        self.backoff_until(limits).is_some_and(|until| now < until)
    }

    /// Nobody is to go for it.
    pub(super) fn is_best_effort(&self) -> bool {
        self.waiting.is_empty() && matches!(self.want, Wanted::IfRoom(_))
    }

    /// Bytes of the host's memory that are its own, as far as that is known.
    pub(super) fn host_bytes(&self) -> u64 {
        let (holds, promised) = match self.state {
            ModelState::Ready { .. } if !self.unread => (self.tenant().holds, self.at_work()),
            ModelState::Leaving { .. } => (self.tenant().holds, self.at_work()),
            // The rest is promised.
            ModelState::Ready { .. } | ModelState::Loading { .. } => (&*self.seen, 0),
            ModelState::Absent | ModelState::Coming { .. } | ModelState::Failed => return 0,
        };
        let holds = holds.iter().filter(|(device, _)| device == HOST);
        holds.map(|(_, bytes)| bytes).sum::<u64>().saturating_sub(promised)
    }

    /// The part of the ground that it may lie on, and the rules for it.
    pub(super) fn allowed(&self, capacity: Capacity, rules: &Rules) -> (Capacity, Rules) {
        let rules = self.profile.rules.unwrap_or(*rules);
        match &self.profile.devices {
            None => (capacity, rules),
            Some(names) => capacity.only(names, rules),
        }
    }

    /// Its place where memory cannot be read: the engine decides, among the devices that it may lie on.
    pub(super) fn left_to_the_engine(&self, capacity: &Capacity, rules: &Rules) -> Placement {
        let is_bound = self.profile.devices.is_some() || !capacity.devices.is_empty() || capacity.withheld;
        let (capacity, _) = self.allowed(capacity.clone(), rules);
        let shown =
            capacity.devices.into_iter().map(|room| Shown { device: room.id.to_string(), selector: room.selector });
        self.requirements.unmeasured(is_bound.then(|| shown.collect()))
    }

    /// Bytes of the host's memory that it was given and takes only once it works, as long as it is not seen to.
    fn at_work(&self) -> u64 {
        let (ModelState::Loading { placement, .. }
        | ModelState::Ready { placement, .. }
        | ModelState::Leaving { placement }) = &self.state
        else {
            return 0;
        };
        let of_host = |list: &[(String, u64)]| list.iter().find(|(device, _)| device == HOST).map(|(_, bytes)| *bytes);
        let seen = of_host(&self.seen);
        seen.map_or(0, |seen| placement.host.saturating_sub(seen).min(placement.at_work))
    }

    /// Bytes by device that were promised to it and are not yet seen in what is measured.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        let unseen = match self.state {
            ModelState::Coming { .. } | ModelState::Loading { .. } => true,
            ModelState::Ready { .. } => self.unread,
            ModelState::Absent | ModelState::Leaving { .. } | ModelState::Failed => false,
        };
        let given = self.given.iter().filter(move |_| unseen).map(|(device, bytes)| {
            let seen = self.seen.iter().find(|(held, _)| held == device).map_or(0, |(_, bytes)| *bytes);
            (device.as_str(), bytes.saturating_sub(seen))
        });
        // Most are asked in vain: every sum that a decision begins with goes through all models.
        let later = if unseen { 0 } else { self.at_work() };
        given.chain((later > 0).then_some((HOST, later)))
    }

    /// Whether it is on its way into memory, and nothing tells how much of what it was given is measured already.
    pub(super) fn is_obscure(&self) -> bool {
        let on_its_way = match self.state {
            ModelState::Loading { .. } => true,
            ModelState::Ready { .. } => self.unread,
            ModelState::Absent | ModelState::Coming { .. } | ModelState::Leaving { .. } | ModelState::Failed => false,
        };
        on_its_way && self.seen.is_empty()
    }

    /// Bytes by device that come free with its end: what it is seen to hold, else what it was given.
    pub(super) fn tenant(&self) -> Tenant<'_> {
        let holds = if self.held.is_empty() { &self.given } else { &self.held };
        Tenant { model: &self.profile.name, holds }
    }

    /// Since when somebody waits for it.
    pub(super) fn oldest(&self) -> Option<Moment> {
        let wanted = match self.want {
            Wanted::Since(since) => Some(since),
            Wanted::No | Wanted::IfRoom(_) => None,
        };
        self.waiting.front().map(|(_, since)| *since).into_iter().chain(wanted).min()
    }

    /// Its own priority, or the highest there is once somebody has waited for half of what is allowed.
    pub(super) fn urgency(&self, limits: &Limits, now: Moment) -> i32 {
        let waited = self.oldest().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if waited * 2 >= limits.max_wait { i32::MAX } else { self.profile.priority }
    }

    /// Whether it may be ended as far as its residency and its pin are concerned.
    pub(super) fn may_go(&self, limits: &Limits, now: Moment) -> bool {
        let stayed = |since: Moment| now.saturating_sub(since) >= limits.min_loaded_time;
        !self.profile.pin && matches!(self.state, ModelState::Ready { since, draining: None, .. } if stayed(since))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, ModelState::Ready { busy: 0, .. }) && self.waiting.is_empty()
    }

    /// Idle time for each second that it would take to bring it back; the largest goes first.
    pub(super) fn expendable(&self, now: Moment) -> f64 {
        let load = self.load.unwrap_or(UNKNOWN_LOAD).max(Duration::from_millis(1));
        now.saturating_sub(self.last_used).as_secs_f64() / load.as_secs_f64()
    }
}
