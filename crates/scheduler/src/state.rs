//! The state of a model: one enum, from the scheduler to the router's report, the metrics and the commands.
//!
//! ```text
//!            wanted                reserved             free               ready            to be unloaded
//!   OnDisk ──────────▶ WaitingForRoom ───▶ Reserved ──────▶ Loading ─────────────▶ Ready ──────────▶ Draining
//!     ▲  ▲                    │   │ free      │              ▲   │ exit              │ │               │
//!     │  └── wanted no more ──┘   └──────────────────────────┤   ▼                   │ └─ idle ──┐     │ done, or
//!     │                  reservation given up ◀─┘            └─ Backoff ◀── exit ────┘           ▼     ▼ time is up
//!     └──────────────────────────── memory is seen free ◀───────────────────────────────────── Unloading
//!
//!   Failed: the supervisor has given up; only a reset, a changed file or a changed setting ends it.
//! ```

use super::{ModelId, Moment, Run};
use auxot_placement::{HOST, Placement};

/// The state of a model. Each variant holds exactly what exists in it.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelState {
    /// Its files are on disk; no engine runs, and none is wanted.
    OnDisk,
    /// It is wanted and has no place yet.
    WaitingForRoom(Obstacle),
    /// Its place is reserved, and other models are being unloaded for it.
    Reserved {
        /// Its place.
        place: Place,
        /// The models that are being unloaded.
        evicted: Vec<ModelId>,
    },
    /// Its engine is being started.
    Loading {
        /// Its place.
        place: Place,
        /// When the load began.
        since: Moment,
    },
    /// It takes jobs.
    Ready(Running),
    /// It runs the jobs that it has, takes no more, and is unloaded then.
    Draining {
        /// Its engine.
        running: Running,
        /// Until when its jobs may go on.
        until: Moment,
        /// Why it is unloaded.
        cause: DrainCause,
    },
    /// Its engine has exited unexpectedly, and is started again in the same place after a pause.
    Backoff {
        /// Its place.
        place: Place,
    },
    /// Its engine is being stopped, and its memory is not free yet.
    Unloading {
        /// Its place.
        place: Place,
    },
    /// It is not loaded again before a reset.
    Failed,
}

/// Why a wanted model has no place, as of the last attempt to place it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// It waits for its turn, or for models that are being unloaded.
    Queue,
    /// There is no room, and no other model is unloaded for it: tried again when memory becomes free.
    NoRoom,
    /// Free memory is unknown.
    MemoryUnknown {
        /// Since when that is so without a break.
        since: Moment,
        /// It has been tried since the newest sample.
        tried: bool,
    },
    /// It can never fit in its present size, and its owner has been asked for another one.
    TooLarge,
}

/// Why a model is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainCause {
    /// Another model needs the room: it stays if that is no longer so.
    Eviction,
    /// Its owner wants it unloaded.
    Owner,
}

impl ModelState {
    /// The word for logs and commands.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            ModelState::OnDisk => "on_disk",
            ModelState::WaitingForRoom(_) => "waiting_for_room",
            ModelState::Reserved { .. } => "reserved",
            ModelState::Loading { .. } => "loading",
            ModelState::Ready(_) => "ready",
            ModelState::Draining { .. } => "draining",
            ModelState::Backoff { .. } => "backoff",
            ModelState::Unloading { .. } => "unloading",
            ModelState::Failed => "failed",
        }
    }

    /// Whether a job gets a slot, or causes a load: neither is under way nor impossible.
    #[must_use]
    pub fn takes_jobs(&self) -> bool {
        matches!(self, ModelState::Ready(_) | ModelState::OnDisk)
    }

    /// Whether it takes no jobs now, and will without one: it waits for room, loads, restarts or drains.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.takes_jobs() && !matches!(self, ModelState::Failed)
    }

    /// Whether the engine is being started, or started again.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        matches!(self, ModelState::Loading { .. } | ModelState::Backoff { .. })
    }

    /// Its engine, while it serves jobs.
    #[must_use]
    pub fn running(&self) -> Option<&Running> {
        match self {
            ModelState::Ready(running) | ModelState::Draining { running, .. } => Some(running),
            _ => None,
        }
    }

    pub(super) fn running_mut(&mut self) -> Option<&mut Running> {
        match self {
            ModelState::Ready(running) | ModelState::Draining { running, .. } => Some(running),
            _ => None,
        }
    }

    /// Its place, reserved or in use.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            ModelState::Reserved { place, .. }
            | ModelState::Loading { place, .. }
            | ModelState::Backoff { place }
            | ModelState::Unloading { place } => Some(place),
            ModelState::Ready(running) | ModelState::Draining { running, .. } => Some(&running.place),
            ModelState::OnDisk | ModelState::WaitingForRoom(_) | ModelState::Failed => None,
        }
    }

    pub(super) fn place_mut(&mut self) -> Option<&mut Place> {
        match self {
            ModelState::Reserved { place, .. }
            | ModelState::Loading { place, .. }
            | ModelState::Backoff { place }
            | ModelState::Unloading { place } => Some(place),
            ModelState::Ready(running) | ModelState::Draining { running, .. } => Some(&mut running.place),
            ModelState::OnDisk | ModelState::WaitingForRoom(_) | ModelState::Failed => None,
        }
    }

    /// Whether its memory becomes free soon.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self, ModelState::Draining { .. } | ModelState::Unloading { .. })
    }

    /// The part of its place that no measurement shows yet: all that is not seen, or what only running jobs take.
    pub(super) fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        self.place().into_iter().flat_map(Place::promised)
    }

    /// Bytes by device that its end adds to the measured free memory.
    pub(super) fn measured(&self) -> impl Iterator<Item = (&str, u64)> {
        self.place().into_iter().flat_map(Place::measured)
    }

    /// Bytes of the host's memory that it holds, as far as that is known.
    pub(super) fn host_bytes(&self) -> u64 {
        match self.place() {
            Some(place) if place.is_measured => place.host_bytes(),
            // The rest is promised.
            place => place.map_or(0, Place::seen_host_bytes),
        }
    }

    /// Whether it is being loaded, and it is unknown how much of its place is measured already.
    pub(super) fn is_unmeasured_load(&self) -> bool {
        match self {
            ModelState::Loading { place, .. } | ModelState::Backoff { place } => place.seen.is_empty(),
            ModelState::Ready(running) | ModelState::Draining { running, .. } => {
                !running.place.is_measured && running.place.seen.is_empty()
            }
            _ => false,
        }
    }
}

