//! `make soak SECONDS=…`: random faults over random load, for as long as one likes, on one worker that must not change.
//!
//! Storms and rests alternate. In a storm jobs of all kinds arrive, some are cancelled or make their engine fail, and
//! about every second a fault is injected. In a rest every fault is undone, every job ends, a new job is
//! answered; then the worker must hold what it held in the first rest: descriptors, threads, jobs, connections. Its memory is
//! measured, and has a bound. At the end the worker drains and leaves nothing behind.
//!
//! All random numbers come from a seed, which is printed: `SEED=… make soak` repeats them, though not at the same
//! states of the worker. `make test` runs it for some seconds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "its figures are the point of a long run")]

mod counts;
mod drift;
mod faults;
mod figures;
mod load;
mod random;
mod run;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use random::Random;
use run::Run;

/// How long it runs by default.
const SECONDS: u64 = 8;
/// The number of storms in a run, and the bounds of their length.
const STORMS: u32 = 12;
const SHORTEST: Duration = Duration::from_secs(4);
const LONGEST: Duration = Duration::from_secs(60);

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("cannot read {name}={text}: a whole number is wanted")))
}

#[tokio::test]
async fn nothing_drifts() {
    let length = Duration::from_secs(number("SOAK_SECONDS").unwrap_or(SECONDS));
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seed = number("SEED").unwrap_or_else(clock);
    println!("soak: {} s, SEED={seed}", length.as_secs());
    let mut run = Run::open(Random::new(seed)).await;
    run.rest().await;
    let storm = (length / STORMS).clamp(SHORTEST, LONGEST);
    while run.age() < length {
        run.storm(storm).await;
        run.rest().await;
        run.tell_progress(length);
    }
    let figures = run.end().await;
    println!("{figures}");
    figures.check();
}
