//! Keeps every device that was ever seen, in one order, and lets through what may be used.

use crate::device::{Device, HOST, Kind, Rank, is_meant};

/// The devices seen so far.
#[derive(Default)]
pub(crate) struct Inventory {
    seen: Vec<Seen>,
}

struct Seen {
    id: String,
    name: String,
    kind: Kind,
    lost: bool,
}

impl Inventory {
    /// Puts what was found into order, adds missing devices as lost, and logs changes.
    pub(crate) fn settle(&mut self, found: Vec<Device>) -> Vec<Device> {
        for device in &found {
            if !self.seen.iter().any(|seen| seen.id == device.id) {
                tracing::info!(id = device.id, name = device.name, kind = %device.kind, total = device.total, "device found");
                let Device { id, name, kind, .. } = device.clone();
                self.seen.push(Seen { id, name, kind, lost: false });
            }
        }
        let mut found: Vec<Option<Device>> = found.into_iter().map(Some).collect();
        let mut devices = Vec::with_capacity(self.seen.len());
        for (index, seen) in self.seen.iter_mut().enumerate() {
            let device = found.iter_mut().find(|found| found.as_ref().is_some_and(|device| device.id == seen.id));
            let device = device
                .and_then(Option::take)
                .unwrap_or_else(|| Device::lost(seen.kind, seen.id.clone(), seen.name.clone()));
            match (seen.lost, device.lost) {
                (false, true) => tracing::error!(id = seen.id, name = seen.name, "device lost"),
                (true, false) => tracing::info!(id = seen.id, name = seen.name, "device is back"),
                _ => {}
            }
            seen.lost = device.lost;
            devices.push(Device { index, ..device });
        }
        rank(&mut devices);
        devices
    }
}

/// Gives each device its rank among the reachable ones of its kind.
fn rank(devices: &mut [Device]) {
    let kinds: Vec<Kind> = devices.iter().filter(|device| !device.lost).map(|device| device.kind).collect();
    let mut before: Vec<Kind> = Vec::with_capacity(kinds.len());
    for device in devices.iter_mut().filter(|device| !device.lost) {
        let count = |kinds: &[Kind]| kinds.iter().filter(|kind| **kind == device.kind).count();
        device.rank = Rank { at: count(&before), of: count(&kinds) };
        before.push(device.kind);
    }
}

/// The devices among `gpus` that `allowed` names; all where it names none.
pub(crate) fn allowed(gpus: Vec<Device>, allowed: &[String]) -> Vec<Device> {
    if allowed.is_empty() {
        return gpus;
    }
    let is_allowed = |device: &Device| allowed.iter().any(|name| is_meant(name, device.index, &device.id));
    gpus.into_iter().filter(is_allowed).collect()
}

/// Whether a setting names the host's memory.
pub(crate) fn wants_host(allowed: &[String]) -> bool {
    allowed.iter().any(|entry| entry.eq_ignore_ascii_case(HOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Sample;

    fn gpu(id: &str) -> Device {
        Device { total: Some(1), ..Device::unread(Kind::Nvidia, id.to_string(), id.to_string()) }
    }

    fn ids(devices: &[Device]) -> Vec<(&str, bool)> {
        devices.iter().map(|device| (device.id.as_str(), device.lost)).collect()
    }

    #[test]
    fn a_device_keeps_its_place_and_never_vanishes() {
        let mut inventory = Inventory::default();
        assert_eq!(ids(&inventory.settle(vec![gpu("b"), gpu("a")])), [("b", false), ("a", false)]);
        assert_eq!(ids(&inventory.settle(vec![gpu("a"), gpu("c")])), [("b", true), ("a", false), ("c", false)]);
        let gone = inventory.settle(vec![]);
        assert_eq!(ids(&gone), [("b", true), ("a", true), ("c", true)]);
        assert_eq!(gone[0].total, None);
        assert_eq!(ids(&inventory.settle(vec![gpu("b")]))[0], ("b", false));
    }

    #[test]
    fn devices_are_allowed_by_index_or_id() {
        let list = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
            let gpus = Inventory::default().settle(vec![gpu("GPU-aa11"), gpu("GPU-bb22"), gpu("0000:03:00.0")]);
            allowed(gpus, &entries).into_iter().map(|device| device.id).collect::<Vec<_>>()
        };
        assert_eq!(list(&[]).len(), 3);
        assert_eq!(list(&["1"]), ["GPU-bb22"]);
        assert_eq!(list(&["gpu-aa", "0000:03:00.0"]), ["GPU-aa11", "0000:03:00.0"]);
        assert_eq!(list(&["7", "GPU-zz", "host"]), [""; 0]);
        assert!(wants_host(&["0".into(), "Host".into()]) && !wants_host(&[]));
    }

    #[test]
    fn a_rank_counts_those_of_a_kind_that_are_reached() {
        let mut inventory = Inventory::default();
        let amd = Device::unread(Kind::Amd, "0000:03:00.0".into(), "card".into());
        let ranks = |devices: Vec<Device>| {
            devices.into_iter().map(|device| (device.rank.at, device.rank.of)).collect::<Vec<_>>()
        };
        assert_eq!(ranks(inventory.settle(vec![gpu("GPU-a"), amd.clone(), gpu("GPU-b")])), [(0, 2), (0, 1), (1, 2)]);
        let found = inventory.settle(vec![amd, gpu("GPU-b")]);
        assert!(found[0].lost);
        assert_eq!(ranks(found[1..].to_vec()), [(0, 1), (0, 1)]);
    }

    #[test]
    fn an_index_counts_those_that_may_not_be_used_and_names_that_mean_nothing_are_found() {
        let gpus = Inventory::default().settle(vec![gpu("GPU-aa11"), gpu("GPU-bb22")]);
        let sample = Sample { devices: allowed(gpus, &["1".into()]), ..Sample::unread() };
        assert_eq!(sample.devices[0].index, 1);
        let names = ["0", "1", "GPU-bb", "gpu-aa", "HOST"].map(String::from);
        assert_eq!(sample.unknown_devices(&names).collect::<Vec<_>>(), ["0", "gpu-aa"]);
        assert_eq!(Sample::unread().unknown_devices(&names).count(), 0, "nothing is known yet");
    }
}
