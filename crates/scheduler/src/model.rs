//! One model: its state, the jobs that wait for it, and whether its owner wants it.

use std::collections::VecDeque;
use std::time::Duration;

use super::state::{DrainCause, ModelState, Obstacle, Place, Running, SlotGate};
use super::{Limits, Moment, Profile, Run, Ticket, Wanted};
use auxot_backoff::Backoff;
use auxot_placement::{LayerRequirements, Tenant};

/// The longest load backoff of a model, in units of the first.
const LONGEST_BACKOFF: u32 = 64;
/// The assumed duration of a load before the first one.
const UNKNOWN_LOAD: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Model {
    pub(super) profile: Profile,
    pub(super) requirements: LayerRequirements,
    pub(super) state: ModelState,
    /// The waiting jobs, and since when; the oldest first.
    waiting: VecDeque<(Ticket, Moment)>,
    want: Wanted,
    /// The owner knows that there is no room for what it wants.
    pub(super) no_room_reported: bool,
    pub(super) last_used: Moment,
    /// How long its last load took.
    load_time: Option<Duration>,
    load_failures: Option<LoadFailures>,
}

/// Loads that have failed since the last one that succeeded.
#[derive(Debug, Clone, Copy)]
struct LoadFailures {
    last: Moment,
    in_a_row: u32,
}

impl Model {
    pub(super) fn new(profile: Profile) -> Self {
        Self {
            requirements: LayerRequirements::of(&profile.requirements),
            profile,
            state: ModelState::OnDisk,
            waiting: VecDeque::new(),
            want: Wanted::No,
            no_room_reported: false,
            last_used: Moment::ZERO,
            load_time: None,
            load_failures: None,
        }
    }

    /// Sets how it is run, from its next load on.
    pub(super) fn set(&mut self, profile: Profile) {
        self.requirements = LayerRequirements::of(&profile.requirements);
        self.profile = profile;
        self.enter_queue();
    }

    /// Without a place it waits for room exactly while it is wanted.
    fn update_wanted(&mut self) {
        match (&self.state, self.is_wanted()) {
            (ModelState::OnDisk, true) => self.state = ModelState::WaitingForRoom(Obstacle::Queue),
            (ModelState::WaitingForRoom(_), false) => self.state = ModelState::OnDisk,
            _ => {}
        }
    }

    /// What kept it from a place is over, or may be.
    fn enter_queue(&mut self) {
        if let ModelState::WaitingForRoom(obstacle @ (Obstacle::NoRoom | Obstacle::TooLarge)) = &mut self.state {
            *obstacle = Obstacle::Queue;
        }
    }

    /// Memory may have become free.
    pub(super) fn retry_no_room(&mut self) {
        if let ModelState::WaitingForRoom(obstacle @ Obstacle::NoRoom) = &mut self.state {
            *obstacle = Obstacle::Queue;
        }
    }

    /// Memory has been measured again.
    pub(super) fn retry_unknown(&mut self) {
        if let ModelState::WaitingForRoom(Obstacle::MemoryUnknown { tried, .. }) = &mut self.state {
            *tried = false;
        }
    }

