//! On which devices a model goes, and which models would have to be unloaded for it: pure, from bytes alone.
//!
//! [`plan`] takes what a model needs (a [`LayerRequirements`], summed up of an `auxot_catalog::MemoryRequirements`),
//! what is free (a [`Capacity`]) and the operator's [`Rules`], and tries in this order:
//!
//! 1. **whole on one device**: the one with the least left over, so that large gaps stay for large models;
//! 2. **split over several**, as few as possible: whole layers to each ([`Split::Layers`]) in proportion to what is
//!    free, or a part of every layer to each ([`Split::Tensor`]);
//! 3. **in part**: the last layers on devices, the first in host memory, where that is allowed;
//! 4. **in host memory**, where that is allowed; on a host without any known device, wherever the engine puts it,
//!    counted as host memory.
//!
//! If none of these works, the result is a [`PlacementError`] with the numbers in it. Three guarantees hold, each a
//! property test: no device is used beyond what is free on it less the reserve; more memory never turns a placement
//! into an error; and memory that could not be read is never counted, neither as free nor as full.
//!
//! Computed requirements are corrected by what the same placement really took the last time, where that is known
//! (`auxot_catalog::MeasurementHistory`): the caller passes a function that looks it up. In host memory only what is
//! more than computed is used: pages of a file come and go, so that a process can need more than it held.
//!
//! ```
//! use std::sync::Arc;
//!
//! use auxot_catalog::{Layer, MemoryRequirements};
//! use auxot_gpu::Kind;
//! use auxot_placement::{Capacity, DeviceCapacity, LayerRequirements, Rules, Split, plan};
//!
//! const GIB: u64 = 1 << 30;
//! let layer = Layer { weights: GIB, experts: 0, cache: GIB / 4 };
//! let model = MemoryRequirements { layers: vec![layer; 16], output: GIB, ..MemoryRequirements::default() };
//! let card = |id: &str| DeviceCapacity::new(id, Kind::Nvidia, Some(16 * GIB));
//! let capacity = Capacity { devices: vec![card("GPU-a"), card("GPU-b")], host: Some(64 * GIB), withheld: false };
//! let placement = plan(&LayerRequirements::of(&Arc::new(model)), &capacity, &Rules::default(), None).unwrap();
//! assert_eq!(placement.split, Split::Layers);
//! assert_eq!(placement.shares.len(), 2);
//! ```

mod arguments;
mod capacity;
mod config;
mod device_visibility;
mod error;
mod layers;
mod make_room;
mod remembered;
mod repacked_weights;
mod rules;
mod stop;
#[cfg(test)]
mod tests;

use std::ops::Range;

use auxot_gpu::DeviceSelector;
pub use auxot_gpu::HOST;

pub use capacity::{Capacity, DeviceCapacity};
pub use config::Config;
pub use device_visibility::DeviceVisibility;
pub use error::{PlacementError, bytes_text};
pub use layers::LayerRequirements;
pub use make_room::{Tenant, advise, make_room};
pub use remembered::{Remembered, Subject};
pub use rules::{Rules, SplitMode};
pub use stop::Stop;

/// The place of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The devices, in the order in which the engine sees them; empty where all of it is in host memory.
    pub shares: Vec<Share>,
    /// How the shares come together.
    pub split: Split,
    /// Where the engine decides, the devices among which it may; `None` is all that it finds, because none is known.
    pub shown: Option<Vec<Shown>>,
    /// Bytes of host memory.
    pub host: u64,
    /// The part of `host` that is weights, where nothing is on a device.
    pub weights: u64,
    /// The part of `host` that only running jobs take, where nothing is on a device.
    pub at_work: u64,
    /// Layers on devices, the output layer among them; 0 is none.
    pub offloaded: usize,
    /// All layers, counted the same way.
    pub layers: usize,
}

/// One device that an engine may use as it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The device.
    pub device: String,
    /// How the engine is restricted to it.
    pub selector: DeviceSelector,
}

/// What one device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The device.
    pub device: String,
    /// How the engine is restricted to it.
    pub selector: DeviceSelector,
    /// Its layers, the output layer being the one after the last; all of them where each device has a part of each.
    pub layers: Range<usize>,
    /// Bytes on it, the driver's own among them.
    pub bytes: u64,
    /// The part of `bytes` that is weights.
    pub weights: u64,
    /// The part of `bytes` that is kept for the slots.
    pub cache: u64,
}

