//! `make soak SECONDS=…`: random faults over random load, for as long as one likes, on one worker that must not change.
//!
//! Storms and rests take turns. In a storm jobs of all shapes come, some are cancelled or make their engine fail, and
//! every second or so something goes wrong. In a rest everything is mended, every job comes to its end, a fresh one is
//! answered; then the worker must hold what it held in the first rest: descriptors, threads, jobs, links. Its memory is
//! measured, and has a bound. At the end it drains, and leaves nothing.
//!
//! Everything is drawn from a seed, which is printed: `SEED=… make soak` draws the same again, though not at the same
//! moments of the worker's life. `make test` runs it for some seconds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "its figures are the point of a long run")]

mod dice;
mod drift;
mod figures;
mod load;
mod mischief;
mod run;
mod tally;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dice::Dice;
use run::Run;

/// How long it runs by default.
const SECONDS: u64 = 8;
/// Storms are so many in a run, within these lengths.
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
    let mut run = Run::open(Dice::new(seed)).await;
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
