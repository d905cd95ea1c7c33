//! What is free, and what of it may be used.

use std::sync::Arc;

use auxot_gpu::{Device, DeviceSelector, HOST, Kind, ProcessUse, Sample, is_meant};

use super::{Placement, Rules, Share};

const MIB: u64 = 1 << 20;

/// All memory that models can use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The devices that may be used, in the order in which an engine would see them. The host is not among them.
    pub devices: Vec<DeviceCapacity>,
    /// Free host memory in bytes; `None` where it could not be read.
    pub host: Option<u64>,
    /// There are devices that may not be used: an unrestricted engine would find them.
    pub withheld: bool,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCapacity {
    /// Its id.
    pub id: Arc<str>,
    /// Its number among all devices of the host.
    pub index: usize,
    /// Its maker.
    pub kind: Kind,
    /// How an engine is restricted to it.
    pub selector: DeviceSelector,
    /// Free bytes; `None` where that could not be read.
    pub free: Option<u64>,
    /// All bytes, where that is known: never more are free.
    pub total: Option<u64>,
}

impl DeviceCapacity {
    /// The first device of a host, with the usual selector of its kind.
    pub fn new(id: impl Into<Arc<str>>, kind: Kind, free: Option<u64>) -> Self {
        Self { id: id.into(), index: 0, kind, selector: kind.selector(), free, total: None }
    }
}

impl Capacity {
    /// The capacity of a sample. `repacked` gives the bytes of a child's mapped file that it does not need, because it
    /// has a repacked copy.
    #[must_use]
    pub fn of(sample: &Sample, repacked: impl Fn(u32) -> u64) -> Self {
        // A lost device is left out: its memory can neither be read nor be used.
        let gpus = sample.devices.iter().filter(|device| device.kind != Kind::Host && !device.lost);
        let room = |device: &Device| {
            let selector = device.selector.clone();
            let (index, total) = (device.index, device.total);
            DeviceCapacity {
                selector,
                index,
                total,
                ..DeviceCapacity::new(device.id.as_str(), device.kind, device.free)
            }
        };
        let mut devices: Vec<DeviceCapacity> = gpus.map(room).collect();
        // The engine's order, in any order of the sample.
        devices.sort_by_key(|room| room.kind != Kind::Nvidia);
        let host = sample.host.free.map(|free| free.saturating_sub(mapped(&sample.host, repacked)));
        Self { devices, host, withheld: sample.withheld }
    }

    /// Bytes of a device that may be promised; `None` where that is unknown. For a device in the host's memory no more
    /// than may be promised of that.
    pub(super) fn may(&self, room: &DeviceCapacity, rules: &Rules) -> Option<u64> {
        let own = room.free?.saturating_sub(rules.reserve);
        if room.kind.is_host_memory() { Some(own.min(self.host_may(rules)?)) } else { Some(own) }
    }

    /// Bytes of host memory that may be promised.
    pub(super) fn host_may(&self, rules: &Rules) -> Option<u64> {
        Some(self.host?.saturating_sub(rules.host_reserve))
    }

    /// What a placement takes of the host's memory, with the devices in it.
    pub(super) fn of_host(&self, placed: &Placement) -> u64 {
        let there = |share: &&Share| self.is_host_memory(&share.device);
        placed.shares.iter().filter(there).map(|share| share.bytes).fold(placed.host, u64::saturating_add)
    }

    fn is_host_memory(&self, device: &str) -> bool {
        self.devices.iter().any(|room| *room.id == *device && room.kind.is_host_memory())
    }

    /// The part of it with these names: indices, beginnings of ids, or `host`. A model that may only use the host's
    /// memory has no layer anywhere else.
    #[must_use]
    pub fn only(mut self, names: &[String], rules: Rules) -> (Self, Rules) {
        let host = names.iter().any(|name| name.eq_ignore_ascii_case(HOST));
        self.devices.retain(|room| names.iter().any(|name| is_meant(name, room.index, &room.id)));
        let layers = if host && self.devices.is_empty() { Some(0) } else { rules.layers };
        (self, Rules { host, layers, ..rules })
    }

    /// The same with no more of the host's memory than the operator gives to all models together, which hold `ours` of
    /// it.
    #[must_use]
    pub fn limited(mut self, ours: u64, rules: &Rules) -> Self {
        if let Some(limit) = rules.host_limit {
            // The reserve is kept from the host's memory, and is no part of what the models may take.
            let left = limit.saturating_sub(ours).saturating_add(rules.host_reserve);
            self.host = self.host.map(|free| free.min(left));
        }
        self
    }