impl Placement {
    /// Bytes by device; the host's memory is `host`.
    pub fn bytes(&self) -> impl Iterator<Item = (&str, u64)> {
        let shares = self.shares.iter().map(|share| (share.device.as_str(), share.bytes));
        shares.chain(std::iter::once((HOST, self.host)))
    }
}

/// How a model is spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// On one device.
    Whole,
    /// Whole layers on each of several devices.
    Layers,
    /// A part of every layer on each of several devices.
    Tensor,
    /// The last layers on devices, the others in host memory.
    Partial,
    /// In host memory.
    Host,
    /// Wherever the engine puts it: no device is known, or none whose memory can be read.
    Engine,
}

/// Looks up what a placement took the last time: bytes for each of its shares, or of the host's memory where it has
/// none. `None` where no measurement is known.
pub type Known<'a> = Option<&'a dyn Fn(&Placement) -> Option<Vec<u64>>>;

/// Finds a place for a model.
///
/// # Errors
/// A placement error with the numbers in it: too little, or unknown.
pub fn plan(
    requirements: &LayerRequirements,
    capacity: &Capacity,
    rules: &Rules,
    known: Known<'_>,
) -> Result<Placement, PlacementError> {
    Search { requirements, capacity, rules, known }.run()
}

struct Search<'a> {
    requirements: &'a LayerRequirements,
    capacity: &'a Capacity,
    rules: &'a Rules,
    known: Known<'a>,
}

/// A device with known free memory.
#[derive(Debug, Clone, Copy)]
struct Usable<'a> {
    /// Its index among all devices.
    at: usize,
    room: &'a DeviceCapacity,
    /// Bytes that may be promised.
    may: u64,
    /// The part of it that the driver takes.
    driver: u64,
}

