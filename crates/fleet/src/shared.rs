//! What the handles, the leases and the staff of one fleet share: the judge under its lock, and who hears of changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_instance::Config as EngineConfig;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::acquire::settle_all;
use crate::config::Config;
use crate::devices::Devices;
use crate::engines::Engines;
use crate::judge::{Judge, MemberId};
use crate::library::Shelf;
use crate::member::{Member, Tenure};
use crate::placement::admission::{Admission, Limits, Moment};
use crate::placement::{self, Ground, Rules};
use crate::places::Places;
use crate::profile::with_layers;
use crate::remembered::Remembered;
use crate::report::{ModelView, Report};
use crate::work::Work;

/// What all handles, leases and tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<Judge>,
    pub(crate) engines: Box<dyn Engines>,
    pub(crate) engine: EngineConfig,
    pub(crate) config: Config,
    pub(crate) placement: placement::Config,
    pub(crate) files: auxot_catalog::Config,
    pub(crate) remembered: Remembered,
    pub(crate) devices: Devices,
    /// The beginning of all moments.
    began: Instant,
    /// Counts the changes of anything that `hello` or `config` tells.
    pub(crate) changes: watch::Sender<u64>,
    /// Counts the looks through the models folders.
    pub(crate) looked: watch::Sender<u64>,
    /// Tells the staff, its only waiter, that there may be work, or an earlier time to wake up at.
    pub(crate) at_work: Notify,
}

impl Shared {
    pub(crate) fn new(
        (config, engine, placement): (Config, EngineConfig, placement::Config),
        engines: Box<dyn Engines>,
        places: Places,
        devices: Devices,
    ) -> Self {
        let admission = Admission::new(limits(&config), placement.rules(true), Vec::new());
        let shelf = Shelf::new(places.catalog, &engines.program());
        let shared = Self {
            state: Mutex::new(Judge::new(shelf, admission)),
            engines,
            engine,
            config,
            placement,
            files: places.files,
            remembered: Remembered::open(&places.state),
            devices,
            began: Instant::now(),
            changes: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            at_work: Notify::new(),
        };
        shared.measure(&mut shared.lock());
        shared
    }

    /// Never held across an await, and no caller's code runs under it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Judge> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This moment on the runtime's clock, as the admission counts.
    pub(crate) fn moment(&self) -> Moment {
        self.began.elapsed()
    }

    /// Takes in the newest reading of the devices: what is free, and what of it our own children hold.
    pub(crate) fn measure(&self, judge: &mut Judge) {
        let sample = self.devices.now();
        let ground = Ground::of(&sample, |_| 0);
        judge.admission.configure(limits(&self.config), self.rules(!ground.devices.is_empty()));
        for member in judge.members.values() {
            let pid = member.engine.as_ref().and_then(|engine| engine.status.pid);
            if let Some(pid) = pid {
                judge.admission.holds(member.seat, crate::report::memory_of(pid, &sample));
            }
        }
        judge.admission.measured(ground);
    }

    /// A reading of the devices has come.
    pub(crate) fn measured(self: &Arc<Self>) {
        let mut judge = self.lock();
        self.measure(&mut judge);
        let effects = judge.admission.tick(self.moment());
        let changed = !effects.is_empty();
        let settled = self.carry_out(&mut judge, effects);
        drop(judge);
        settle_all(settled);
        if changed {
            self.changed();
        }
    }

    /// Time has passed.
    pub(crate) fn tick(self: &Arc<Self>) {
        let mut judge = self.lock();
        let effects = judge.admission.tick(self.moment());
        let changed = !effects.is_empty();
        let settled = self.carry_out(&mut judge, effects);
        drop(judge);
        settle_all(settled);
        if changed {
            self.changed();
        }
    }

    /// When something happens of itself, on the runtime's clock.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let wake = self.lock().admission.wake_at(self.moment());
        wake.map(|moment| self.began + moment)
    }

    fn rules(&self, has_devices: bool) -> Rules {
        with_layers(&self.placement.rules(has_devices), self.engine.gpu_layers)
    }

    /// Tells everybody that something may be new: doors, and the staff.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.at_work.notify_one();
    }

    /// What the judge has left to be done since the last call.
    pub(crate) fn take_work(&self) -> Vec<Work> {
        std::mem::take(&mut self.lock().work)
    }

    pub(crate) fn report(&self) -> Report {
        let devices = self.devices.now();
        let judge = self.lock();
        let mut unmet: Vec<String> = judge.missing.iter().map(|missing| missing.reason.clone()).collect();
        unmet.extend(judge.gaps());
        unmet.extend(judge.staying().filter_map(|(_, member)| member.shortfall()));
        unmet.extend(judge.staying().filter_map(|(_, member)| {
            let misfit = member.misfit.as_ref().filter(|_| member.tenure != Tenure::Demand)?;
            Some(format!("{} is not loaded: {misfit}", member.name()))
        }));
        let primary = judge.primary();
        let mut order: Vec<(&MemberId, &Member)> = judge.members.iter().collect();
        // Stable, so that all others stay as they came.
        order.sort_by_key(|(id, member)| (Some(**id) != primary, member.tenure == Tenure::Leaving));
        let models = order.into_iter().map(|(_, member)| ModelView::of(member, &judge.admission, &devices)).collect();
        Report { models, devices, unmet }
    }
}

/// The times and numbers that the admission decides by.
fn limits(config: &Config) -> Limits {
    Limits {
        max_wait: config.max_wait,
        max_waiting: config.max_waiting,
        residency: config.residency,
        patience: config.patience,
        drain: config.drain_timeout,
    }
}
