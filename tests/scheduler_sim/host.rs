//! A simulated host: models load, run and exit in simulated time, driven by the scheduler's decisions.
//!
//! Every guarantee of the scheduler is checked after every step, so a run without a panic has kept all of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use auxot_gpu::Kind;
use auxot_placement::{Capacity, DeviceCapacity, Rules, SplitMode};
use auxot_scheduler::{Action, Decision, Limits, ModelId, ModelState, Moment, Reason, Run, Scheduler, Ticket};

use crate::scenario::{Behaviour, End, Job, Stay};

const MIB: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(Job),
    Loaded(ModelId, u32),
    Ended(ModelId, Ticket, u32),
    Gone(ModelId),
    Cancel(Ticket),
    /// A driver stops or starts reporting the memory of its device.
    Visibility,
    Tick,
}

/// The simulated process of a model.
#[derive(Debug, Default)]
struct SimulatedProcess {
    /// Counts its loads.
    load: u32,
    /// The memory of its process, and whether the driver reports all of it.
    holds: Vec<(String, u64)>,
    shown: bool,
    ready_since: Option<Moment>,
    loading_since: Moment,
    devices: Vec<usize>,
    running: BTreeSet<Ticket>,
    draining: Option<Moment>,
    /// When its last load failed, if it did.
    last_load_failed: Option<Moment>,
    coming: bool,
}

pub(crate) struct SimulatedHost {
    pub(crate) scheduler: Scheduler,
    limits: Limits,
    behaviours: Vec<Behaviour>,
    capacity: Vec<u64>,
    /// When the free memory of a device is unknown.
    silences: Vec<(usize, Moment, Moment)>,
    processes: Vec<SimulatedProcess>,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    sequence: u64,
    /// When the next tick is due.
    tick: Option<Moment>,
    jobs: BTreeMap<Ticket, (Job, bool)>,
    pub(crate) ends: BTreeMap<Ticket, (Job, End)>,
    pub(crate) stays: Vec<Stay>,
    pub(crate) loads: u32,
    now: Moment,
}

impl SimulatedHost {
    /// Devices of so many MiB each.
    pub(crate) fn new(limits: Limits, devices: &[u64], behaviours: Vec<Behaviour>) -> SimulatedHost {
        let profiles = behaviours.iter().map(|behaviour| behaviour.profile.clone()).collect();
        let rules =
            Rules { reserve: 0, host_reserve: 0, split: SplitMode::Layers, unmeasured: false, ..Rules::default() };
        let mut host = SimulatedHost {
            scheduler: Scheduler::new(limits, rules, profiles),
            limits,
            processes: behaviours.iter().map(|_| SimulatedProcess::default()).collect(),
            behaviours,
            capacity: devices.iter().map(|mib| mib * MIB).collect(),
            silences: Vec::new(),
            events: BinaryHeap::new(),
            sequence: 0,
            tick: None,
            jobs: BTreeMap::new(),
            ends: BTreeMap::new(),
            stays: Vec::new(),
            loads: 0,
            now: Moment::ZERO,
        };
        host.measure();
        host
    }

    /// The memory of a device is unknown for a while.
    pub(crate) fn silence(&mut self, device: usize, from: Moment, until: Moment) {
        self.silences.push((device, from, until));
        self.at(from, Event::Visibility);
        self.at(until, Event::Visibility);
    }

    fn is_silent(&self, device: usize) -> bool {
        self.silences.iter().any(|(at, from, until)| *at == device && (*from..*until).contains(&self.now))
    }

