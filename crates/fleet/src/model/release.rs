//! The release of an engine's memory: the next load starts after a device sample shows the memory free.
//!
//! A driver frees memory some time after the process has exited. After each exit the devices are sampled until a sample meets
//! these conditions: it began after the exit, no device lists the process, and every device of the placement has at least half
//! of its share more free than when the engine was stopped, where growth of other processes counts as free. Half, because a
//! driver does not list every process. After `fleet.release_timeout` the wait ends, and the measured free memory counts.

use std::sync::Arc;
use std::time::Instant;

use auxot_gpu::{Device, ProcessUse, Sample};
use auxot_placement::Placement;

/// The memory that must become free.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) pid: Option<u32>,
    /// Bytes by device.
    shares: Vec<(String, u64)>,
    /// A sample from the time when the engine was ready, if there is one.
    before: Option<Arc<Sample>>,
    pub(crate) ended: Instant,
}

impl Release {
    pub(crate) fn new(pid: Option<u32>, placement: &Placement, before: Option<Arc<Sample>>) -> Self {
        let shares = placement.shares.iter().map(|share| (share.device.clone(), share.bytes)).collect();
        // The runtime's clock, which tests pause.
        Self { pid, shares, before, ended: tokio::time::Instant::now().into_std() }
    }

    /// Whether this sample began after the exit.
    pub(crate) fn is_shown_by(&self, sample: &Sample) -> bool {
        sample.taken >= self.ended
    }

    /// Whether this sample shows the memory free.
    pub(crate) fn is_seen(&self, sample: &Sample) -> bool {
        self.is_shown_by(sample) && self.shares.iter().all(|(device, bytes)| self.is_seen_on(device, *bytes, sample))
    }

    fn is_seen_on(&self, device: &str, bytes: u64, sample: &Sample) -> bool {
        let of = |sample: &Sample| sample.devices.iter().find(|other| other.id == device).cloned();
        // A device that is lost or unreadable never shows anything.
        let Some((now, free)) = of(sample).and_then(|now| now.free.map(|free| (now, free))) else { return true };
        if now.processes.iter().any(|process| Some(process.pid) == self.pid) {
            return false;
        }
        let Some(before) = self.before.as_deref().and_then(of) else { return true };
        let Some(free_before) = before.free else { return true };
        free.saturating_add(taken_since(&before, &now)) >= free_before.saturating_add(bytes / 2)
    }
}

/// What other processes have taken on a device since, as far as the driver lists them: a model that loads beside one that ends
/// takes what the other frees.
fn taken_since(before: &Device, now: &Device) -> u64 {
    let held = |device: &Device, pid: u32| device.processes.iter().find(|process| process.pid == pid)?.bytes;
    let more = |process: &ProcessUse| process.bytes?.checked_sub(held(before, process.pid).unwrap_or(0));
    now.processes.iter().filter_map(more).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use auxot_gpu::Kind;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn sample(free: Option<u64>, pids: &[u32]) -> Sample {
        let device = Device {
            total: Some(24 * GIB),
            free,
            processes: pids.iter().map(|pid| ProcessUse::on_device(*pid, None)).collect(),
            ..Device::unread(Kind::Nvidia, "GPU-0".into(), "card".into())
        };
        Sample { taken: Instant::now(), devices: vec![device], ..Sample::unread() }
    }

    fn release(before: Option<Sample>) -> Release {
        Release {
            pid: Some(7),
            shares: vec![("GPU-0".into(), 10 * GIB)],
            before: before.map(Arc::new),
            ended: Instant::now(),
        }
    }

    #[test]
    fn memory_is_free_once_the_process_is_unlisted_and_half_of_its_share_is_free() {
        let release = release(Some(sample(Some(2 * GIB), &[7, 8])));
        assert!(!release.is_seen(&sample(Some(20 * GIB), &[7, 8])));
        assert!(!release.is_seen(&sample(Some(3 * GIB), &[8])), "the driver has not freed it yet");
        assert!(release.is_seen(&sample(Some(7 * GIB), &[8])), "another process has taken some of it");
    }

    #[test]
    fn growth_of_other_processes_counts_as_free() {
        let holding = |free: u64, pid: u32, bytes: u64| {
            let mut sample = sample(Some(free * GIB), &[]);
            sample.devices[0].processes = vec![ProcessUse::on_device(pid, Some(bytes * GIB))];
            sample
        };
        let release = release(Some(holding(2, 8, 3)));
        assert!(release.is_seen(&holding(1, 8, 9)), "a process that was there has grown by the freed memory");
        assert!(release.is_seen(&holding(1, 9, 6)), "another process uses it");
        assert!(!release.is_seen(&holding(2, 8, 3)));
        assert!(!release.is_seen(&holding(3, 8, 1)), "a process that shrank is no proof for the one that ended");
    }

    #[test]
    fn without_a_sample_from_before_an_unlisted_process_is_enough() {
        let release = release(None);
        assert!(!release.is_seen(&sample(Some(20 * GIB), &[7])));
        assert!(release.is_seen(&sample(Some(2 * GIB), &[])));
    }

    #[test]
    fn a_sample_from_before_the_exit_is_ignored_and_an_unreadable_device_counts_as_free() {
        let early = sample(Some(20 * GIB), &[]);
        let release = release(Some(sample(Some(2 * GIB), &[7])));
        assert!(!release.is_seen(&early));
        assert!(release.is_seen(&sample(None, &[7])));
    }
}
