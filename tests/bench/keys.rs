//! What many keys cost the router: its start, the memory of each, a check, and the end of a revoked one.

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use auxot_tests::{Program, Scratch, binaries};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::figure::Figure;
use crate::rig::DEADLINE;
use crate::samples::Samples;
use crate::usage::{cpu_time, resident_mib};

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Requests of a round, each with another key.
const REQUESTS: usize = 2_000;
const ROUNDS: usize = 5;
/// How often a key is made and revoked.
const REVOCATIONS: usize = 5;

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let few = Router::start(FEW).await?;
    let (few_check, few_memory) = (few.check().await?, few.memory()?);
    drop(few);
    let many = Router::start(MANY).await?;
    let memory = (many.memory()? - few_memory) * f64::from(1 << 20) / (MANY - FEW) as f64;
    let check = many.check().await?;
    let revoked = many.revocation().await?;
    Ok(vec![
        Figure::at_most("keys: start with a million", "s", many.started.as_secs_f64(), 5.0),
        Figure::at_most("keys: memory of one of a million", "B", memory, 256.0),
        Figure::at_most("keys: CPU of a request among a million", "µs", check, 2.0 * few_check).direct(few_check),
        Figure::at_most("keys: from a revocation to the refusal, a million", "ms", revoked, 1000.0),
    ])
}

/// A router with keys on file.
struct Router {
    program: Program,
    address: SocketAddr,
    /// From its start until it listens.
    started: Duration,
    keys: usize,
    file: PathBuf,
    _scratch: Scratch,
}

impl Router {
    async fn start(keys: usize) -> anyhow::Result<Self> {
        let scratch = Scratch::new();
        let file = scratch.join("keys");
        self::keys(&file, &["create"])?;
        add(&file, keys)?;
        let mut command = Command::new(binaries::program("auxot-router"));
        command.args(["serve", "--port", "0", "--keys-file"]).arg(&file).env_clear().env("NO_COLOR", "1");
        command.env("AUXOT_ROUTER_RUNTIME_DIR", scratch.join("router"));
        let began = Instant::now();
        let mut program = Program::start(command);
        let line = program.line("addr=", DEADLINE).await;
        let started = began.elapsed();
        let address = line.split("addr=").nth(1).and_then(|rest| rest.split(' ').next()).context("no address")?;
        let address = address.parse().with_context(|| format!("cannot read the address in {line}"))?;
        Ok(Self { program, address, started, keys, file, _scratch: scratch })
    }

    fn memory(&self) -> anyhow::Result<f64> {
        resident_mib(self.program.pid())
    }

    /// CPU of a request with a key, in microseconds: the median of the rounds.
    async fn check(&self) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.address).await?;
        let mut rounds = Samples::default();
        for round in 0..ROUNDS {
            let before = cpu_time(self.program.pid())?;
            for number in 0..REQUESTS {
                let spread = (round * REQUESTS + number) * 7_919 % self.keys;
                ensure!(status(&mut stream, &key(spread)).await? == 200, "key {spread} is refused");
            }
            rounds.push((cpu_time(self.program.pid())? - before).as_secs_f64() * 1e6 / REQUESTS as f64);
        }
        Ok(rounds.median())
    }

    /// From the end of `keys revoke` until the key is refused, in milliseconds: the longest.
    async fn revocation(&self) -> anyhow::Result<f64> {
        let mut stream = TcpStream::connect(self.address).await?;
        let mut longest = Duration::ZERO;
        for _ in 0..REVOCATIONS {
            let made = keys(&self.file, &["create", "--name", "leaked", "--kind", "api", "--json"])?;
            let made: Value = serde_json::from_slice(&made)?;
            let leaked = made["api_key"].as_str().context("no key")?;
            ensure!(status(&mut stream, leaked).await? == 200, "a new key is refused");
            keys(&self.file, &["revoke", "leaked"])?;
            let began = Instant::now();
            while status(&mut stream, leaked).await? == 200 {
                ensure!(began.elapsed() < DEADLINE, "a revoked key stays good");
            }
            longest = longest.max(began.elapsed());
        }
        Ok(longest.as_secs_f64() * 1e3)
    }
}

/// What `auxot-router keys` prints.
fn keys(file: &Path, words: &[&str]) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new(binaries::program("auxot-router"));
    let output = command.arg("keys").args(words).arg("--file").arg(file).env_clear().output()?;
    ensure!(output.status.success(), "keys {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// The text of a key of the file.
fn key(number: usize) -> String {
    format!("rtr_{number:043}")
}

/// Adds API keys to a file.
fn add(file: &Path, keys: usize) -> anyhow::Result<()> {
    let mut text = fs::read_to_string(file)?;
    for number in 0..keys {
        write!(text, r#"{{"name":"team-{number}","kind":"api","hash":"sha256:"#)?;
        Sha256::digest(key(number).as_bytes()).iter().try_for_each(|byte| write!(text, "{byte:02x}"))?;
        writeln!(text, r#"","created":"2026-01-01T00:00:00Z","terms":{{"providers":["gpu"]}}}}"#)?;
    }
    fs::write(file, text)?;
    Ok(fs::set_permissions(file, Permissions::from_mode(0o600))?)
}

/// The status of the answer to a request with a key.
async fn status(stream: &mut TcpStream, key: &str) -> anyhow::Result<u16> {
    let request = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the router has closed the connection");
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
        if body.len() >= length.parse::<usize>()? {
            return Ok(head.get(9..12).context("no status")?.parse()?);
        }
    }
}