/// An engine that serves jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Its place.
    pub place: Place,
    /// When it became ready.
    pub since: Moment,
    /// Its slots.
    pub slots: SlotGate,
}

/// The slots of one run of an engine. The warm path of a job: a free slot is taken with two comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotGate {
    /// The run of the engine: a slot of an earlier run frees nothing.
    pub run: Run,
    /// Jobs that it can run at once.
    pub count: u32,
    /// Jobs that it runs.
    pub busy: u32,
}

impl SlotGate {
    /// A gate with at least one slot.
    pub(super) fn new(run: Run, count: u32) -> Self {
        Self { run, count: count.max(1), busy: 0 }
    }

    /// Takes a free slot. Returns whether there was one.
    pub(super) fn take(&mut self) -> bool {
        let is_free = self.busy < self.count;
        self.busy += u32::from(is_free);
        is_free
    }

    /// Frees a slot of that run. Returns whether it is the present run.
    pub(super) fn release(&mut self, run: Run) -> bool {
        let is_present = self.run == run;
        self.busy = self.busy.saturating_sub(u32::from(is_present));
        is_present
    }
}

/// The memory of a model: what was promised to it, and what it is measured to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The devices, layers and arguments.
    pub placement: Box<Placement>,
    /// A sample that began after the load shows what it holds. Before that all that is not seen is promised.
    pub(super) is_measured: bool,
    /// The promised bytes, by device.
    given: Vec<(String, u64)>,
    /// The measured bytes, by device; empty where that is unknown.
    seen: Vec<(String, u64)>,
    /// The bytes that its end frees, by device: the seen and the promised ones.
    held: Vec<(String, u64)>,
}

impl Place {
    pub(super) fn new(placement: Placement) -> Self {
        let given: Vec<_> = placement.bytes().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
        Self { placement: Box::new(placement), is_measured: false, held: given.clone(), given, seen: Vec::new() }
    }

    /// The process has exited: what it held is free, and promised.
    pub(super) fn forget_measured(&mut self) {
        self.is_measured = false;
        self.seen.clear();
        self.count_held();
    }

    /// What a sample shows of it is all that it holds. Returns whether that is new.
    pub(super) fn set_is_measured(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.is_measured, true);
        if is_new {
            self.count_held();
        }
        is_new
    }

    pub(super) fn set_measured(&mut self, holds: Vec<(String, u64)>) {
        self.seen = holds;
        self.count_held();
    }

    fn count_held(&mut self) {
        let mut held: Vec<_> = self.measured().map(|(device, bytes)| (device.to_owned(), bytes)).collect();
        // What is not seen on a device is counted by its promise already.
        for (device, bytes) in self.promised().filter(|(device, _)| self.seen_on(device).is_some()) {
            if let Some((_, held)) = held.iter_mut().find(|(held, _)| held == device) {
                *held = held.saturating_add(bytes);
            }
        }
        self.held = held;
    }

    /// Bytes by device that its end frees: the measured ones and those that are promised beyond them.
    pub(super) fn holds(&self) -> &[(String, u64)] {
        &self.held
    }

    fn seen_on(&self, device: &str) -> Option<u64> {
        self.seen.iter().find(|(seen, _)| seen == device).map(|(_, bytes)| *bytes)
    }

    /// Bytes of the host's memory that only running jobs take, until they are measured.
    fn at_work(&self) -> u64 {
        self.seen_on(HOST).map_or(0, |seen| self.placement.host.saturating_sub(seen).min(self.placement.at_work))
    }

    fn promised(&self) -> impl Iterator<Item = (&str, u64)> {
        let given = self
            .given
            .iter()
            .filter(|_| !self.is_measured)
            .map(|(device, bytes)| (device.as_str(), bytes.saturating_sub(self.seen_on(device).unwrap_or(0))));
        // Most calls find nothing: every sum for a decision goes through all models.
        let later = if self.is_measured { self.at_work() } else { 0 };
        given.chain((later > 0).then_some((HOST, later)))
    }

    /// The measured bytes, and the promised ones of devices that are not measured.
    fn measured(&self) -> impl Iterator<Item = (&str, u64)> {
        let given = self.given.iter().filter(|(device, _)| self.seen_on(device).is_none());
        self.seen.iter().chain(given).map(|(device, bytes)| (device.as_str(), *bytes))
    }

    fn host_bytes(&self) -> u64 {
        sum_of_host(self.measured())
    }

    fn seen_host_bytes(&self) -> u64 {
        self.seen_on(HOST).unwrap_or(0)
    }
}

fn sum_of_host<'a>(bytes: impl Iterator<Item = (&'a str, u64)>) -> u64 {
    bytes.filter(|(device, _)| *device == HOST).map(|(_, bytes)| bytes).sum()
}
