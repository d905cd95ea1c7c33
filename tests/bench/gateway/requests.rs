//! Single requests: their processor time, a large body, and a client that leaves.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use auxot_tests::Reports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::nginx::Nginx;
use super::{Copier, connect, exchange, request};
use crate::figure::Figure;
use crate::rig::{DEADLINE, Rig};
use crate::samples::Samples;
use crate::usage::{cpu_time, thread_time};

const FRESH: usize = 500;
const SMALL: u32 = 500;
const ROUNDS: usize = 4;
/// What a small request may cost over the copier's: 30 µs where that takes 17.
const SMALL_OVER_FLOOR: f64 = 30.0 / 17.0;
const LARGE: usize = 60;
/// The bytes of a picture.
const PICTURE: usize = 1 << 20;
const LEAVES: usize = 50;

/// The time to the first byte over a connection of its own, beside the copier's and nginx's.
pub(super) async fn fresh(
    gateway: SocketAddr,
    copier: SocketAddr,
    nginx: Option<SocketAddr>,
) -> anyhow::Result<Figure> {
    let request = request("--tokens 1", r#","stream":true"#);
    let mut samples = [(); 3].map(|()| Samples::default());
    for _ in 0..FRESH {
        for (samples, address) in samples.iter_mut().zip([Some(gateway), Some(copier), nginx]) {
            let Some(address) = address else { continue };
            let begun = Instant::now();
            let mut stream = connect(address).await?;
            let connected = begun.elapsed();
            samples.push((connected + exchange(&mut stream, &request).await?).as_secs_f64() * 1e6);
        }
    }
    let [through, floor, other] = samples.map(|samples| samples.median());
    let bound = if nginx.is_some() { other } else { floor };
    let name = "gateway: first byte over a fresh connection, median";
    Ok(Figure::at_most(name, "µs", through, bound).direct(floor))
}

/// The processor time of a small request, on a connection that is kept, beside the copier's and nginx's.
pub(super) async fn small(
    rig: &Rig,
    gateway: SocketAddr,
    copier: &Copier,
    nginx: Option<&Nginx>,
) -> anyhow::Result<Figure> {
    let request = request("--tokens 1", "");
    let (mut passed, mut copied) = (connect(gateway).await?, connect(copier.address).await?);
    let (mut through, mut floor, mut other) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..=ROUNDS {
        let mut used = vec![
            (&mut through, many(&mut passed, &request, || cpu_time(rig.pid())).await?),
            (&mut floor, many(&mut copied, &request, || thread_time(copier.thread)).await?),
        ];
        if let Some(nginx) = nginx {
            // nginx closes a connection after a thousand requests.
            let mut stream = connect(nginx.address).await?;
            used.push((&mut other, many(&mut stream, &request, || cpu_time(nginx.pid)).await?));
        }
        for (samples, used) in used.into_iter().filter(|_| round > 0) {
            samples.push(used.as_secs_f64() * 1e6);
        }
    }
    if nginx.is_some() {
        eprintln!("nginx uses {:.0} µs for a small request", other.median());
    }
    let floor = floor.median();
    let name = "gateway: CPU of a small request";
    Ok(Figure::at_most(name, "µs", through.median(), SMALL_OVER_FLOOR * floor).direct(floor))
}

/// The processor time of each of many requests, one after the other, by a clock.
async fn many(
    stream: &mut TcpStream,
    request: &[u8],
    clock: impl Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let before = clock()?;
    for _ in 0..SMALL {
        exchange(stream, request).await?;
    }
    Ok(clock()?.saturating_sub(before) / SMALL)
}

/// What a body with a picture takes longer, by the gateway and by the copier.
pub(super) async fn large(socket: &Path, gateway: SocketAddr, copier: SocketAddr) -> anyhow::Result<Figure> {
    let picture = format!(r#","user":"{}""#, "A".repeat(PICTURE));
    let request = request("--tokens 1", &picture);
    let mut engine = UnixStream::connect(socket).await?;
    let (mut copied, mut passed) = (connect(copier).await?, connect(gateway).await?);
    let (mut direct, mut floor, mut through) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..LARGE {
        for (samples, took) in [
            (&mut direct, exchange(&mut engine, &request).await?),
            (&mut floor, exchange(&mut copied, &request).await?),
            (&mut through, exchange(&mut passed, &request).await?),
        ] {
            samples.push(took.as_secs_f64() * 1e3);
        }
    }
    let added = |samples: &Samples| samples.median() - direct.median();
    let name = "gateway: added to a body of 1 MiB";
    Ok(Figure::at_most(name, "ms", added(&through), 1.2).direct(added(&floor)))
}

/// The time until the engine's slot is free after its client has left.
pub(super) async fn leaves(gateway: SocketAddr, reports: &mut Reports) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, more) in [
        ("gateway: a streaming client leaves: slot free, worst", r#","stream":true"#),
        ("gateway: another client leaves: slot free, worst", r#","stream":false"#),
    ] {
        let request = request("--tokens 1000000 --token-us 1000", more);
        let mut times = Samples::default();
        for _ in 0..LEAVES {
            let mut stream = connect(gateway).await?;
            stream.write_all(&request).await?;
            reports.next("slot", DEADLINE).await;
            if more.contains("true") {
                stream.read(&mut [0; 1024]).await.context("no answer")?;
            }
            let begun = Instant::now();
            drop(stream);
            reports.next("released", DEADLINE).await;
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        figures.push(Figure::at_most(name, "ms", times.worst(), 2.0));
    }
    Ok(figures)
}