    /// The same with some bytes freed. What is unknown stays unknown.
    pub fn freed(&mut self, device: &str, bytes: u64) {
        self.change(device, |free| free.saturating_add(bytes));
    }

    /// The same with some bytes less.
    pub fn taken(&mut self, device: &str, bytes: u64) {
        self.change(device, |free| free.saturating_sub(bytes));
    }

    /// What is on a device in the host's memory is also in host memory; other host memory does not change the device's
    /// limit.
    fn change(&mut self, device: &str, change: impl Fn(u64) -> u64) {
        if device == HOST || self.is_host_memory(device) {
            self.host = self.host.map(&change);
        }
        if let Some(room) = self.devices.iter_mut().find(|room| &*room.id == device) {
            let most = room.total.unwrap_or(u64::MAX).max(room.free.unwrap_or(0));
            room.free = room.free.map(|free| change(free).min(most));
        }
    }
}

/// Bytes of model files that children map. The host's figure counts them as free, since the kernel could drop and read
/// them again, but a model whose pages are dropped is very slow. A child whose pages are not known is ending, and needs
/// nothing any more.
fn mapped(host: &Device, repacked: impl Fn(u32) -> u64) -> u64 {
    let needed = |child: &ProcessUse| Some(child.mapped?.saturating_sub(repacked(child.pid)));
    host.processes.iter().filter_map(needed).fold(0, u64::saturating_add)
}

/// What a driver takes for one process on one device, before the engine allocates anything: its code, its libraries'
/// workspaces. A high estimate of what such processes usually show; a measurement replaces it.
pub(super) fn driver(kind: Kind) -> u64 {
    match kind {
        Kind::Nvidia => 512 * MIB,
        Kind::Amd => 384 * MIB,
        Kind::Apple => 64 * MIB,
        Kind::Host => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_number_when_one_before_it_is_lost() {
        let card = |index, lost| {
            let id = format!("GPU-{index}");
            Device { index, lost, ..Device::unread(Kind::Nvidia, id.clone(), id) }
        };
        let named = |names: &[&str]| {
            let devices = vec![card(0, true), card(1, false), card(2, false)];
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let capacity = Capacity::of(&Sample { devices, ..Sample::unread() }, |_| 0);
            let (capacity, rules) = capacity.only(&names, Rules::default());
            (capacity.devices.iter().map(|room| room.id.to_string()).collect::<Vec<_>>(), rules.host)
        };
        assert_eq!(named(&["1"]), (vec!["GPU-1".to_owned()], false));
        assert_eq!(named(&["gpu-2", "2", "GPU-1"]).0, ["GPU-1", "GPU-2"], "each once, in the host's order");
        assert_eq!(named(&["0", "host"]), (vec![], true));
    }

    #[test]
    fn a_driver_takes_hundreds_of_mebibytes_and_the_host_nothing() {
        for kind in [Kind::Nvidia, Kind::Amd] {
            assert!((256 * MIB..=512 * MIB).contains(&driver(kind)), "{kind:?}");
        }
        assert!((16 * MIB..driver(Kind::Amd)).contains(&driver(Kind::Apple)));
        assert_eq!(driver(Kind::Host), 0);
    }

    #[test]
    fn what_our_children_map_is_not_promised_again() {
        let child = |pid, mapped| ProcessUse { pid, bytes: Some(100), mapped };
        let host = |free, processes| Device { free, processes, ..Sample::unread().host };
        let repacked = |pid| if pid == 4 { 250 } else { 0 };
        let free = |host: Device| Capacity::of(&Sample { host, ..Sample::unread() }, repacked).host;
        assert_eq!(free(host(Some(1000), vec![])), Some(1000));
        assert_eq!(free(host(Some(1000), vec![child(1, Some(300)), child(2, None), child(3, Some(95))])), Some(605));
        assert_eq!(free(host(Some(1000), vec![child(4, Some(300))])), Some(950), "but for what it holds twice");
        assert_eq!(free(host(Some(1000), vec![child(4, Some(200))])), Some(1000), "of what is still mapped");
        assert_eq!(free(host(Some(200), vec![child(1, Some(300)), child(4, Some(300))])), Some(0));
        assert_eq!(free(host(None, vec![child(1, Some(300))])), None, "unknown stays unknown");
    }
}
