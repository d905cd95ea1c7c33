//! The cost of sampling eight devices with a driver that answers at once: our own part of it.

use std::time::Duration;

use anyhow::Context;
use auxot_gpu::{Config, Sampler};
use auxot_tests::{FakeNvml, Scratch};

use crate::figure::Figure;
use crate::usage::cpu_time;

const CARDS: usize = 8;
const LOOKS: u32 = 50;

/// Samples as often as possible and measures the processor time of each: at one per second it is the share.
pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let scratch = Scratch::new();
    let driver = FakeNvml::new(scratch.path());
    let mut state = String::new();
    for card in 0..CARDS {
        state += &format!("gpu {} {} NVIDIA H100\n", 80_u64 << 30, 20_u64 << 30);
        state += &format!("heat {card} 60 90\n");
        // Several engines on each.
        state += &(0..4).map(|at| format!("proc {card} {} {}\n", 1000 + at, 5_u64 << 30)).collect::<String>();
    }
    driver.set(&state);
    let config = Config {
        nvml_path: Some(driver.library()),
        sysfs_root: scratch.join("sys"),
        sample_interval: Duration::from_millis(100),
        ..Config::default()
    };
    let (_sampler, mut samples) = Sampler::start(config);
    samples.changed().await.context("the sampler has ended")?;
    let before = cpu_time(std::process::id())?;
    for _ in 0..LOOKS {
        samples.changed().await.context("the sampler has ended")?;
    }
    let each = cpu_time(std::process::id())?.saturating_sub(before) / LOOKS;
    anyhow::ensure!(samples.borrow().devices.len() == CARDS, "not all cards were seen");
    Ok(vec![Figure::at_most("looking at 8 devices once a second, of one core", "%", each.as_secs_f64() * 100.0, 0.1)])
}
