//! One model: its state, and the jobs that wait for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Limits, ModelId, Moment, Profile, Run, Ticket, Wanted};
use auxot_placement::HOST;
use auxot_placement::{Capacity, LayerRequirements, Placement, Rules, Shown, Tenant};

/// The load backoff of a model doubles no more often.
const MOST_DOUBLINGS: u32 = 6;
/// The assumed duration of a load before the first one.
const UNKNOWN_LOAD: Duration = Duration::from_secs(10);

/// The state of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelState {
    /// Its files are on disk, no engine runs.
    OnDisk,
    /// Its place is reserved, and other models are being unloaded for it.
    Reserved {
        /// The place.
        placement: Box<Placement>,
        /// The models that are being unloaded.
        evicted: Vec<ModelId>,
    },
    /// It is being loaded.
    Loading {
        /// Its place.
        placement: Box<Placement>,
        /// When the load began.
        since: Moment,
    },
    /// It takes jobs.
    Ready {
        /// Its place.
        placement: Box<Placement>,
        /// When it became ready.
        since: Moment,
        /// The run of its engine.
        run: Run,
        /// Jobs that it can run at once.
        slots: u32,
        /// Jobs that it runs.
        busy: u32,
        /// Until when its jobs may go on, if it is to be unloaded.
        draining: Option<Moment>,
    },
    /// Its engine is being stopped, and its memory is not free yet.
    Unloading {
        /// Its place.
        placement: Box<Placement>,
    },
    /// It is not loaded again before a reset.
    Failed,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) profile: Profile,
    pub(super) requirements: LayerRequirements,
    pub(super) state: ModelState,
    /// The waiting jobs, and since when; the oldest first.
    pub(super) waiting: VecDeque<(Ticket, Moment)>,
    pub(super) want: Wanted,
    pub(super) last_used: Moment,
    /// How long its last load took.
    load: Option<Duration>,
    /// When its last load failed, if it did: for a while no model is unloaded for the next one.
    pub(super) failed_at: Option<Moment>,
    /// Loads that failed in a row: the more, the longer the backoff.
    failures: u32,
    /// It was tried, has no room, and evicts no other: not tried again before memory has become free.
    pub(super) no_room: bool,
    /// It was tried, and cannot be placed before memory is measured again.
    pub(super) memory_unknown: bool,
    /// Since when that is so without a break.
    pub(super) memory_unknown_since: Option<Moment>,
    /// Its owner knows that there is no room for it.
    pub(super) no_room_reported: bool,
    /// It can never fit in its present size, and [`Effect::TooLarge`](super::Effect) has been returned.
    pub(super) too_large: bool,
    /// Its owner has asked to unload it, so that it is unloaded even if its room is not needed any more.
    pub(super) asked_to_unload: bool,
    /// The bytes of its place, by device.
    given: Vec<(String, u64)>,
    /// It became ready after the newest sample began, which cannot show all that it holds.
    pub(super) unread: bool,
    /// What it is measured to hold, by device; empty where that is unknown.
    seen: Vec<(String, u64)>,
    /// The same, and the bytes of its place where it is not measured; empty where nothing is measured.
    held: Vec<(String, u64)>,
}

impl Model {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            requirements: LayerRequirements::of(&profile.requirements),
            profile,
            state: ModelState::OnDisk,
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

    /// Sets how it is run, from its next load on.
    pub(super) fn set(&mut self, profile: Profile) {
        self.requirements = LayerRequirements::of(&profile.requirements);
        self.profile = profile;
        (self.too_large, self.no_room) = (false, false);
    }

    /// It gets a place, reserved or for a load.
    pub(super) fn place(&mut self, placement: &Placement, state: ModelState) {
        self.given = placement.bytes().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
        self.seen.clear();
        self.held.clear();
        self.state = state;
    }