    /// Records why it has no place.
    pub(super) fn set_obstacle(&mut self, now: Obstacle) {
        if let ModelState::WaitingForRoom(obstacle) = &mut self.state {
            *obstacle = now;
        }
    }

    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        match self.state {
            ModelState::WaitingForRoom(obstacle) => Some(obstacle),
            _ => None,
        }
    }

    /// Whether free memory was unknown when it was last tried, and has not been measured since.
    pub(super) fn awaits_measurement(&self) -> bool {
        matches!(self.obstacle(), Some(Obstacle::MemoryUnknown { tried: true, .. }))
    }

    /// It is to be tried now: it waits for room, and nothing that is known keeps it from a place.
    pub(super) fn is_queued(&self) -> bool {
        match self.obstacle() {
            None | Some(Obstacle::TooLarge) => false,
            // A job may evict others.
            Some(Obstacle::NoRoom) => !self.waiting.is_empty(),
            Some(Obstacle::Queue | Obstacle::MemoryUnknown { .. }) => true,
        }
    }

    /// A job begins to wait.
    pub(super) fn enqueue(&mut self, ticket: Ticket, now: Moment) {
        self.waiting.push_back((ticket, now));
        self.update_wanted();
    }

    /// Takes the oldest waiting job.
    pub(super) fn dequeue(&mut self) -> Option<Ticket> {
        let (ticket, _) = self.waiting.pop_front()?;
        self.update_wanted();
        Some(ticket)
    }

    /// Removes a job from the queue. Returns whether it was the oldest.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> bool {
        let was_oldest = self.waiting.front().is_some_and(|(oldest, _)| *oldest == ticket);
        self.waiting.retain(|(waiting, _)| *waiting != ticket);
        self.update_wanted();
        was_oldest
    }

    /// Empties the queue.
    pub(super) fn take_waiting(&mut self) -> Vec<Ticket> {
        let all = self.waiting.drain(..).map(|(ticket, _)| ticket).collect();
        self.update_wanted();
        all
    }

    /// Jobs that wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The oldest waiting job, and since when it waits.
    pub(super) fn oldest_job(&self) -> Option<(Ticket, Moment)> {
        self.waiting.front().copied()
    }

    /// Whether its owner wants it.
    pub(super) fn want(&self) -> Wanted {
        self.want
    }

    /// Sets whether its owner wants it.
    pub(super) fn set_want(&mut self, want: Wanted) {
        (self.want, self.no_room_reported) = (want, false);
        self.retry_no_room();
        self.update_wanted();
    }

    /// Its owner does not want it any more.
    pub(super) fn forget_want(&mut self) {
        self.want = Wanted::No;
        self.update_wanted();
    }

    /// It loses its place, and waits for another one if it is wanted.
    pub(super) fn unplace(&mut self) {
        self.state = ModelState::OnDisk;
        self.update_wanted();
    }

    /// Gives its reserved place up; returns the models that were being unloaded for it.
    pub(super) fn release_reservation(&mut self) -> Vec<super::ModelId> {
        let ModelState::Reserved { evicted, .. } = &mut self.state else { return Vec::new() };
        let evicted = std::mem::take(evicted);
        self.unplace();
        evicted
    }

    /// Takes a slot, if one is free and no job waits for it.
    pub(super) fn take_free_slot(&mut self, now: Moment) -> bool {
        self.waiting.is_empty() && self.take_slot(now)
    }

    /// Takes a slot, if one is free.
    pub(super) fn take_slot(&mut self, now: Moment) -> bool {
        let ModelState::Ready(running) = &mut self.state else { return false };
        let is_taken = running.slots.take();
        if is_taken {
            self.last_used = now;
        }
        is_taken
    }

    /// Whether the slot was one of the present run.
    pub(super) fn release_slot(&mut self, run: Run, now: Moment) -> bool {
        let is_present = self.state.running_mut().is_some_and(|running| running.slots.release(run));
        if is_present {
            self.last_used = now;
        }
        is_present
    }

    /// Its engine takes jobs: this run has so many slots.
    pub(super) fn ready(&mut self, run: Run, slots: u32, now: Moment) {
        if let Some(running) = self.state.running_mut() {
            if running.slots.run == run {
                // The same run is reported again: its busy slots are still busy.
                running.slots.count = slots.max(1);
                return;
            }
            // The end of the earlier run was not reported, and all of its slots went with it.
            self.lost(false, now);
        }
        let place = match &self.state {
            ModelState::Loading { place, since } => {
                self.load_time = Some(now.saturating_sub(*since));
                place.clone()
            }
            // Its start was not reported.
            ModelState::Backoff { place } => place.clone(),
            _ => return,
        };
        self.load_failures = None;
        self.want = Wanted::No;
        self.last_used = now;
        let slots = SlotGate::new(run, slots);
        self.state = ModelState::Ready(Running { place, since: now, slots });
    }

    /// Its engine has exited unexpectedly, and is started again in the same place: at once, or after a pause.
    pub(super) fn lost(&mut self, backs_off: bool, now: Moment) {
        let (mut place, since) = match &self.state {
            ModelState::Loading { place, since } => (place.clone(), *since),
            ModelState::Backoff { place } => (place.clone(), now),
            ModelState::Ready(running) | ModelState::Draining { running, .. } => (running.place.clone(), now),
            _ => return,
        };
        place.forget_measured();
        self.state = match backs_off {
            true => ModelState::Backoff { place },
            false => ModelState::Loading { place, since },
        };
    }

    /// Its engine is started again after a pause.
    pub(super) fn restarted(&mut self, now: Moment) {
        if let ModelState::Backoff { place } = &self.state {
            self.state = ModelState::Loading { place: place.clone(), since: now };
        }
    }

    /// Its engine is to be stopped. Returns whether there is one.
    pub(super) fn stop(&mut self) -> bool {
        let mut place = match &self.state {
            ModelState::Loading { place, .. } | ModelState::Backoff { place } => place.clone(),
            ModelState::Ready(running) | ModelState::Draining { running, .. } => running.place.clone(),
            _ => return false,
        };
        // It takes no more memory.
        place.set_is_measured();
        self.state = ModelState::Unloading { place };
        true
    }

    /// It takes no more jobs. Returns whether jobs are still running.
    pub(super) fn drain(&mut self, until: Moment, cause: DrainCause) -> bool {
        let ModelState::Ready(running) = &self.state else { return false };
        let is_busy = running.slots.busy > 0;
        self.state = ModelState::Draining { running: running.clone(), until, cause };
        is_busy
    }

    /// It need not be unloaded after all.
    pub(super) fn stay(&mut self) {
        if let ModelState::Draining { running, .. } = &self.state {
            self.state = ModelState::Ready(running.clone());
        }
    }

    /// Its supervisor has given up.
    pub(super) fn failed(&mut self, now: Moment) {
        self.load_failed(now);
        self.want = Wanted::No;
        self.state = ModelState::Failed;
    }

    /// It may be loaded again.
    pub(super) fn reset(&mut self) {
        self.load_failures = None;
        if matches!(self.state, ModelState::Failed) {
            self.unplace();
        }
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
        let in_a_row = self.load_failures.map_or(0, |failures| failures.in_a_row).saturating_add(1);
        self.load_failures = Some(LoadFailures { last: now, in_a_row });
    }

    /// Until when no model is unloaded for it because its last load failed: twice as long with each failure in a row.
    pub(super) fn backoff_until(&self, limits: &Limits) -> Option<Moment> {
        let LoadFailures { last, in_a_row } = self.load_failures?;
        let backoff = Backoff::new(limits.load_backoff, limits.load_backoff.saturating_mul(LONGEST_BACKOFF));
        Some(last.saturating_add(backoff.pause(in_a_row.saturating_sub(1))))
    }

    pub(super) fn is_backing_off(&self, limits: &Limits, now: Moment) -> bool {
        self.backoff_until(limits).is_some_and(|until| now < until)
    }

    /// No model is unloaded for it.
    pub(super) fn is_best_effort(&self) -> bool {
        self.waiting.is_empty() && matches!(self.want, Wanted::IfRoom(_))
    }

    /// Bytes by device that its end frees.
    pub(super) fn tenant(&self) -> Tenant<'_> {
        Tenant { model: &self.profile.name, holds: self.state.place().map_or(&[], Place::holds) }
    }

    /// Since when a job waits for it, or its owner as if one did.
    pub(super) fn oldest(&self) -> Option<Moment> {
        let wanted = match self.want {
            Wanted::Since(since) => Some(since),
            Wanted::No | Wanted::IfRoom(_) => None,
        };
        self.oldest_job().map(|(_, since)| since).into_iter().chain(wanted).min()
    }

    /// Its own priority, or the highest there is once a job has waited for half of the maximum.
    pub(super) fn urgency(&self, limits: &Limits, now: Moment) -> i32 {
        let waited = self.oldest().map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if waited * 2 >= limits.max_wait { i32::MAX } else { self.profile.priority }
    }

    /// Whether its minimum loaded time and its pin allow to unload it.
    pub(super) fn may_go(&self, limits: &Limits, now: Moment) -> bool {
        let stayed = |since: Moment| now.saturating_sub(since) >= limits.min_loaded_time;
        !self.profile.pin && matches!(&self.state, ModelState::Ready(running) if stayed(running.since))
    }

    /// Whether it serves no job, and none waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.state.running().is_some_and(|running| running.slots.busy == 0) && self.waiting.is_empty()
    }

    /// Whether an engine loads it, serves it, or is restarted.
    pub(super) fn has_engine(&self) -> bool {
        self.state.is_loading() || self.state.running().is_some()
    }

    /// Whether memory is reserved for it, or in use by it.
    pub(super) fn has_place(&self) -> bool {
        self.state.place().is_some()
    }

    /// How long its last load took.
    pub(super) fn load_time(&self) -> Option<Duration> {
        self.load_time
    }

    /// Idle time for each second that its load takes; the largest goes first.
    pub(super) fn eviction_score(&self, now: Moment) -> f64 {
        let load = self.load_time.unwrap_or(UNKNOWN_LOAD).max(Duration::from_millis(1));
        now.saturating_sub(self.last_used).as_secs_f64() / load.as_secs_f64()
    }
}
