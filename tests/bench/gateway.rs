//! Local clients: what the gateway adds to the engine's own socket, beside a copier of bytes, which is the least that any
//! way in between can add.

mod loads;
mod nginx;
mod paced;
mod requests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::figure::Figure;
use crate::rig::Rig;
use crate::samples::Samples;
use crate::usage::{cpu_time, resident_mib};

use nginx::Nginx;

/// Requests on kept connections, one of each way after the other.
pub(crate) const REQUESTS: usize = 2_000;
/// The first ones warm caches and are not counted.
pub(crate) const WARM: usize = 50;
pub(crate) const ROUNDS: usize = 5;
pub(crate) const STREAMS: usize = 32;
pub(crate) const TOKENS: usize = 12_000;
const SLOW: usize = 200;
/// How long a slow stream is left alone, until all buffers on its way are full.
const FILLED: Duration = Duration::from_secs(3);

pub(crate) const STREAM: &str = r#","stream":true"#;
/// Memory that slow streams have used is given back within this time, but for this much.
const GIVEN_BACK_TO: f64 = 0.5;
const GIVEN_BACK: Duration = Duration::from_secs(10);

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    // The router's side is kept: a worker that looks for its router would do something else meanwhile.
    let (rig, _link, address) = Rig::serving_local(SLOW, false).await?;
    let copying = Copier::start(rig.socket()?)?;
    let copier = copying.address;
    let nginx = Nginx::start(&rig.join("nginx"), &rig.socket()?).await?;
    let mut figures =
        vec![Figure::at_most("gateway: resident, idle with one model", "MiB", resident_mib(rig.pid())?, 11.0)];
    figures.extend(first_byte(&rig, address, copier, nginx.as_ref()).await?);
    figures.push(requests::fresh(address, copier, nginx.as_ref().map(|nginx| nginx.address)).await?);
    figures.push(requests::small(&rig, address, &copying, nginx.as_ref()).await?);
    figures.push(requests::large(&rig.socket()?, address, copier).await?);
    figures.extend(unpaced(&rig, address).await?);
    figures.extend(paced::run(&rig, address, &copying).await?);
    figures.extend(slow(&rig, address).await?);
    drop(nginx);
    rig.kill().await?;
    let (mut rig, _link, address) = Rig::serving_local(1, true).await?;
    figures.extend(requests::leaves(address, &mut rig.reports).await?);
    rig.kill().await?;
    figures.extend(loads::run().await?);
    Ok(figures)
}

/// The time to the first byte of a stream, on a connection that is kept.
async fn first_byte(
    rig: &Rig,
    gateway: SocketAddr,
    copier: SocketAddr,
    nginx: Option<&Nginx>,
) -> anyhow::Result<Vec<Figure>> {
    let mut engine = UnixStream::connect(rig.socket()?).await?;
    let (mut copied, mut passed) = (connect(copier).await?, connect(gateway).await?);
    let mut other = match nginx {
        Some(nginx) => Some(connect(nginx.address).await?),
        None => None,
    };
    let mut samples = [(); 4].map(|()| Samples::default());
    let request = request("--tokens 1", STREAM);
    for number in 0..REQUESTS + WARM {
        // nginx closes a connection after a thousand requests.
        if let (Some(nginx), true) = (nginx, number % 500 == 499) {
            other = Some(connect(nginx.address).await?);
        }
        let mut took = vec![
            exchange(&mut engine, &request).await?,
            exchange(&mut copied, &request).await?,
            exchange(&mut passed, &request).await?,
        ];
        if let Some(other) = &mut other {
            took.push(exchange(other, &request).await?);
        }
        if number >= WARM {
            for (samples, took) in samples.iter_mut().zip(took) {
                samples.push(took.as_secs_f64() * 1e6);
            }
        }
    }
    let [direct, floor, through, other] = &samples;
    let added = |samples: &Samples, part: f64| samples.quantile(part) - direct.quantile(part);
    let (least, least_late) = (added(floor, 0.5), added(floor, 0.99));
    if nginx.is_some() {
        eprintln!(
            "nginx adds {:.0} µs to the first byte, one in a hundred {:.0} µs",
            added(other, 0.5),
            added(other, 0.99)
        );
    }
    Ok(vec![
        Figure::at_most("gateway: added to the first byte, median", "µs", added(through, 0.5), least + 25.0)
            .direct(least),
        Figure::at_most("  one in a hundred", "µs", added(through, 0.99), 2.0 * least_late).direct(least_late),
    ])
}

