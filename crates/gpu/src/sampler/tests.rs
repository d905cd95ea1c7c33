//! The thread, from start to end, with a fake driver and without any.

use super::*;
use crate::device::Kind;
use crate::fake_driver::{FakeDriver, TWO_CARDS};

async fn next(samples: &mut watch::Receiver<Arc<Sample>>) -> Arc<Sample> {
    tokio::time::timeout(Duration::from_secs(60), samples.changed()).await.unwrap().unwrap();
    samples.borrow_and_update().clone()
}

#[tokio::test]
async fn a_refresh_brings_a_later_sample() {
    let driver = FakeDriver::new();
    driver.set(TWO_CARDS);
    let (sampler, mut samples) = Sampler::start(driver.config());
    assert!(samples.borrow_and_update().devices.len() <= 2);
    let refresh = sampler.handle();
    refresh.request();
    let asked = Instant::now();
    driver.set(&format!("{TWO_CARDS}lost 0\n"));
    refresh.request();
    let mut sample = next(&mut samples).await;
    while sample.taken < asked || !sample.devices[0].lost {
        sample = next(&mut samples).await;
    }
    assert_eq!(sample.devices.len(), 2);
    driver.set("broken");
    let asked = Instant::now();
    refresh.request();
    let mut broken = next(&mut samples).await;
    // One sample may have been requested before, and come first.
    while broken.taken < asked {
        broken = next(&mut samples).await;
    }
    assert_eq!(broken.devices.len(), 2, "a broken driver does not turn this into a host without cards");
    assert!(broken.devices.iter().all(|device| device.lost && device.total.is_none()));
}

#[tokio::test]
async fn only_allowed_devices_are_shown() {
    let driver = FakeDriver::new();
    driver.set(TWO_CARDS);
    let (_sampler, mut samples) = Sampler::start(Config { devices: vec!["1".into()], ..driver.config() });
    let sample = next(&mut samples).await;
    assert_eq!(sample.devices.iter().map(|device| &*device.id).collect::<Vec<_>>(), ["GPU-fake-0100"]);
    assert!(sample.host.total.unwrap() > 0, "the host's memory is read, though it is not among them");
}

#[tokio::test]
async fn without_a_card_the_host_is_the_device() {
    let driver = FakeDriver::new();
    let (sampler, mut samples) = Sampler::start(driver.without());
    let sample = next(&mut samples).await;
    let [host] = &sample.devices[..] else { panic!("{sample:?}") };
    assert_eq!((host.id.as_str(), host.kind), ("host", Kind::Host));
    assert!(host.total.unwrap() > 0);
    assert_eq!(*host, sample.host);
    let handle = sampler.handle();
    drop(sampler);
    handle.request();
    assert!(samples.changed().await.is_err(), "the thread is gone, and its sender with it");
}