    /// Runs all jobs until nothing is left to do.
    pub(crate) fn run(&mut self, jobs: &[Job]) {
        for job in jobs {
            self.at(job.at, Event::Arrive(*job));
        }
        let mut steps = 0_u64;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            if self.tick.is_some_and(|due| due <= at) {
                self.tick = None;
            }
            self.step(event);
            self.check();
            if let Some(wake) = self.scheduler.wake_at(self.now).filter(|_| !self.jobs.is_empty()) {
                self.at(wake, Event::Tick);
            }
            steps += 1;
            assert!(steps < 20_000_000, "the host does not come to rest");
        }
        assert!(self.jobs.is_empty(), "unanswered jobs: {:?}", self.jobs);
        for model in 0..self.processes.len() {
            self.end_stay(model);
        }
    }

    fn at(&mut self, at: Moment, event: Event) {
        // The queue contains a tick that is due no later.
        if event == Event::Tick
            && self.events.iter().any(|Reverse((due, _, known))| *due <= at && *known == Event::Tick)
        {
            return;
        }
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn step(&mut self, event: Event) {
        let now = self.now;
        let actions = match event {
            Event::Arrive(job) => self.arrive(job),
            Event::Loaded(model, load) if self.processes[model].load == load => self.loaded(model),
            Event::Ended(model, ticket, load) if self.processes[model].load == load => {
                if !self.processes[model].running.remove(&ticket) {
                    return;
                }
                self.scheduler.job_ended(model, Run::from(self.processes[model].load), now)
            }
            Event::Gone(model) => {
                self.processes[model].holds.clear();
                self.processes[model].draining = None;
                self.measure();
                self.scheduler.memory_freed(model, now)
            }
            Event::Cancel(ticket) => {
                if let Some((job, _)) = self.jobs.remove(&ticket) {
                    self.ends.insert(ticket, (job, End::Cancelled));
                }
                self.scheduler.job_cancelled(ticket, now)
            }
            Event::Visibility => {
                self.measure();
                self.scheduler.tick(now)
            }
            Event::Tick => self.scheduler.tick(now),
            Event::Loaded(..) | Event::Ended(..) => return,
        };
        self.apply(actions);
    }

    fn arrive(&mut self, job: Job) -> Vec<Action> {
        self.sequence += 1;
        let ticket = self.sequence;
        let hit = matches!(self.scheduler.state(job.model), ModelState::Ready(_));
        let (decision, actions) = self.scheduler.job_arrived(ticket, job.model, self.now);
        match decision {
            Decision::Admit => self.begin(ticket, job, hit),
            Decision::Refuse(reason) => {
                self.ends.insert(ticket, (job, End::Refused(reason)));
            }
            Decision::Wait => {
                self.jobs.insert(ticket, (job, hit));
                if let Some(preempt_after) = job.preempt_after {
                    self.at(self.now + preempt_after, Event::Cancel(ticket));
                }
            }
        }
        actions
    }

    fn begin(&mut self, ticket: Ticket, job: Job, hit: bool) {
        let waited = self.now - job.at;
        assert!(waited <= self.limits.max_wait, "a job began after {waited:?}");
        let process = &mut self.processes[job.model];
        process.running.insert(ticket);
        assert!(process.running.len() <= self.behaviours[job.model].slots as usize, "more jobs than slots");
        assert!(process.ready_since.is_some(), "a job began on a model that is not there");
        let load = process.load;
        self.ends.insert(ticket, (job, End::Ran { waited, hit }));
        self.at(self.now + job.runs, Event::Ended(job.model, ticket, load));
    }

    fn loaded(&mut self, model: ModelId) -> Vec<Action> {
        let process = &mut self.processes[model];
        if self.behaviours[model].fails.contains(&process.load) {
            process.holds.clear();
            process.last_load_failed = Some(self.now);
            self.measure();
            return self.scheduler.load_failed(model, self.now);
        }
        process.shown = true;
        process.ready_since = Some(self.now);
        process.last_load_failed = None;
        self.measure();
        let run = Run::from(self.processes[model].load);
        let mut actions = self.scheduler.engine_ready(model, run, self.behaviours[model].slots, self.now);
        self.scheduler.memory_shown(model);
        actions.extend(self.scheduler.tick(self.now));
        actions
    }

    fn apply(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Admit { ticket, .. } => {
                    let (job, hit) = self.jobs.remove(&ticket).unwrap();
                    self.begin(ticket, job, hit);
                }
                Action::Refuse { ticket, reason } => {
                    let (job, _) = self.jobs.remove(&ticket).unwrap();
                    if let Reason::WaitTimeout { waited } = &reason {
                        assert!(*waited >= self.limits.max_wait, "sent away too soon: {waited:?}");
                    }
                    self.ends.insert(ticket, (job, End::Refused(reason)));
                }
                Action::Load { model, placement } => {
                    let process = &mut self.processes[model];
                    assert!(process.holds.is_empty(), "loaded twice");
                    process.load += 1;
                    process.shown = false;
                    process.coming = false;
                    process.loading_since = self.now;
                    process.holds = placement.bytes().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
                    process.devices = process.holds.iter().filter_map(|(device, _)| device.parse().ok()).collect();
                    let (load, devices) = (process.load, process.devices.clone());
                    assert!(
                        devices.iter().all(|device| !self.is_silent(*device)),
                        "placed where free memory is unknown"
                    );
                    self.loads += 1;
                    self.check_memory();
                    self.measure();
                    self.at(self.now + self.behaviours[model].load, Event::Loaded(model, load));
                }
                // The check reads draining from the state of the model.
                Action::Drain { .. } => {}
                Action::Stop { model } => self.stop(model),
                Action::TooLarge { .. } | Action::NoRoom { .. } => panic!("no model here is that large: {action:?}"),
            }
        }
        self.measure();
    }

    fn stop(&mut self, model: ModelId) {
        let name = self.behaviours[model].profile.name.clone();
        self.end_stay(model);
        let process = &mut self.processes[model];
        let since = process.ready_since.take();
        assert!(
            since.is_some_and(|since| self.now - since >= self.limits.min_loaded_time),
            "{name} was ended too soon"
        );
        assert!(!self.behaviours[model].profile.pin, "{name} is pinned");
        if !process.running.is_empty() {
            let had_its_time = process.draining.is_some_and(|until| self.now >= until) || self.limits.drain.is_zero();
            assert!(had_its_time, "{name} was ended while it was busy");
            for ticket in std::mem::take(&mut process.running) {
                if let Some((_, end)) = self.ends.get_mut(&ticket) {
                    *end = End::Cut;
                }
            }
        }
        self.at(self.now + self.behaviours[model].exit, Event::Gone(model));
    }

    fn end_stay(&mut self, model: ModelId) {
        let process = &self.processes[model];
        if process.ready_since.is_some() {
            let (devices, from) = (process.devices.clone(), process.loading_since);
            self.stays.push(Stay { model, devices, from, until: self.now });
        }
    }

    /// Reports the memory that a driver shows: of a loading model only a part.
    fn measure(&mut self) {
        let mut free = self.capacity.clone();
        for (model, process) in self.processes.iter().enumerate() {
            let mut seen = Vec::new();
            for (device, bytes) in &process.holds {
                let bytes = if process.shown { *bytes } else { bytes / 2 };
                if let Some(free) = device.parse::<usize>().ok().and_then(|at| free.get_mut(at)) {
                    *free = free.saturating_sub(bytes);
                }
                seen.push((device.clone(), bytes));
            }
            if !process.shown && !process.holds.is_empty() {
                self.scheduler.set_measured(model, seen);
            } else if process.shown {
                self.scheduler.set_measured(model, process.holds.clone());
            }
        }
        let room = |(at, free): (usize, &u64)| {
            let free = (!self.is_silent(at)).then_some(*free);
            DeviceCapacity::new(at.to_string(), Kind::Host, free)
        };
        let capacity = Capacity {
            devices: free.iter().enumerate().map(room).collect(),
            host: Some(1 << 40),
            ..Capacity::default()
        };
        self.scheduler.measured(capacity);
    }

    fn check_memory(&self) {
        for (at, capacity) in self.capacity.iter().enumerate() {
            let of = |process: &SimulatedProcess| {
                process
                    .holds
                    .iter()
                    .filter(|(device, _)| *device == at.to_string())
                    .map(|(_, bytes)| bytes)
                    .sum::<u64>()
            };
            let held: u64 = self.processes.iter().map(of).sum();
            assert!(held <= *capacity, "device {at} holds {held} of {capacity} bytes");
        }
    }

    /// Checks the guarantees that are visible from outside.
    fn check(&mut self) {
        for model in 0..self.processes.len() {
            let process = &mut self.processes[model];
            let profile = &self.behaviours[model].profile;
            assert!(self.scheduler.waiting(model) <= self.limits.max_waiting, "the line is too long");
            let (draining, coming) = match self.scheduler.state(model) {
                ModelState::Draining { until, .. } => (Some(*until), None),
                ModelState::Reserved { evicted, .. } => (None, Some(evicted.len())),
                _ => (None, None),
            };
            if let Some(until) = draining.filter(|_| process.draining.is_none()) {
                assert_eq!(until, self.now + self.limits.drain, "{} has its whole time", profile.name);
                assert!(!profile.pin, "{} is pinned", profile.name);
            }
            if self.scheduler.state(model).running().is_some() {
                process.draining = draining;
            }
            if coming.is_some_and(|evicted| evicted > 0) && !process.coming {
                let in_backoff = process.last_load_failed.is_some_and(|at| self.now - at < self.limits.load_backoff);
                assert!(!in_backoff, "a model is evicted for {}, whose last load failed", profile.name);
            }
            process.coming = coming.is_some();
        }
    }
}
