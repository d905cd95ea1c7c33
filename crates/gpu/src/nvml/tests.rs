//! Cards of a fake driver: read, lost, silent, cut into slices, and back.

use super::*;
use crate::fake_driver::{FakeDriver, TWO_CARDS};

fn nvidia(driver: &FakeDriver) -> Nvidia {
    Nvidia::new(driver.config().nvml_path)
}

#[test]
fn cards_and_processes_are_read() {
    let driver = FakeDriver::new();
    driver.set(TWO_CARDS);
    let devices = nvidia(&driver).sample(Instant::now());
    let [first, second] = &devices[..] else { panic!("{devices:?}") };
    assert_eq!(
        (first.id.as_str(), first.name.as_str(), first.kind),
        ("GPU-fake-0000", "NVIDIA RTX 4090", Kind::Nvidia)
    );
    assert_eq!((first.total, first.free, first.used), (Some(24000), Some(20000), Some(4000)));
    let held = ProcessUse::on_device;
    assert_eq!(first.processes, [held(11, Some(1500)), held(12, None), held(13, Some(7))]);
    assert_eq!((second.total, second.lost), (Some(80000), false));
}

#[test]
fn a_lost_card_affects_no_other_and_a_silent_one_is_unknown() {
    let driver = FakeDriver::new();
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
    let driver = FakeDriver::new();
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
    let driver = FakeDriver::new();
    driver.set("gpu 80000 1 H100\nslice 0 20000 500\nslice 0 40000 0\ngpu 80000 2 H100\n");
    let devices = nvidia(&driver).sample(Instant::now());
    let totals: Vec<_> = devices.iter().map(|device| (device.id.as_str(), device.total)).collect();
    assert_eq!(
        totals,
        [("GPU-fake-0001", Some(20000)), ("GPU-fake-0002", Some(40000)), ("GPU-fake-0100", Some(80000))]
    );
}

/// What must be true of any card that answers, made up or not.
fn check(devices: &[Device]) {
    for (at, device) in devices.iter().enumerate() {
        assert!(!device.lost, "{device:?}");
        let (total, free, used) = (device.total.unwrap(), device.free.unwrap(), device.used.unwrap());
        assert!(total > 0 && free <= total && used <= total, "{device:?}");
        assert!(devices[..at].iter().all(|other| other.id != device.id), "two cards of one id: {}", device.id);
        assert!(device.temperature.is_none_or(|degrees| degrees < 150), "{device:?}");
        assert!(device.utilisation.is_none_or(|percent| percent <= 100), "{device:?}");
    }
}

#[test]
fn one_two_and_eight_cards_of_equal_and_of_unequal_size() {
    let driver = FakeDriver::new();
    let gib = |gib: u64| gib << 30;
    for count in [1, 2, 8] {
        for unequal in [0, 8] {
            let cards: Vec<u64> = (0..count).map(|at| gib(24 + unequal * at)).collect();
            let line = |total: &u64| format!("gpu {total} {} card\n", total / 3);
            driver.set(&cards.iter().map(line).collect::<String>());
            let devices = nvidia(&driver).sample(Instant::now());
            check(&devices);
            assert_eq!(devices.iter().filter_map(|device| device.total).collect::<Vec<_>>(), cards, "in their order");
            assert!(devices.iter().all(|device| device.used.is_some_and(|used| used == device.total.unwrap() / 3)));
        }
    }
}

#[test]
fn of_eight_cards_one_may_be_lost_and_one_silent() {
    let driver = FakeDriver::new();
    let eight: String = (0..8).map(|at| format!("gpu {} 7 card\n", 24_000 + at)).collect();
    driver.set(&eight);
    let mut nvidia = nvidia(&driver);
    let now = Instant::now();
    let whole = nvidia.sample(now);
    driver.set(&format!("{eight}lost 3\nmute 5\nheat 6 71 98\n"));
    let devices = nvidia.sample(now);
    assert_eq!(devices.len(), 8);
    for (at, (before, device)) in whole.iter().zip(&devices).enumerate() {
        assert_eq!((&before.id, device.lost), (&device.id, at == 3), "an index names the same card for ever");
        assert_eq!(device.free.is_none(), at == 3 || at == 5, "{device:?}");
        assert_eq!(device.total.is_none(), at == 3 || at == 5, "{device:?}");
    }
    assert_eq!((devices[6].temperature, devices[6].utilisation), (Some(71), Some(98)));
    assert_eq!((devices[7].temperature, devices[7].utilisation), (None, None), "unknown is not zero");
}

#[test]
fn other_processes_hold_what_is_not_ours() {
    let driver = FakeDriver::new();
    driver.set(TWO_CARDS);
    let devices = nvidia(&driver).sample(Instant::now());
    assert_eq!(devices[0].held_by_others(|pid| pid == 11), Some(2500));
    assert_eq!(devices[0].held_by_others(|pid| pid == 99), Some(4000));
    assert_eq!(devices[0].held_by_others(|pid| pid == 12), None, "the driver does not say what 12 holds");
}

/// The library of this machine, if it has one: a machine without such cards has nothing to check.
#[test]
fn true_cards_are_read_as_made_up_ones_are() {
    check(&Nvidia::new(None).sample(Instant::now()));
}
