//! What is true of the fleet at one moment, for heartbeats, metrics and people.

use std::sync::Arc;

use auxot_catalog::Model;
use auxot_gpu::Sample;
use auxot_instance::{Ready, State, Status};

use crate::member::Member;
use crate::placement::admission::{Admission, Life};

/// The fleet at one moment.
#[derive(Debug, Clone)]
pub struct Report {
    /// Every model, the primary one first.
    pub models: Vec<ModelView>,
    /// The newest reading of the devices.
    pub devices: Arc<Sample>,
    /// What was wished for and cannot be had, one sentence each.
    pub unmet: Vec<String>,
}

/// One model at one moment.
#[derive(Debug, Clone)]
pub struct ModelView {
    /// What is on disk.
    pub model: Arc<Model>,
    /// Where its process is.
    pub status: Status,
    /// The engine that takes jobs now.
    pub ready: Option<Arc<Ready>>,
    /// Slots that it has, or will have once it is loaded.
    pub slots: u32,
    /// Tokens of context of each slot, in the same sense.
    pub ctx_size: u32,
    /// It is not loaded, and will be for a job.
    pub asleep: bool,
    /// Its slots that hold a job.
    pub slots_busy: u32,
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Bytes per device id that its process holds; empty where nobody can tell.
    pub memory: Vec<(String, u64)>,
}

impl ModelView {
    pub(crate) fn of(member: &Member, admission: &Admission, devices: &Sample) -> Self {
        let pid = member.engine.as_ref().and_then(|engine| engine.status.pid);
        let life = admission.life(member.seat);
        let takes = matches!(life, Life::Ready { draining: None, .. });
        let ready = member.ready().filter(|_| takes).cloned();
        let planned = member.engine.as_ref().map_or_else(|| member.plan.spec(), |engine| engine.spec.clone());
        Self {
            model: Arc::clone(&member.model),
            memory: pid.map(|pid| memory_of(pid, devices)).unwrap_or_default(),
            status: status(member, life, admission.is_wanted(member.seat)),
            slots: ready.as_ref().map_or(planned.slots, |ready| ready.props.total_slots),
            ctx_size: ready.as_ref().map_or(planned.ctx_per_slot.unwrap_or_default(), |ready| ready.props.n_ctx),
            asleep: matches!(life, Life::Absent) && !admission.is_wanted(member.seat),
            ready,
            slots_busy: admission.busy(member.seat),
            waiting: admission.waiting(member.seat),
        }
    }

    /// Bytes of its process over all devices; unknown is not zero.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        (!self.memory.is_empty()).then(|| self.memory.iter().map(|(_, bytes)| bytes).sum())
    }

    /// What it can do, in the protocol's words.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let mut words = match self.model.kind {
            auxot_catalog::Kind::Chat => vec!["chat"],
            auxot_catalog::Kind::Embedding => vec!["embedding"],
            auxot_catalog::Kind::Rerank => vec!["rerank"],
        };
        if self.ready.as_ref().is_some_and(|ready| ready.props.vision) {
            words.push("vision");
        }
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Where a model is: its process, or what is to become of it.
fn status(member: &Member, life: &Life, wanted: bool) -> Status {
    let mut status = member.last.clone().unwrap_or_else(Status::at_rest);
    status.state = match (life, status.state) {
        (Life::Ready { draining: Some(_), .. }, State::Ready(_)) => State::Draining,
        (Life::Coming { .. }, _) => State::Starting { progress: None },
        (Life::Absent, _) if wanted => State::Starting { progress: None },
        (Life::Absent, _) => State::Stopped,
        (Life::Leaving { .. }, _) if member.engine.is_none() => State::Stopping,
        // Between two tries.
        (Life::Loading { .. }, State::Stopped | State::Failed { .. }) => State::Starting { progress: None },
        (_, state) => state,
    };
    status
}

/// The memory of one process: what the drivers say of it, and its resident host memory where no
/// device claims it.
pub(crate) fn memory_of(pid: u32, devices: &Sample) -> Vec<(String, u64)> {
    let on_devices: Vec<(String, u64)> = devices
        .devices
        .iter()
        .filter_map(|device| {
            let used = device.processes.iter().find(|process| process.pid == pid)?;
            Some((device.id.clone(), used.bytes?))
        })
        .collect();
    if !on_devices.is_empty() {
        return on_devices;
    }
    auxot_gpu::resident_bytes(pid).map(|bytes| vec![("host".to_owned(), bytes)]).unwrap_or_default()
}
