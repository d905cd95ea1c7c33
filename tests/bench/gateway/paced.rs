//! Many streams at the pace of real models: the processor time of an event, and how old the last one is.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Copier, connect, request};
use crate::direct::Direct;
use crate::figure::Figure;
use crate::rig::Rig;
use crate::samples::Samples;
use crate::usage::{cpu_time, since_stamps, thread_time};

const ROUNDS: usize = 4;
const STREAMS: usize = 64;
const TOKENS: usize = 100;
/// 50 tokens a second.
const SWITCHES: &str = "--tokens 100 --token-us 20000 --stamp";
/// Streams begin one after the other, so their tokens do not coincide.
const APART: Duration = Duration::from_micros(20_000 / STREAMS as u64);

pub(super) async fn run(rig: &Rig, gateway: SocketAddr, copier: &Copier) -> anyhow::Result<Vec<Figure>> {
    let direct = Direct::new(rig.socket()?);
    let events = (STREAMS * TOKENS) as f64;
    let (mut cost, mut floor) = (Samples::default(), Samples::default());
    let (mut last, mut alone) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        let before = cpu_time(rig.pid())?;
        let ages = streams(gateway).await?;
        let used = cpu_time(rig.pid())?.saturating_sub(before);
        let before = thread_time(copier.thread)?;
        streams(copier.address).await?;
        let copied = thread_time(copier.thread)?.saturating_sub(before);
        let volume = direct.many(STREAMS, &format!("fake: {SWITCHES}"), APART).await?;
        // The first round opens connections to the engine.
        if round > 0 {
            cost.push(used.as_secs_f64() * 1e6 / events);
            floor.push(copied.as_secs_f64() * 1e6 / events);
            ages.into_iter().for_each(|age| last.push(age));
            volume.last_ages.each(|age| alone.push(age));
        }
    }
    let (floor, alone) = (floor.median(), alone.quantile(0.99));
    Ok(vec![
        Figure::at_most("gateway: 64 streams at 50/s: CPU per event", "µs", cost.median(), 1.2 * floor).direct(floor),
        Figure::at_most("  last token engine → client, p99", "ms", last.quantile(0.99), alone + 0.3).direct(alone),
    ])
}

/// The age of the last token of each stream.
async fn streams(address: SocketAddr) -> anyhow::Result<Vec<f64>> {
    let request = request(SWITCHES, r#","stream":true"#);
    let (mut running, mut pace) = (JoinSet::new(), tokio::time::interval(APART));
    for _ in 0..STREAMS {
        pace.tick().await;
        let (stream, request) = (connect(address).await?, request.clone());
        running.spawn(async move { last_age(stream, &request).await });
    }
    let mut ages = Vec::new();
    while let Some(ended) = running.join_next().await {
        ages.push(ended??);
    }
    Ok(ages)
}

async fn last_age(mut stream: TcpStream, request: &[u8]) -> anyhow::Result<f64> {
    stream.write_all(request).await?;
    let (mut buffer, mut last) = (vec![0; 16 << 10], None);
    loop {
        let read = stream.read(&mut buffer).await?;
        ensure!(read > 0, "the answer is cut short");
        since_stamps(&buffer[..read], |age| last = Some(age));
        if buffer[..read].ends_with(b"0\r\n\r\n") {
            return last.context("an answer without a stamp");
        }
    }
}