/// The processor time of an event, and events per second.
async fn unpaced(rig: &Rig, gateway: SocketAddr) -> anyhow::Result<Vec<Figure>> {
    let request = request(&format!("--tokens {TOKENS} --write-each"), STREAM);
    let (mut cost, mut rate) = (Samples::default(), Samples::default());
    let events = (STREAMS * TOKENS) as f64;
    for round in 0..=ROUNDS {
        let (before, begun) = (cpu_time(rig.pid())?, Instant::now());
        all_streams(gateway, &request).await?;
        let used = cpu_time(rig.pid())?.saturating_sub(before);
        if round > 0 {
            cost.push(used.as_secs_f64() * 1e6 / events);
            rate.push(events / begun.elapsed().as_secs_f64());
        }
    }
    Ok(vec![
        Figure::at_most("gateway: 32 unpaced streams: CPU per event", "µs", cost.median(), 1.0),
        Figure::at_least("  events per second", "/s", rate.median(), 640_000.0),
    ])
}

/// Sends a request on so many new connections at once, and reads all answers.
pub(crate) async fn all_streams(address: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (mut stream, request) = (connect(address).await?, request.to_vec());
        streams.spawn(async move { exchange(&mut stream, &request).await });
    }
    while let Some(ended) = streams.join_next().await {
        ended??;
    }
    Ok(())
}

/// The memory of a stream whose client reads nothing, and what is left of it when the clients have gone.
async fn slow(rig: &Rig, gateway: SocketAddr) -> anyhow::Result<Vec<Figure>> {
    let request = request("--tokens 100000000", STREAM);
    let before = resident_mib(rig.pid())?;
    let mut unread = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(gateway).await?;
        stream.write_all(&request).await?;
        unread.push(stream);
    }
    tokio::time::sleep(FILLED).await;
    let held = (resident_mib(rig.pid())? - before) * 1024.0 / SLOW as f64;
    ensure!(unread.len() == SLOW, "a stream is missing");
    drop(unread);
    let begun = Instant::now();
    let mut left = f64::MAX;
    while left > GIVEN_BACK_TO && begun.elapsed() < GIVEN_BACK {
        tokio::time::sleep(Duration::from_millis(100)).await;
        left = resident_mib(rig.pid())? - before;
    }
    Ok(vec![
        Figure::at_most("gateway: resident for each of 200 slow streams", "KiB", held, 12.0),
        Figure::at_most("  left of all of them within 10 s", "MiB", left, GIVEN_BACK_TO),
    ])
}

pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A request with switches of the fake engine, and with further fields.
fn request(switches: &str, more: &str) -> Vec<u8> {
    request_with_key("", switches, more)
}

/// The same with an API key, where it is not empty.
pub(crate) fn request_with_key(key: &str, switches: &str, more: &str) -> Vec<u8> {
    let body = format!(r#"{{"messages":[{{"role":"user","content":"fake: {switches}"}}]{more}}}"#);
    let key = if key.is_empty() { String::new() } else { format!("\r\nAuthorization: Bearer {key}") };
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json{key}");
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends a request and reads its whole answer; the time to the first byte.
pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    stream.write_all(request).await?;
    let (mut buffer, mut first, mut last) = (vec![0; 64 << 10], None, [0; 5]);
    let mut left = None;
    loop {
        let read = stream.read(&mut buffer).await?;
        ensure!(read > 0, "the answer is cut short");
        // An answer that is no stream has a length, and comes with its head.
        if first.is_none() {
            left = length(&buffer[..read]);
        } else if let Some(left) = &mut left {
            *left = left.saturating_sub(read);
        }
        let first = *first.get_or_insert_with(|| begun.elapsed());
        if left == Some(0) {
            return Ok(first);
        }
        let end = &buffer[read.saturating_sub(last.len())..read];
        last.rotate_left(end.len());
        let from = last.len() - end.len();
        last[from..].copy_from_slice(end);
        if last == *b"0\r\n\r\n" {
            return Ok(first);
        }
    }
}

/// The bytes of a body that are still to come, where its head has a length.
fn length(read: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(read, b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..end]).ok()?.to_ascii_lowercase();
    let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    Some(length.saturating_sub(read.len() - end))
}

/// A copier of bytes on a thread of its own, as another program would be.
struct Copier {
    address: SocketAddr,
    thread: i32,
}

impl Copier {
    fn start(socket: PathBuf) -> anyhow::Result<Copier> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (thread, started) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("copier".into()).spawn(move || {
            thread.send(nix::unistd::gettid().as_raw())?;
            copy_all(listener, &socket)
        })?;
        Ok(Copier { address, thread: started.recv()? })
    }
}

/// Copies until the program ends.
fn copy_all(listener: std::net::TcpListener, socket: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await?;
            client.set_nodelay(true)?;
            let mut engine = UnixStream::connect(socket).await?;
            connections.spawn(async move { copy_bidirectional(&mut client, &mut engine).await });
        }
    })
}
