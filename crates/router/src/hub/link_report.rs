//! What an operator sees of a worker's link. No decision is made from it.

use std::net::IpAddr;
use std::sync::Arc;

use auxot_protocol::{Capabilities, DeviceReport, Heartbeat};
use tokio::time::Instant;

use super::recent_times::RecentTimes;

/// Devices and sentences of one worker that are kept.
const MOST: usize = 256;

/// What a worker has reported, and when.
#[derive(Debug, Clone)]
pub(crate) struct LinkReport {
    /// Where it has connected from.
    pub(crate) address: IpAddr,
    /// What it calls itself, with its version: the `User-Agent` of the upgrade.
    pub(crate) program: Option<Arc<str>>,
    pub(crate) connected: Instant,
    /// Its last heartbeat; `None` before the first.
    pub(crate) heartbeat: Option<Instant>,
    pub(crate) backend: Arc<str>,
    pub(crate) devices: Arc<[DeviceReport]>,
    /// The parts of the policy that it cannot meet.
    pub(crate) unmet: Arc<[String]>,
    /// Its completed jobs.
    pub(crate) times: RecentTimes,
}

impl LinkReport {
    pub(crate) fn new(address: IpAddr, program: Option<Arc<str>>, capabilities: &Capabilities) -> Self {
        let mut report = Self {
            address,
            program,
            connected: Instant::now(),
            heartbeat: None,
            backend: Arc::default(),
            devices: Arc::default(),
            unmet: Arc::default(),
            times: RecentTimes::default(),
        };
        report.update(capabilities);
        report
    }

    /// New capabilities. Devices that are not reported again stay as they were reported last.
    pub(super) fn update(&mut self, capabilities: &Capabilities) {
        self.backend = capabilities.backend.as_str().into();
        self.unmet = capabilities.unmet.iter().take(MOST).cloned().collect();
        self.update_devices(&capabilities.devices);
    }

    /// A heartbeat.
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) {
        self.heartbeat = Some(Instant::now());
        self.update_devices(&heartbeat.devices);
    }

    fn update_devices(&mut self, devices: &[DeviceReport]) {
        if !devices.is_empty() && *devices != *self.devices {
            self.devices = devices.iter().take(MOST).cloned().collect();
        }
    }
}
