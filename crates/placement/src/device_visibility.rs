//! Which of the host's devices an engine can use, and by which name.
//!
//! The drivers list all devices, the engine lists those that it was built for and can reach. An engine with CUDA or
//! ROCm is restricted to devices by a variable, with ids that last. One that reaches the same cards through Vulkan
//! ignores those variables: its arguments name the devices by its own names. A card that an engine does not list is not
//! used: a model that was planned for it would run on the processor, in memory that is not counted.

use std::sync::Arc;

use auxot_engine::ListedDevice;
use auxot_gpu::{Device, DeviceSelector, Kind, Sample};

use super::Capacity;

/// The devices that an engine lists.
#[derive(Debug, Clone, Default)]
pub struct DeviceVisibility {
    /// `None` where it does not list any: then it is assumed to reach all.
    listed: Option<Vec<ListedDevice>>,
}

impl DeviceVisibility {
    /// For an engine that lists these.
    #[must_use]
    pub fn new(listed: Option<Vec<ListedDevice>>) -> Self {
        Self { listed }
    }

    /// The capacity without the devices that the engine cannot reach, the others with the selector that it needs.
    #[must_use]
    pub fn of(&self, mut capacity: Capacity, sample: &Sample) -> Capacity {
        capacity.devices.retain_mut(|room| {
            let device = sample.devices.iter().find(|device| *device.id == *room.id);
            let selector = device.and_then(|device| self.selector(device, sample));
            selector.map(|selector| room.selector = selector).is_some()
        });
        capacity
    }

    /// The devices that the engine cannot reach.
    pub fn unreachable_devices<'a>(&'a self, sample: &'a Sample) -> impl Iterator<Item = &'a Device> {
        sample.devices.iter().filter(|device| self.selector(device, sample).is_none())
    }

    /// The selector of a device for the engine; `None` where it cannot reach it.
    fn selector(&self, device: &Device, sample: &Sample) -> Option<DeviceSelector> {
        let Some(listed) = &self.listed else { return Some(device.selector.clone()) };
        let own: &[&str] = match device.kind {
            Kind::Nvidia => &["CUDA"],
            Kind::Amd => &["ROCm"],
            Kind::Apple => &["MTL", "Metal"],
            Kind::Host => return Some(device.selector.clone()),
        };
        if listed.iter().any(|listed| own.contains(&listed.backend())) {
            return Some(device.selector.clone());
        }
        let same_maker: Vec<&ListedDevice> =
            listed.iter().filter(|listed| is_by(device.kind, &listed.description)).collect();
        let (first, same_kind) = (same_maker.first()?, sample.devices.iter().filter(|other| other.kind == device.kind));
        // Both list cards in the order of their slots; where one lists more than the other, the size may distinguish
        // them.
        let (same_kind, backend): (Vec<&Device>, _) = (same_kind.collect(), first.backend());
        let candidates: Vec<&ListedDevice> =
            same_maker.into_iter().filter(|listed| listed.backend() == backend).collect();
        let name = match_up(device, &same_kind, &candidates).or_else(|| by_rank(device, &candidates));
        Some(name.map_or(DeviceSelector::None, |name| DeviceSelector::Named(Arc::from(name))))
    }
}

/// The engine's name of a device among those of one maker and one backend, where it is certain.
fn match_up<'a>(device: &Device, same_kind: &[&Device], listed: &[&'a ListedDevice]) -> Option<&'a str> {
    let devices = same_kind.iter().filter(|other| is_as_large(device, other.total));
    let at = devices.clone().position(|other| other.id == device.id)?;
    let names: Vec<&ListedDevice> = listed.iter().copied().filter(|listed| is_as_large(device, listed.total)).collect();
    (names.len() == devices.count()).then(|| &*names[at].name)
}

/// The same where some of its kind may not be used, so that only their number is known.
fn by_rank<'a>(device: &Device, listed: &[&'a ListedDevice]) -> Option<&'a str> {
    let listed = listed.get(device.rank.at).filter(|_| listed.len() == device.rank.of)?;
    is_as_large(device, listed.total).then_some(&*listed.name)
}

fn is_as_large(device: &Device, total: Option<u64>) -> bool {
    device.total.zip(total).is_some_and(|(a, b)| a.abs_diff(b) <= a.max(b) / 8)
}

fn is_by(kind: Kind, description: &str) -> bool {
    let words: &[&str] = match kind {
        Kind::Nvidia => &["nvidia", "geforce", "quadro", "tesla"],
        Kind::Amd => &["amd", "radeon"],
        Kind::Apple => &["apple"],
        Kind::Host => &[],
    };
    let description = description.to_lowercase();
    words.iter().any(|word| description.contains(word))
}