    /// It loses its place.
    pub(super) fn unplace(&mut self, state: ModelState) {
        self.asked_to_unload = false;
        self.given.clear();
        self.seen.clear();
        self.held.clear();
        self.state = state;
    }

    /// Gives its reserved place up; returns the models that were being unloaded for it.
    pub(super) fn release_reservation(&mut self) -> Vec<ModelId> {
        let evicted = match &mut self.state {
            ModelState::Reserved { evicted, .. } => std::mem::take(evicted),
            _ => return Vec::new(),
        };
        self.unplace(ModelState::OnDisk);
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

    /// A slot is free, no job waits for it, and the model is not draining.
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

    /// Whether the slot was one of the present run.
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
            // The end of the earlier run was not reported, and all of its slots went with it.
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
            // The same run is reported again: its busy slots are still busy.
            ModelState::Ready { run, slots, .. } if *run == of => *slots = count.max(1),
            _ => {}
        }
    }

    /// Its engine has exited unexpectedly and is restarted in the same place. What it held is free, and promised.
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
            self.state = ModelState::OnDisk;
        }
    }

    pub(super) fn gone(&mut self) {
        self.unplace(ModelState::OnDisk);
    }

    /// A job or its owner wants it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty() || self.want != Wanted::No
    }

    /// Whether only its owner wants it, and that is recent: what is in its way may be about to be freed.
    pub(super) fn is_newly_wanted(&self, limits: &Limits, now: Moment) -> bool {
        let since = match self.want {
            Wanted::IfRoom(since) | Wanted::Since(since) => since,
            Wanted::No => return false,
        };
        self.waiting.is_empty() && now.saturating_sub(since) < limits.preempt_after
    }

    /// A load of it has failed.
    pub(super) fn load_failed(&mut self, now: Moment) {
        self.failed_at = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// Until when no model is unloaded for it because its last load failed: twice as long with each failure in a row.
    pub(super) fn backoff_until(&self, limits: &Limits) -> Option<Moment> {
        let doublings = self.failures.saturating_sub(1).min(MOST_DOUBLINGS);
        self.failed_at.map(|since| since.saturating_add(limits.load_backoff.saturating_mul(1 << doublings)))
    }

    pub(super) fn is_backing_off(&self, limits: &Limits, now: Moment) -> bool {
        self.backoff_until(limits).is_some_and(|until| now < until)
    }

    /// No model is unloaded for it.
    pub(super) fn is_best_effort(&self) -> bool {
        self.waiting.is_empty() && matches!(self.want, Wanted::IfRoom(_))
    }

    /// Bytes of the host's memory that it holds, as far as that is known.
    pub(super) fn host_bytes(&self) -> u64 {
        let (holds, promised) = match self.state {
            ModelState::Ready { .. } if !self.unread => (self.tenant().holds, self.at_work()),
            ModelState::Unloading { .. } => (self.tenant().holds, self.at_work()),
            // The rest is promised.
            ModelState::Ready { .. } | ModelState::Loading { .. } => (&*self.seen, 0),
            ModelState::OnDisk | ModelState::Reserved { .. } | ModelState::Failed => return 0,
        };
        let holds = holds.iter().filter(|(device, _)| device == HOST);
        holds.map(|(_, bytes)| bytes).sum::<u64>().saturating_sub(promised)
    }

    /// The part of the capacity that it may use, and the rules for it.
    pub(super) fn allowed(&self, capacity: Capacity, rules: &Rules) -> (Capacity, Rules) {
        let rules = self.profile.rules.unwrap_or(*rules);
        match &self.profile.devices {
            None => (capacity, rules),
            Some(names) => capacity.only(names, rules),
        }
    }

    /// Its place where memory cannot be read: the engine decides, among the devices that it may use.
    pub(super) fn left_to_the_engine(&self, capacity: &Capacity, rules: &Rules) -> Placement {
        let is_bound = self.profile.devices.is_some() || !capacity.devices.is_empty() || capacity.withheld;
        let (capacity, _) = self.allowed(capacity.clone(), rules);
        let shown =
            capacity.devices.into_iter().map(|room| Shown { device: room.id.to_string(), selector: room.selector });
        self.requirements.unmeasured(is_bound.then(|| shown.collect()))
    }

    /// Bytes of the host's memory in its place that only running jobs take, until they are measured.
    fn at_work(&self) -> u64 {
        let (ModelState::Loading { placement, .. }
        | ModelState::Ready { placement, .. }
        | ModelState::Unloading { placement }) = &self.state
        else {
            return 0;
        };
        let of_host = |list: &[(String, u64)]| list.iter().find(|(device, _)| device == HOST).map(|(_, bytes)| *bytes);
        let seen = of_host(&self.seen);
        seen.map_or(0, |seen| placement.host.saturating_sub(seen).min(placement.at_work))
    }

    /// Bytes by device that were promised to it and are not yet part of the measured memory.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        let unseen = match self.state {
            ModelState::Reserved { .. } | ModelState::Loading { .. } => true,
            ModelState::Ready { .. } => self.unread,
            ModelState::OnDisk | ModelState::Unloading { .. } | ModelState::Failed => false,
        };
        let given = self.given.iter().filter(move |_| unseen).map(|(device, bytes)| {
            let seen = self.seen.iter().find(|(held, _)| held == device).map_or(0, |(_, bytes)| *bytes);
            (device.as_str(), bytes.saturating_sub(seen))
        });
        // Most calls find nothing: every sum for a decision goes through all models.
        let later = if unseen { 0 } else { self.at_work() };
        given.chain((later > 0).then_some((HOST, later)))
    }

    /// Whether it is being loaded, and it is unknown how much of its place is measured already.
    pub(super) fn is_unmeasured_load(&self) -> bool {
        let on_its_way = match self.state {
            ModelState::Loading { .. } => true,
            ModelState::Ready { .. } => self.unread,
            ModelState::OnDisk | ModelState::Reserved { .. } | ModelState::Unloading { .. } | ModelState::Failed => {
                false
            }
        };
        on_its_way && self.seen.is_empty()
    }

    /// Bytes by device that its end frees: what it is measured to hold, else the bytes of its place.
    pub(super) fn tenant(&self) -> Tenant<'_> {
        let holds = if self.held.is_empty() { &self.given } else { &self.held };
        Tenant { model: &self.profile.name, holds }
    }

    /// Since when a job waits for it.
    pub(super) fn oldest(&self) -> Option<Moment> {
        let wanted = match self.want {
            Wanted::Since(since) => Some(since),
            Wanted::No | Wanted::IfRoom(_) => None,
        };
        self.waiting.front().map(|(_, since)| *since).into_iter().chain(wanted).min()
    }

    /// Its own priority, or the highest there is once a job has waited for half of the maximum.
    pub(super) fn urgency(&self, limits: &Limits, now: Moment) -> i32 {
        let waited = self.oldest().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if waited * 2 >= limits.max_wait { i32::MAX } else { self.profile.priority }
    }

    /// Whether its minimum loaded time and its pin allow to unload it.
    pub(super) fn may_go(&self, limits: &Limits, now: Moment) -> bool {
        let stayed = |since: Moment| now.saturating_sub(since) >= limits.min_loaded_time;
        !self.profile.pin && matches!(self.state, ModelState::Ready { since, draining: None, .. } if stayed(since))
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, ModelState::Ready { busy: 0, .. }) && self.waiting.is_empty()
    }

    /// Idle time for each second that its load takes; the largest goes first.
    pub(super) fn eviction_score(&self, now: Moment) -> f64 {
        let load = self.load.unwrap_or(UNKNOWN_LOAD).max(Duration::from_millis(1));
        now.saturating_sub(self.last_used).as_secs_f64() / load.as_secs_f64()
    }
}
