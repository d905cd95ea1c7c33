//! Cards of a made-up driver: read, lost, silent, cut into slices, and back.

use super::*;
use crate::fake_driver::{Driver, TWO_CARDS};

fn nvidia(driver: &Driver) -> Nvidia {
    Nvidia::new(driver.config().nvml_path)
}

#[test]
fn cards_and_processes_are_read() {
    let driver = Driver::new();
    driver.set(TWO_CARDS);
    let devices = nvidia(&driver).sample(Instant::now());
    let [first, second] = &devices[..] else { panic!("{devices:?}") };
    assert_eq!(
        (first.id.as_str(), first.name.as_str(), first.kind),
        ("GPU-fake-0000", "NVIDIA RTX 4090", Kind::Nvidia)
    );
    assert_eq!((first.total, first.free, first.used), (Some(24000), Some(20000), Some(4000)));
    let held = |pid, bytes| ProcessUse { pid, bytes };
    assert_eq!(first.processes, [held(11, Some(1500)), held(12, None), held(13, Some(7))]);
    assert_eq!((second.total, second.lost), (Some(80000), false));
}

#[test]
fn a_lost_card_harms_nobody_else_and_a_silent_one_is_unknown() {
    let driver = Driver::new();
    driver.set(TWO_CARDS);
    let mut nvidia = nvidia(&driver);
    let now = Instant::now();
    let whole = nvidia.sample(now);
    driver.set(&format!("{TWO_CARDS}lost 0\nmute 1\n"));
    let devices = nvidia.sample(now);
    assert_eq!((&devices[0].id, &devices[0].name, devices[0].lost), (&whole[0].id, &whole[0].name, true));
    assert_eq!((devices[0].total, devices[0].free, devices[0].used), (None, None, None));
    assert_eq!((devices[1].total, devices[1].free, devices[1].lost), (None, None, false));
    driver.set(TWO_CARDS);
    assert_eq!(nvidia.sample(now + RETRY), whole, "opened anew, and all is well");
}

#[test]
fn a_broken_driver_is_left_alone_for_a_while() {
    let driver = Driver::new();
    driver.set("broken");
    let mut nvidia = nvidia(&driver);
    let now = Instant::now();
    assert_eq!(nvidia.sample(now), []);
    driver.set(TWO_CARDS);
    assert_eq!(nvidia.sample(now + RETRY / 2), []);
    assert_eq!(nvidia.sample(now + RETRY).len(), 2);
    driver.set("broken");
    assert_eq!(nvidia.sample(now + RETRY), []);
    driver.set(TWO_CARDS);
    assert_eq!(nvidia.sample(now + RETRY * 2).len(), 2);
}

#[test]
fn slices_stand_for_their_card() {
    let driver = Driver::new();
    driver.set("gpu 80000 1 H100\nslice 0 20000 500\nslice 0 40000 0\ngpu 80000 2 H100\n");
    let devices = nvidia(&driver).sample(Instant::now());
    let totals: Vec<_> = devices.iter().map(|device| (device.id.as_str(), device.total)).collect();
    assert_eq!(
        totals,
        [("GPU-fake-0001", Some(20000)), ("GPU-fake-0002", Some(40000)), ("GPU-fake-0100", Some(80000))]
    );
}
