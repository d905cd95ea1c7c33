//! Memory seen free: the next load does not begin on the word of a process that has ended, but on a reading.
//!
//! A driver gives memory back some time after the exit of who held it. So after each exit the devices are looked at until
//! they show it: a reading that was begun after the exit, in which no device lists the process any more, and in which every
//! device that it lay on has at least half of its share more than when it was told to end, what others have come to hold
//! there counted; only half, because not all of them are listed. Where that does not come, the wait ends after
//! `fleet.release_timeout`, and what is measured then counts.

use std::sync::Arc;
use std::time::Instant;

use auxot_gpu::{Device, ProcessUse, Sample};
use auxot_placement::Placement;

/// What is to be seen free.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) pid: Option<u32>,
    /// Bytes by device.
    shares: Vec<(String, u64)>,
    /// A reading from when it was loaded, if there is one.
    before: Option<Arc<Sample>>,
    pub(crate) ended: Instant,
}

impl Release {
    pub(crate) fn new(pid: Option<u32>, placement: &Placement, before: Option<Arc<Sample>>) -> Self {
        let shares = placement.shares.iter().map(|share| (share.device.clone(), share.bytes)).collect();
        // On the runtime's clock, which tests may stop.
        Self { pid, shares, before, ended: tokio::time::Instant::now().into_std() }
    }

    /// Whether this reading was begun after the end.
    pub(crate) fn is_shown_by(&self, sample: &Sample) -> bool {
        sample.taken >= self.ended
    }

    /// Whether this reading shows it.
    pub(crate) fn is_seen(&self, sample: &Sample) -> bool {
        self.is_shown_by(sample) && self.shares.iter().all(|(device, bytes)| self.is_seen_on(device, *bytes, sample))
    }

    fn is_seen_on(&self, device: &str, bytes: u64, sample: &Sample) -> bool {
        let of = |sample: &Sample| sample.devices.iter().find(|other| other.id == device).cloned();
        // A device that is lost, or cannot be read, will never show anything.
        let Some((now, free)) = of(sample).and_then(|now| now.free.map(|free| (now, free))) else { return true };
        if now.processes.iter().any(|process| Some(process.pid) == self.pid) {
            return false;
        }
        let Some(before) = self.before.as_deref().and_then(of) else { return true };
        let Some(free_before) = before.free else { return true };
        free.saturating_add(taken_since(&before, &now)) >= free_before.saturating_add(bytes / 2)
    }
}

/// What others have come to hold of a device, as far as the driver tells: a model that is loaded beside one that ends takes
/// what the other gives back.
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
    fn it_is_not_listed_any_more_and_half_of_its_share_is_free() {
        let release = release(Some(sample(Some(2 * GIB), &[7, 8])));
        assert!(!release.is_seen(&sample(Some(20 * GIB), &[7, 8])));
        assert!(!release.is_seen(&sample(Some(3 * GIB), &[8])), "the driver is not done with it");
        assert!(release.is_seen(&sample(Some(7 * GIB), &[8])), "a stranger has taken some of what came free");
    }

    #[test]
    fn what_others_have_come_to_hold_was_free_before() {
        let holding = |free: u64, pid: u32, bytes: u64| {
            let mut sample = sample(Some(free * GIB), &[]);
            sample.devices[0].processes = vec![ProcessUse::on_device(pid, Some(bytes * GIB))];
            sample
        };
        let release = release(Some(holding(2, 8, 3)));
        assert!(release.is_seen(&holding(1, 8, 9)), "who was there has grown by what came free");
        assert!(release.is_seen(&holding(1, 9, 6)), "another is loaded there");
        assert!(!release.is_seen(&holding(2, 8, 3)));
        assert!(!release.is_seen(&holding(3, 8, 1)), "one that shrank says nothing of the one that ended");
    }

    #[test]
    fn of_one_that_was_never_read_while_it_was_loaded_only_its_absence_can_be_seen() {
        let release = release(None);
        assert!(!release.is_seen(&sample(Some(20 * GIB), &[7])));
        assert!(release.is_seen(&sample(Some(2 * GIB), &[])));
    }

    #[test]
    fn a_reading_from_before_the_exit_shows_nothing_and_one_that_failed_never_will() {
        let early = sample(Some(20 * GIB), &[]);
        let release = release(Some(sample(Some(2 * GIB), &[7])));
        assert!(!release.is_seen(&early));
        assert!(release.is_seen(&sample(None, &[7])));
    }
}
