//! What is true of the fleet at one moment, for heartbeats, metrics and people.

use std::sync::Arc;

use auxot_catalog::Model;
use auxot_gpu::Sample;
use auxot_instance::{Ready, Status};

use crate::member::Member;

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
    /// Its slots that hold a job.
    pub slots_busy: u32,
    /// Jobs that wait for a slot.
    pub waiting: usize,
    /// Bytes per device id that its process holds; empty where nobody can tell.
    pub memory: Vec<(String, u64)>,
}

impl ModelView {
    pub(crate) fn of(member: &Member, devices: &Sample) -> Self {
        Self {
            model: Arc::clone(&member.model),
            memory: member.status.pid.map(|pid| memory_of(pid, devices)).unwrap_or_default(),
            status: member.status.clone(),
            ready: member.ready().cloned(),
            slots_busy: member.queue.busy(),
            waiting: member.queue.waiting(),
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

/// The memory of one process: what the drivers say of it, and its resident host memory where no
/// device claims it.
fn memory_of(pid: u32, devices: &Sample) -> Vec<(String, u64)> {
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
