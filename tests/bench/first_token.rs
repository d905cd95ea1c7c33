//! One job at a time: how much later its first token arrives through the worker.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::figure::Figure;
use crate::frames::Said;
use crate::peer::{Link, job};
use crate::rig::Rig;
use crate::samples::Samples;
use crate::usage::since_stamps;

const ROUNDS: u64 = 5;
const JOBS: u64 = 500;
/// The first of two: as in a real answer, the stream continues after it.
const PROMPT: &str = "fake: --tokens 2 --token-us 1000 --stamp";

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (_rig, mut link, direct) = Rig::serving(4).await?;
    let mut medians = [(); 6].map(|()| Samples::default());
    // The first round warms caches and tables and is not counted.
    for round in 0..=ROUNDS {
        let mut seen = [(); 4].map(|()| Samples::default());
        for number in 0..JOBS {
            let (relayed, age) = first_token(&mut link, round * JOBS + number).await?;
            let (alone, alone_age) = direct.first_token(PROMPT).await?;
            for (samples, value) in seen.iter_mut().zip([ms(relayed), ms(alone), age, alone_age]) {
                samples.push(value);
            }
        }
        let [relayed, alone, ages, alone_ages] = &seen;
        let (p50, p99) = (alone.median(), alone.quantile(0.99));
        let of_round =
            [relayed.median() - p50, relayed.quantile(0.99) - p99, ages.median(), p50, p99, alone_ages.median()];
        if round > 0 {
            medians.iter_mut().zip(of_round).for_each(|(samples, value)| samples.push(value));
        }
    }
    let [p50, p99, age, alone_p50, alone_p99, alone_age] = medians.map(|samples| samples.median());
    Ok(vec![
        Figure::at_most("job received → first token, added, p50", "ms", p50, 0.2).direct(alone_p50).go(0.49),
        Figure::at_most("job received → first token, added, p99", "ms", p99, 0.7).direct(alone_p99).go(1.1),
        Figure::at_most("engine wrote first token → router, p50", "ms", age, 0.09).direct(alone_age).go(0.22),
    ])
}

/// One job through the worker: the time to its first token, and the age of that token's stamp, in milliseconds.
async fn first_token(link: &mut Link, id: u64) -> anyhow::Result<(Duration, f64)> {
    let job = job(id, PROMPT);
    let begun = Instant::now();
    link.send(&job).await?;
    let mut first = None;
    loop {
        let frame = link.next().await?;
        match frame.said {
            Said::Token if first.is_none() => {
                let mut ages = Samples::default();
                since_stamps(link.text(&frame), |age| ages.push(age));
                first = Some((begun.elapsed(), ages.worst()));
            }
            Said::Complete => break,
            _ => {}
        }
    }
    ensure!(first.is_some(), "a job without a token");
    Ok(first.unwrap_or_default())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
