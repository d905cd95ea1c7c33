//! The first request to a model that is not loaded: what it takes longer than starting the engine by hand, with room for
//! the model and in the place of another one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use auxot_tests::binaries;
use tokio::net::UnixStream;

use super::{connect, exchange, request};
use crate::figure::Figure;
use crate::rig::{Rig, Setup};
use crate::samples::Samples;
use crate::swap::{Bare, Line};

/// Loads of each kind, after one that fills caches.
const ROUNDS: usize = 7;
/// How long the engines load, in milliseconds, and the names of the figures.
const LOADS: [(u32, &str, &str); 3] = [
    (0, "gateway: first request, engine loads 0 ms: added", "  in a swap, 0 ms"),
    (130, "gateway: first request, engine loads 130 ms: added", "  in a swap, 130 ms"),
    (370, "gateway: first request, engine loads 370 ms: added", "  in a swap, 370 ms"),
];

pub(super) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (load_ms, in_free_room, in_a_swap) in LOADS {
        let (added, by_hand) = cold(load_ms).await?;
        figures.push(Figure::at_most(in_free_room, "ms", added, 5.0).direct(by_hand));
        let (added, by_hand) = swapped(load_ms).await?;
        figures.push(Figure::at_most(in_a_swap, "ms", added, 5.0).direct(by_hand));
    }
    Ok(figures)
}

/// Milliseconds that a first request takes longer than by hand, and those by hand.
async fn cold(load_ms: u32) -> anyhow::Result<(f64, f64)> {
    let switches = format!("--load-ms {load_ms}");
    // Only the first model is loaded at the start.
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "bench0-f16")];
    let setup =
        Setup { models: ROUNDS + 2, slots: Some(1), switches: &switches, settings: &settings, ..Setup::default() };
    let (rig, _link, address) = Rig::local(setup, true).await?;
    let (mut through, mut bare) = (Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        let model = format!("bench{}-f16", round + 1);
        let took = by_gateway(address, &model).await.with_context(|| rig.log())?;
        let line = Line::of(&rig, &binaries::fake_engine(), &model)?;
        let begun = Instant::now();
        let mut engine = Bare::start(&line, &rig.join("bare.sock")).await?;
        let by_hand = asked(&engine, begun, &model).await?;
        engine.kill().await?;
        if round > 0 {
            through.push(ms(took));
            bare.push(ms(by_hand));
        }
    }
    rig.kill().await?;
    Ok((through.median() - bare.median(), bare.median()))
}

/// The same with memory for one model.
async fn swapped(load_ms: u32) -> anyhow::Result<(f64, f64)> {
    let switches = format!("--load-ms {load_ms} --memory 30");
    let settings = [("AUXOT_FLEET__MIN_LOADED_TIME", "0s"), ("AUXOT_PLACEMENT__HOST_LIMIT", "50MiB")];
    let setup = Setup { models: 2, slots: Some(1), switches: &switches, settings: &settings, ..Setup::default() };
    let (rig, _link, address) = Rig::local(setup, true).await?;
    let models = ["bench0-f16", "bench1-f16"];
    let mut lines = Vec::new();
    for model in models {
        by_gateway(address, model).await.with_context(|| rig.log())?;
        lines.push(Line::of(&rig, &binaries::fake_engine(), model).with_context(|| rig.log())?);
    }
    let mut engine = Bare::start(&lines[1], &rig.join("bare1.sock")).await?;
    let (mut through, mut bare) = (Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        let to = round % 2;
        let took = by_gateway(address, models[to]).await.with_context(|| rig.log())?;
        let begun = Instant::now();
        engine.stop().await?;
        engine = Bare::start(&lines[to], &rig.join(&format!("bare{to}.sock"))).await?;
        let by_hand = asked(&engine, begun, models[to]).await?;
        if round > 0 {
            through.push(ms(took));
            bare.push(ms(by_hand));
        }
    }
    engine.kill().await?;
    rig.kill().await?;
    Ok((through.median() - bare.median(), bare.median()))
}

/// The time to the first byte of the answer.
async fn by_gateway(address: SocketAddr, model: &str) -> anyhow::Result<Duration> {
    let request = asking(model);
    let begun = Instant::now();
    let mut stream = connect(address).await?;
    let connected = begun.elapsed();
    Ok(connected + exchange(&mut stream, &request).await?)
}

/// The time from `begun` to the first byte of an engine's answer.
async fn asked(engine: &Bare, begun: Instant, model: &str) -> anyhow::Result<Duration> {
    let mut stream = UnixStream::connect(engine.socket()).await?;
    let ready = begun.elapsed();
    Ok(ready + exchange(&mut stream, &asking(model)).await?)
}

fn asking(model: &str) -> Vec<u8> {
    request("--tokens 1", &format!(r#","stream":true,"model":"{model}""#))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
