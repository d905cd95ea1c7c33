//! Many streams at the pace of real models, with a wake-up for each token; and their memory.

use std::collections::HashMap;
use std::time::Duration;

use crate::figure::Figure;
use crate::frames::Said;
use crate::peer::{Link, job};
use crate::rig::Rig;
use crate::samples::Samples;
use crate::usage::{cpu_time, resident_mib, since_stamps};

const ROUNDS: u64 = 5;
const STREAMS: usize = 64;
const TOKENS: u64 = 100;
/// 50 tokens a second.
const PROMPT: &str = "fake: --tokens 100 --token-us 20000 --stamp";
/// Streams begin one after the other, so their tokens do not coincide.
const APART: Duration = Duration::from_micros(20_000 / STREAMS as u64);
/// Time for the work of a worker that has just connected: requests to the engine and to its devices.
const SETTLED: Duration = Duration::from_secs(2);

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let (rig, mut link, direct) = Rig::serving(STREAMS).await?;
    link.listen_for(SETTLED).await?;
    let idle = resident_mib(rig.pid())?;
    let (mut costs, mut growth) = (Samples::default(), Samples::default());
    let (mut last, mut alone) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        let before = cpu_time(rig.pid())?;
        let seen = relayed(&rig, &mut link, round).await?;
        let used = cpu_time(rig.pid())?.saturating_sub(before);
        costs.push(used.as_secs_f64() * 1e6 / (STREAMS as u64 * TOKENS) as f64);
        growth.push(seen.resident - idle);
        seen.last_ages.values().for_each(|age| last.push(*age));
        direct.many(STREAMS, PROMPT, APART).await?.last_ages.each(|age| alone.push(age));
    }
    let (p99, alone) = (last.quantile(0.99), alone.quantile(0.99));
    Ok(vec![
        Figure::at_most("64 streams at 50 tokens/s, worker CPU per token", "µs", costs.median(), 25.0).go(64.0),
        Figure::at_most("64 streams, last token engine → router, p99", "ms", p99, 0.8).direct(alone).go(1.3),
        Figure::at_most("resident memory, idle with one model", "MiB", idle, 10.0).go(10.8),
        Figure::at_most("resident memory, growth with 64 streams", "MiB", growth.worst(), 4.0).go(9.0),
    ])
}

/// The measurements of one round of streams.
#[derive(Debug, Default)]
struct Seen {
    /// Milliseconds from the writing of the newest token to its arrival here, for each job.
    last_ages: HashMap<Vec<u8>, f64>,
    /// The most memory seen, in MiB.
    resident: f64,
}

async fn relayed(rig: &Rig, link: &mut Link, round: u64) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut pace = tokio::time::interval(APART);
    let (mut begun, mut ended, mut tokens) = (0, 0, 0_u64);
    while ended < STREAMS {
        let frame = tokio::select! {
            _ = pace.tick(), if begun < STREAMS => {
                link.send(&job(round * 1000 + begun as u64, PROMPT)).await?;
                begun += 1;
                continue;
            }
            frame = link.next() => frame?,
        };
        let text = link.text(&frame);
        match frame.said {
            Said::Token => {
                since_stamps(text, |age| {
                    seen.last_ages.insert(job_of(text).to_vec(), age);
                });
                tokens += 1;
                // Samples of the memory while all streams run.
                if tokens.is_multiple_of(500) {
                    seen.resident = seen.resident.max(resident_mib(rig.pid())?);
                }
            }
            Said::Complete => ended += 1,
            _ => {}
        }
    }
    Ok(seen)
}

/// The job of a token message: its second field.
fn job_of(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'"').nth(7).unwrap_or_default()
}
