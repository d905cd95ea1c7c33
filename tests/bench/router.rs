//! What the router costs with many workers and many clients, which are simulated on loopback.

mod picture;
mod scale;
mod status;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use auxot_tests::{Program, Scratch, binaries};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::figure::Figure;
use crate::rig::DEADLINE;
use crate::samples::Samples;
use crate::usage::{cpu_time, resident_mib};

const MODELS: usize = 50;
const DEVICES: usize = 8;
const HEARTBEATS: u32 = 2_000;
/// Heartbeats that are on their way at once.
const BATCH: u32 = 20;
/// Requests of a round, one after the other.
const REQUESTS: u32 = 500;
const ROUNDS: usize = 5;
const IDLE: usize = 5_000;
/// Waiting requests: one on each connection.
const WAITING: usize = 10_000;
const CHAT: &str = r#"{"model":"m-0","messages":[{"role":"user","content":"hello"}]}"#;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![heartbeats(Router::start().await?).await?];
    figures.extend(scale::run(Router::start().await?).await?);
    figures.extend(clients(Router::start().await?).await?);
    Ok(figures)
}

/// The router as a program of its own.
pub(crate) struct Router {
    program: Program,
    pub(crate) address: SocketAddr,
    pub(crate) worker_key: String,
    pub(crate) api_key: String,
    binary: PathBuf,
    /// The folder of its control socket.
    runtime: PathBuf,
    _scratch: Scratch,
}

impl Router {
    async fn start() -> anyhow::Result<Self> {
        Self::of(&binaries::program("auxot-router")).await
    }

    /// Starts a router of some build.
    pub(crate) async fn of(program: &Path) -> anyhow::Result<Self> {
        let scratch = Scratch::new();
        let file = scratch.join("keys.toml");
        let mut make = Command::new(program);
        let made = make.args(["keys", "create", "--json", "--file"]).arg(&file).env_clear().output()?;
        let keys: Value = serde_json::from_slice(&made.stdout).context("cannot read the keys")?;
        let key = |name: &str| keys[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
        let mut command = Command::new(program);
        command.args(["serve", "--port", "0", "--max-waiting", "20000", "--idle-timeout", "10m", "--keys-file"]);
        command.arg(&file).env_clear().env("NO_COLOR", "1");
        let runtime = scratch.join("run");
        command.env("AUXOT_ROUTER_RUNTIME_DIR", &runtime);
        let binary = program.to_owned();
        let mut program = Program::start(command);
        let line = program.line("addr=", DEADLINE).await;
        let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next()).context("no address")?;
        let address = address.parse().with_context(|| format!("cannot read the address in {line}"))?;
        let (worker_key, api_key) = (key("worker_key")?, key("api_key")?);
        Ok(Self { program, address, worker_key, api_key, binary, runtime, _scratch: scratch })
    }

    /// A worker with these slots for each model.
    async fn worker(&self, slots: usize) -> anyhow::Result<WebSocketStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut socket, _) = client_async(format!("ws://{}/ws", self.address), stream).await?;
        let capabilities = json!({ "backend": "llama.cpp", "model": "m-0", "ctx_size": 4096, "models": models(slots), "devices": devices() });
        let hello = json!({ "type": "hello", "gpu_key": self.worker_key, "capabilities": capabilities });
        socket.send(Message::text(hello.to_string())).await?;
        let ack = received(&mut socket).await?;
        ensure!(ack["success"] == true, "the router refuses a worker: {ack}");
        Ok(socket)
    }

    fn chat(&self) -> Vec<u8> {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{CHAT}",
            self.api_key,
            CHAT.len()
        )
        .into_bytes()
    }

    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_time(self.program.pid())
    }
}

fn models(slots: usize) -> Vec<Value> {
    let model = |number| {
        let state = if number == 0 { "ready" } else { "stopped" };
        json!({ "name": format!("m-{number}"), "state": state, "slots": slots, "ctx_size": 4096, "memory_bytes": 1 << 30,
                "latency_p50_ms": 812.5, "latency_p95_ms": 1999.0, "ttft_p50_ms": 80.25, "tokens_per_second": 41.5,
                "restarts": 0, "capabilities": ["chat"] })
    };
    (0..MODELS).map(model).collect()
}

