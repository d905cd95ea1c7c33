//! Streams at full speed: the cost of a token in the worker, and the throughput.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::figure::Figure;
use crate::frames::Said;
use crate::peer::{Link, job};
use crate::rig::Rig;
use crate::samples::Samples;
use crate::usage::cpu_time;

const ROUNDS: u64 = 5;
const STREAMS: usize = 32;
/// One chunk and one write of the engine for each.
const TOKENS: u64 = 12_000;

/// How the engine writes: each token in one write, as llama-server does; and many at once, at the full speed of one
/// process, so that the engine is not the bottleneck.
const WRITES: [&str; 2] = ["--write-each", "--batch-writes"];

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (rig, mut link, direct) = Rig::serving(STREAMS).await?;
    let (mut each, mut batch) = (Measured::default(), Measured::default());
    for round in 0..=ROUNDS {
        for (number, (writes, measured)) in (0..).zip(WRITES.into_iter().zip([&mut each, &mut batch])) {
            let prompt = format!("fake: --tokens {TOKENS} {writes}");
            let before = cpu_time(rig.pid())?;
            let took = relayed(&mut link, round * 2 + number, &prompt).await?;
            let used = cpu_time(rig.pid())?.saturating_sub(before);
            let volume = direct.many(STREAMS, &prompt, Duration::ZERO).await?;
            // The first round warms buffers and is not counted.
            if round > 0 {
                let tokens = (STREAMS as u64 * TOKENS) as f64;
                measured.cost.push(used.as_secs_f64() * 1e6 / tokens);
                measured.rate.push(tokens / took.as_secs_f64());
                measured.direct.push(tokens / volume.took.as_secs_f64());
            }
        }
    }
    Ok(vec![
        Figure::at_most("32 unpaced streams, a write each: CPU per token", "µs", each.cost.median(), 3.5)
            .stretch(2.0)
            .go(5.8),
        Figure::at_least("  tokens per second", "/s", each.rate.median(), 300_000.0).direct(each.direct.median()),
        Figure::at_least("  share of direct", "", each.share(), 0.25).direct(1.0),
        Figure::at_most("32 unpaced streams, 64 a write: CPU per token", "µs", batch.cost.median(), 3.5)
            .stretch(2.0)
            .go(5.8),
        Figure::at_least("  tokens per second", "/s", batch.rate.median(), 300_000.0)
            .direct(batch.direct.median())
            .go(240_000.0),
        Figure::at_least("  share of direct", "", batch.share(), 0.25).direct(1.0).go(0.14),
    ])
}

/// The measurements of one way of writing.
#[derive(Debug, Default)]
struct Measured {
    /// Microseconds of the worker's processor time per token.
    cost: Samples,
    /// Tokens per second, through the worker and directly.
    rate: Samples,
    direct: Samples,
}

impl Measured {
    fn share(&self) -> f64 {
        self.rate.median() / self.direct.median()
    }
}

/// All streams at once through the worker, to the last one's end.
async fn relayed(link: &mut Link, round: u64, prompt: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    for stream in 0..STREAMS as u64 {
        link.send(&job(round * 1000 + stream, prompt)).await?;
    }
    let mut ended = 0;
    while ended < STREAMS {
        let frame = link.next().await?;
        if frame.said == Said::Complete {
            let whole = format!(r#""output_tokens":{TOKENS}"#);
            ensure!(memchr::memmem::find(link.text(&frame), whole.as_bytes()).is_some(), "an answer is not whole");
            ended += 1;
        }
    }
    Ok(begun.elapsed())
}
