//! What the handles, the leases and the staff of one fleet share: the judge under its lock, and who hears of changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_gpu::Sample;
use auxot_instance::{Config as EngineConfig, Status};
use tokio::sync::{Notify, watch};

use crate::acquire::settle_all;
use crate::config::Config;
use crate::engines::Engines;
use crate::judge::{Judge, MemberId};
use crate::library::Shelf;
use crate::member::{Member, Tenure};
use crate::metrics;
use crate::places::Places;
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
    pub(crate) files: auxot_catalog::Config,
    pub(crate) remembered: Remembered,
    pub(crate) devices: watch::Receiver<Arc<Sample>>,
    /// Counts the changes of anything that `hello` or `config` tells.
    pub(crate) changes: watch::Sender<u64>,
    /// Counts the looks through the models folders.
    pub(crate) looked: watch::Sender<u64>,
    /// Tells the staff, its only waiter, that there may be work.
    pub(crate) at_work: Notify,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        engine: EngineConfig,
        engines: Box<dyn Engines>,
        places: Places,
        devices: watch::Receiver<Arc<Sample>>,
    ) -> Self {
        Self {
            state: Mutex::new(Judge::new(Shelf::new(places.catalog, &engines.program()))),
            engines,
            engine,
            config,
            files: places.files,
            remembered: Remembered::open(&places.state),
            devices,
            changes: watch::Sender::new(0),
            looked: watch::Sender::new(0),
            at_work: Notify::new(),
        }
    }

    /// Never held across an await, and no caller's code runs under it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Judge> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a new state of a member's process.
    pub(crate) fn turn(self: &Arc<Self>, id: MemberId, generation: u64, status: Status) {
        let devices = self.devices.borrow().clone();
        let mut judge = self.lock();
        let Some(member) = judge.members.get_mut(&id).filter(|member| member.generation == generation) else { return };
        let turn = member.turn(status, &devices);
        let wanted = member.plan.dial.wanted();
        let found = turn.found.map(|size| (member.plan.key.clone(), Some(size).filter(|size| *size != wanted)));
        let failed = member.has_failed();
        judge.work.extend(turn.changing.then_some(Work::Reshape { member: id }));
        judge.work.extend(found.map(|(key, size)| Work::Remember { key, size }));
        let mut settled = self.grant(&mut judge, id, turn.granted);
        settled.extend(self.dismiss(&mut judge, id, turn.dismissed));
        settled.extend(self.retire(&mut judge));
        if failed {
            // At once, and not only at the next turn: a file that is gone for a moment may be the reason.
            judge.inspect(id);
        }
        let gone = judge.forget(id);
        drop(judge);
        settle_all(settled);
        if let Some(gone) = gone {
            metrics::forget(gone.name(), &self.devices.borrow());
        }
        self.changed();
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
        let devices = self.devices.borrow().clone();
        let judge = self.lock();
        let mut unmet: Vec<String> = judge.missing.iter().map(|missing| missing.reason.clone()).collect();
        unmet.extend(judge.gaps());
        unmet.extend(judge.staying().filter_map(|(_, member)| member.shortfall()));
        let primary = judge.primary();
        let mut order: Vec<(&MemberId, &Member)> = judge.members.iter().collect();
        // Stable, so that all others stay as they came.
        order.sort_by_key(|(id, member)| (Some(**id) != primary, member.tenure == Tenure::Leaving));
        let models = order.into_iter().map(|(_, member)| ModelView::of(member, &devices)).collect();
        Report { models, devices, unmet }
    }
}