fn devices() -> Vec<Value> {
    let device = |number| {
        json!({ "id": format!("GPU-{number:032x}"), "name": "a card of the bench", "total_bytes": 80_u64 << 30,
                "free_bytes": 40_u64 << 30, "used_bytes": 40_u64 << 30 })
    };
    (0..DEVICES).map(device).collect()
}

async fn received(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<Value> {
    loop {
        match socket.next().await.context("the router has closed the connection")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Ping(_) | Message::Pong(_) => {}
            other => anyhow::bail!("the router sends {other:?}"),
        }
    }
}

async fn heartbeats(router: Router) -> anyhow::Result<Figure> {
    let cost = heartbeat(&router, &mut router.worker(1).await?).await?;
    Ok(Figure::at_most("router: CPU of a heartbeat, 50 models, 8 devices", "µs", cost, 60.0))
}

/// The processor time of a heartbeat, from the socket to its acknowledgement, in microseconds.
async fn heartbeat(router: &Router, socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<f64> {
    let beat = json!({ "type": "heartbeat", "models": models(1), "devices": devices(), "jobs": 0 }).to_string();
    let mut costs = Samples::default();
    for round in 0..=ROUNDS {
        let before = router.cpu()?;
        for _ in 0..HEARTBEATS / BATCH {
            for _ in 0..BATCH {
                socket.feed(Message::text(beat.clone())).await?;
            }
            socket.flush().await?;
            for _ in 0..BATCH {
                ensure!(received(socket).await?["type"] == "heartbeat_ack", "a heartbeat is not acknowledged");
            }
        }
        if round > 0 {
            costs.push((router.cpu()?.saturating_sub(before) / HEARTBEATS).as_secs_f64() * 1e6);
        }
    }
    Ok(costs.median())
}

/// The processor time of a request, in microseconds.
async fn requests(router: &Router) -> anyhow::Result<f64> {
    let (mut stream, chat) = (TcpStream::connect(router.address).await?, router.chat());
    let mut costs = Samples::default();
    for round in 0..=ROUNDS {
        let before = router.cpu()?;
        for _ in 0..REQUESTS {
            stream.write_all(&chat).await?;
            answer(&mut stream).await?;
        }
        if round > 0 {
            costs.push((router.cpu()?.saturating_sub(before) / REQUESTS).as_secs_f64() * 1e6);
        }
    }
    Ok(costs.median())
}

/// Reads a short answer with a length.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut seen).await? > 0, "the router closes the connection");
        let Some(end) = memchr::memmem::find(&seen, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "the router answers {head}");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        if seen.len() >= end + 4 + length.context("an answer without a length")? {
            return Ok(());
        }
    }
}

/// The memory of connections that are idle, and of requests that wait.
async fn clients(router: Router) -> anyhow::Result<Vec<Figure>> {
    let mut busy = router.worker(1).await?;
    let mut first = TcpStream::connect(router.address).await?;
    first.write_all(&router.chat()).await?;
    ensure!(received(&mut busy).await?["type"] == "job", "the only slot is not taken");
    let resident = || resident_mib(router.program.pid());
    let kib = |before: f64, after: f64, count: usize| (after - before) * 1024.0 / count as f64;

    let before = resident()?;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(probed(router.address).await?);
    }
    let opened = resident()?;
    probed(router.address).await.context("a connection is shut out")?;
    let mut figures =
        vec![Figure::at_most("router: memory of an idle connection, of 5,000", "KiB", kib(before, opened, IDLE), 12.0)];

    while idle.len() < WAITING {
        idle.push(probed(router.address).await?);
    }
    let (before, chat) = (resident()?, router.chat());
    for stream in &mut idle {
        stream.write_all(&chat).await?;
    }
    // Its answer comes when all that were sent before it are in the queue.
    probed(router.address).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = kib(before, resident()?, WAITING) - CHAT.len() as f64 / 1024.0;
    figures.push(Figure::at_most("router: memory of a waiting request, of 10,000", "KiB", each, 4.0));
    Ok(figures)
}

/// A connection that has had an answer.
async fn probed(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    answer(&mut stream).await?;
    Ok(stream)
}