#[cfg(test)]
mod tests {
    use auxot_gpu::Rank;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn device(kind: Kind, id: &str, gib: u64) -> Device {
        Device { total: Some(gib * GIB), free: Some(gib * GIB), ..Device::unread(kind, id.into(), "card".into()) }
    }

    fn sample(devices: Vec<Device>) -> Sample {
        Sample { devices, ..Sample::unread() }
    }

    /// As an engine lists it: its name, its description, GiB.
    fn visibility(listed: &[(&str, &str, u64)]) -> DeviceVisibility {
        let listed = listed.iter().map(|(name, description, gib)| ListedDevice {
            name: (*name).into(),
            description: (*description).into(),
            total: Some(gib * GIB),
        });
        DeviceVisibility::new(Some(listed.collect()))
    }

    fn seen(visibility: &DeviceVisibility, sample: &Sample) -> Vec<(String, DeviceSelector)> {
        let capacity = visibility.of(Capacity::of(sample, |_| 0), sample);
        capacity.devices.into_iter().map(|room| (room.id.to_string(), room.selector)).collect()
    }

    fn named(name: &str) -> DeviceSelector {
        DeviceSelector::Named(name.into())
    }

    #[test]
    fn one_that_does_not_tell_or_was_built_for_them_is_shown_them_by_their_ids() {
        let two = sample(vec![device(Kind::Nvidia, "GPU-0", 24), device(Kind::Nvidia, "GPU-1", 24)]);
        let by_id = [("GPU-0".to_owned(), DeviceSelector::Cuda), ("GPU-1".to_owned(), DeviceSelector::Cuda)];
        assert_eq!(seen(&DeviceVisibility::default(), &two), by_id);
        // A variable of the host may hide some of them, as its operator wants.
        assert_eq!(
            seen(&visibility(&[("CUDA0", "NVIDIA RTX 4090", 24), ("Vulkan0", "NVIDIA RTX 4090", 24)]), &two),
            by_id
        );
    }

    #[test]
    fn one_that_reaches_none_of_them_has_none() {
        let both = sample(vec![device(Kind::Nvidia, "GPU-0", 24), device(Kind::Amd, "0000:03:00.0", 24)]);
        assert_eq!(seen(&visibility(&[]), &both), []);
        assert_eq!(visibility(&[]).unreachable_devices(&both).count(), 2);
        let rocm = visibility(&[("ROCm0", "AMD Radeon RX 7900 XTX", 24)]);
        assert_eq!(seen(&rocm, &both), [("0000:03:00.0".to_owned(), DeviceSelector::None)]);
        assert_eq!(rocm.unreachable_devices(&both).map(|device| &*device.id).collect::<Vec<_>>(), ["GPU-0"]);
        let host = sample(vec![Sample::unread().host]);
        assert_eq!(visibility(&[]).unreachable_devices(&host).count(), 0, "every engine reaches the host's memory");
    }

    #[test]
    fn through_vulkan_they_go_by_its_names() {
        let cards = sample(vec![
            device(Kind::Nvidia, "GPU-0", 24),
            device(Kind::Nvidia, "GPU-1", 80),
            device(Kind::Nvidia, "GPU-2", 24),
            device(Kind::Amd, "0000:03:00.0", 16),
        ]);
        let all = visibility(&[
            ("Vulkan0", "AMD Radeon RX 7800 XT (RADV NAVI32)", 16),
            ("Vulkan1", "NVIDIA A100", 79),
            ("Vulkan2", "NVIDIA GeForce RTX 4090", 24),
            ("Vulkan3", "NVIDIA GeForce RTX 4090", 24),
        ]);
        let names: Vec<DeviceSelector> = seen(&all, &cards).into_iter().map(|(_, selector)| selector).collect();
        assert_eq!(names, ["Vulkan2", "Vulkan1", "Vulkan3", "Vulkan0"].map(named));
        let one = sample(vec![device(Kind::Nvidia, "GPU-2", 24)]);
        assert_eq!(
            seen(&all, &one),
            [("GPU-2".to_owned(), DeviceSelector::None)],
            "it is unknown which of the two it is"
        );
        let third = Device { rank: Rank { at: 2, of: 3 }, ..one.devices[0].clone() };
        let third = sample(vec![third]);
        assert_eq!(
            seen(&all, &third),
            [("GPU-2".to_owned(), named("Vulkan3"))],
            "the others may not be used, but count"
        );
        let odd = sample(vec![Device { rank: Rank { at: 0, of: 3 }, ..one.devices[0].clone() }]);
        assert_eq!(
            seen(&all, &odd),
            [("GPU-2".to_owned(), DeviceSelector::None)],
            "they do not list them in one order"
        );
    }
}
