//! The devices of the host that runs the tests, whatever they are: what holds for any reading holds for theirs.

use auxot_gpu::{Config, Kind, sample_once};

#[test]
fn the_devices_of_this_host_are_read_as_any_others_are() {
    let sample = sample_once(&Config::default());
    assert!(sample.host.total > Some(64 << 20) && sample.host.free <= sample.host.total, "{:?}", sample.host);
    assert!(!sample.devices.is_empty(), "without a card the host is the device");
    for device in &sample.devices {
        assert!(!device.id.is_empty() && !device.name.is_empty(), "{device:?}");
        if let (Some(total), Some(free), Some(used)) = (device.total, device.free, device.used) {
            assert!(total > 0 && free <= total && used <= total, "{device:?}");
        }
        match device.kind {
            Kind::Nvidia => assert!(device.id.starts_with("GPU-") || device.id.starts_with("MIG-"), "{device:?}"),
            Kind::Amd | Kind::Apple | Kind::Host => {}
        }
        assert!(device.utilisation.is_none_or(|percent| percent <= 100), "{device:?}");
    }
    let again = sample_once(&Config::default());
    let ids = |sample: &auxot_gpu::Sample| sample.devices.iter().map(|device| device.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&sample), ids(&again), "their order stays");
}
