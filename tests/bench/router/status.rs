//! What a look at a router with many workers costs: its state as JSON, the command, and the requests of clients beside it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use auxot_tests::http;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

use super::{ROUNDS, Router, answer};
use crate::figure::Figure;
use crate::samples::Samples;

/// Requests whose times are compared, with and without looks beside them.
const REQUESTS: usize = 5_000;

/// With the workers that the router has.
pub(super) async fn run(router: &Router) -> anyhow::Result<Vec<Figure>> {
    let mut sockets = std::fs::read_dir(&router.runtime)?.flatten().map(|entry| entry.path());
    let socket = sockets.find(|path| path.extension().is_some_and(|end| end == "sock"));
    let socket = socket.context("the router has no control socket")?;
    let (mut costs, mut bytes) = (Samples::default(), 0);
    for _ in 0..ROUNDS {
        let before = router.cpu()?;
        let status = http::get_unix(&socket, "/v1/status").await?;
        ensure!(status.status == 200, "the router answers {}", status.status);
        costs.push((router.cpu()? - before).as_secs_f64() * 1e3);
        bytes = status.body.len();
    }
    let alone = longest(router).await?;
    let watching = Arc::new(AtomicBool::new(true));
    let looks = spawn_blocking({
        let (socket, watching) = (socket.clone(), watching.clone());
        move || looks(&socket, &watching)
    });
    let watched = longest(router).await;
    watching.store(false, Ordering::Relaxed);
    let looked = looks.await??;
    let watched = watched?;
    ensure!(looked > 0, "no look beside the requests");
    let mut shown = Samples::default();
    for _ in 0..ROUNDS {
        let mut command = Command::new(&router.binary);
        command.arg("status").env_clear().env("AUXOT_ROUTER_RUNTIME_DIR", &router.runtime);
        let begun = Instant::now();
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(ended.success(), "status ends with {ended}");
        shown.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(vec![
        Figure::at_most("router: CPU of its state as JSON, 1,000 workers", "ms", costs.median(), 50.0),
        Figure::at_most("router: its state as JSON, 1,000 workers", "MiB", bytes as f64 / f64::from(1 << 20), 16.0),
        Figure::at_most("router: status from the shell, 1,000 workers", "ms", shown.median(), 1_000.0),
        Figure::at_most("router: longest request beside its state, 1,000 workers", "ms", watched, alone + 50.0)
            .direct(alone),
    ])
}

/// Asks for the state again and again; returns how often. Not on the bench's own thread, which has the clients.
fn looks(socket: &Path, watching: &AtomicBool) -> std::io::Result<u32> {
    let (mut looked, mut part) = (0, vec![0; 256 << 10]);
    while watching.load(Ordering::Relaxed) {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        while stream.read(&mut part)? > 0 {}
        looked += 1;
    }
    Ok(looked)
}

/// The longest of many requests, one after the other, in milliseconds.
async fn longest(router: &Router) -> anyhow::Result<f64> {
    let (mut stream, chat) = (TcpStream::connect(router.address).await?, router.chat());
    let mut took = Samples::default();
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        stream.write_all(&chat).await?;
        answer(&mut stream).await?;
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took.worst())
}
