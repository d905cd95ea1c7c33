//! The heartbeat: the present state of this worker.

use std::sync::atomic::Ordering;

use auxot_fleet::Fleet;
use auxot_protocol::Heartbeat;

use crate::report::Telemetry;
use crate::report::capabilities::devices;

impl Telemetry {
    /// The present heartbeat.
    pub(crate) fn heartbeat(&self, fleet: &Fleet, jobs: usize) -> Heartbeat {
        let report = fleet.report();
        Heartbeat {
            models: self.model_reports(&report, fleet),
            devices: devices(&report),
            jobs: u32::try_from(jobs).ok(),
            draining: self.draining.load(Ordering::Relaxed),
        }
    }
}