impl Search<'_> {
    fn run(&self) -> Result<Placement, PlacementError> {
        let usable: Vec<Usable<'_>> = self.usable();
        let all = self.requirements.layers();
        let wanted = self.rules.layers.unwrap_or(all).min(all);
        let mut host_lacks = None;
        if wanted == all {
            match self.whole(&usable).or_else(|| self.split(&usable)) {
                Some(found) if self.host_holds(&found) => return Ok(found),
                Some(found) => host_lacks = Some(self.capacity.of_host(&found)),
                None => {}
            }
        }
        if wanted > 0 && (self.rules.partial || wanted < all) {
            let least = if wanted < all { wanted } else { 1 };
            let counts = (least..=wanted.min(all - 1)).rev();
            if let Some(found) =
                counts.filter_map(|count| self.part(&usable, count)).find(|found| self.host_holds(found))
            {
                return Ok(found);
            }
        }
        if self.rules.host || wanted == 0 {
            let found = self.in_host_memory(wanted);
            if self.host_holds(&found) {
                return Ok(found);
            }
        }
        Err(self.placement_error(&usable, host_lacks))
    }

    fn usable(&self) -> Vec<Usable<'_>> {
        let known = self.capacity.devices.iter().enumerate().filter_map(|(at, room)| {
            let may = self.capacity.may(room, self.rules)?;
            Some(Usable { at, room, may, driver: capacity::driver(room.kind) })
        });
        known.collect()
    }

    /// Returns a placement if every share fits, by measured bytes where they are known, else by computed ones.
    fn fits(&self, mut found: Placement, usable: &[Usable<'_>]) -> Option<Placement> {
        if let Some(measured) = self.known.and_then(|known| known(&found)) {
            for (share, bytes) in found.shares.iter_mut().zip(measured) {
                share.bytes = bytes;
            }
        }
        let may = |id: &str| usable.iter().find(|device| *device.room.id == *id).map_or(0, |device| device.may);
        found.shares.iter().all(|share| share.bytes <= may(&share.device)).then_some(found)
    }

    /// On no known device, with the measured bytes if they are more than computed.
    fn in_host_memory(&self, wanted: usize) -> Placement {
        let unseen = wanted > 0 && self.capacity.devices.is_empty() && !self.capacity.withheld;
        let mut found = if unseen { self.requirements.unseen() } else { self.requirements.in_host_memory() };
        let took = self.known.and_then(|known| known(&found)?.first().copied());
        found.host = took.unwrap_or(0).max(found.host);
        found
    }

    fn host_holds(&self, found: &Placement) -> bool {
        self.capacity.host_may(self.rules).is_some_and(|may| self.capacity.of_host(found) <= may)
    }

    /// On the device with the least left over.
    fn whole(&self, usable: &[Usable<'_>]) -> Option<Placement> {
        // Without any measurement one comparison decides whether a placement needs to be built.
        let may_fit =
            |device: &&Usable<'_>| self.known.is_some() || self.requirements.whole_bytes(device) <= device.may;
        let fitting = usable.iter().filter(may_fit).filter_map(|device| {
            let found = self.fits(self.requirements.whole(device), usable)?;
            Some((device.may - found.shares[0].bytes, found))
        });
        fitting.min_by_key(|(left, _)| *left).map(|(_, found)| found)
    }

    /// On as few devices as suffice, those with the most room first; else on all that can take part.
    fn split(&self, usable: &[Usable<'_>]) -> Option<Placement> {
        let tensor = match self.rules.split {
            SplitMode::Never => return None,
            SplitMode::Layers => false,
            SplitMode::Tensor => true,
        };
        let mut by_room = usable.to_vec();
        by_room.sort_by_key(|device| std::cmp::Reverse(device.may.saturating_sub(device.driver)));
        if tensor {
            return (2..=by_room.len()).find_map(|count| {
                self.requirements.tensor(&by_room[..count]).and_then(|found| self.fits(found, usable))
            });
        }
        // A device that takes even one layer is never in the way, so what all of them together cannot hold no subset
        // can.
        let filled = |devices: &[Usable<'_>], each| {
            self.requirements
                .filled(devices, self.requirements.layers(), each)
                .and_then(|found| self.fits(found, usable))
        };
        let any = filled(usable, false)?;
        let few = (2..any.shares.len()).find_map(|count| {
            let mut few = by_room[..count].to_vec();
            few.sort_by_key(|device| device.at);
            self.evenly(&few, usable).or_else(|| filled(&few, true))
        });
        few.or_else(|| {
            let part = |device: &&Usable<'_>| any.shares.iter().any(|share| *share.device == *device.room.id);
            let same: Vec<Usable<'_>> = usable.iter().filter(part).copied().collect();
            self.evenly(&same, usable)
        })
        .or_else(|| (any.shares.len() > 1).then_some(any))
    }

    fn evenly(&self, devices: &[Usable<'_>], usable: &[Usable<'_>]) -> Option<Placement> {
        self.requirements.in_proportion(devices).and_then(|found| self.fits(found, usable))
    }

    /// The last `count` layers on the devices that take them.
    fn part(&self, usable: &[Usable<'_>], count: usize) -> Option<Placement> {
        self.fits(self.requirements.filled(usable, count, false)?, usable)
    }

    /// `host_lacks` is what does not fit into host memory of a model that fits on the devices.
    fn placement_error(&self, usable: &[Usable<'_>], host_lacks: Option<u64>) -> PlacementError {
        if self.capacity.devices.is_empty() && !self.rules.host && self.rules.layers != Some(0) {
            return PlacementError::NoDevice;
        }
        let unknown = self.capacity.devices.iter().find(|room| room.free.is_none()).map(|room| room.id.to_string());
        if let Some(device) = unknown.or_else(|| self.capacity.host.is_none().then(|| "host".to_owned())) {
            return PlacementError::MemoryUnknown { device };
        }
        let host = self.capacity.host_may(self.rules).unwrap_or(0);
        if usable.is_empty() || self.rules.layers == Some(0) {
            let needs = self.in_host_memory(self.rules.layers.unwrap_or(self.requirements.layers())).host;
            return PlacementError::DoesNotFit { needs, free: host, devices: 0, stop: None };
        }
        let driver = usable.iter().map(|device| device.driver).max().unwrap_or(0);
        let needs = self.requirements.on_one_device().saturating_add(driver);
        let free = usable.iter().map(|device| device.may).sum();
        if let Some(needs) = host_lacks {
            return PlacementError::HostTooSmall { needs, free: host };
        }
        PlacementError::DoesNotFit { needs, free, devices: usable.len(), stop: None }
    }
}
