//! Clients of a router with a worker behind it: what both add to the engine's own socket, beside the same two programs of
//! another build (`CHAIN_BASE=FOLDER`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use auxot_tests::{Scratch, binaries, leftovers};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};

use crate::figure::Figure;
use crate::gateway::{
    REQUESTS, ROUNDS, STREAM, STREAMS, TOKENS, WARM, all_streams, connect, exchange, request_with_key,
};
use crate::rig::{DEADLINE, walk};
use crate::router::Router;
use crate::samples::Samples;
use crate::usage::{cpu_time, thread_time};

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    let chain = Chain::start(&binaries::program("auxot-router"), &binaries::program("auxot-worker")).await?;
    let base = match std::env::var_os("CHAIN_BASE").map(PathBuf::from) {
        Some(folder) => Some(Chain::start(&folder.join("auxot-router"), &folder.join("auxot-worker")).await?),
        None => None,
    };
    let mut figures = first_byte(&chain, base.as_ref()).await?;
    figures.extend(unpaced(&chain, base.as_ref()).await?);
    Ok(figures)
}

/// A router and a worker that serves one model.
struct Chain {
    router: Router,
    worker: Child,
    pid: u32,
    scratch: Scratch,
}

impl Chain {
    async fn start(router: &Path, worker: &Path) -> anyhow::Result<Self> {
        let (router, scratch) = (Router::of(router).await?, Scratch::new());
        scratch.fake_model("bench0-f16.gguf", "");
        let log = std::fs::File::create(scratch.join("worker.log"))?;
        let mut command = Command::new(worker);
        command.arg("--models-dir").arg(scratch.models()).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", scratch.path()).env("XDG_STATE_HOME", scratch.join("state"));
        command.env("AUXOT_ROUTER_URL", format!("http://{}", router.address)).env("AUXOT_GPU_KEY", &router.worker_key);
        command.env("AUXOT_GPU_AUTOLOAD_MODELS", "bench0-f16").env("AUXOT_METRICS_PORT", "0");
        command.env("AUXOT_LLAMA_BINARY", binaries::fake_engine()).env("AUXOT_RUNTIME_DIR", scratch.join("rt"));
        command.env("AUXOT_MAX_PARALLEL", STREAMS.to_string()).env("AUXOT_CTX_SIZE", "2048");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let worker = command.spawn().context("cannot start the worker")?;
        let pid = worker.id().context("a worker without a process id")?;
        let chain = Self { router, worker, pid, scratch };
        let answering = async {
            // The router refuses requests until the worker has joined and its model is known.
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                let mut stream = chain.connect().await?;
                if exchange(&mut stream, &chain.request("--tokens 1")).await.is_ok() && chain.socket().is_ok() {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(DEADLINE, answering).await.with_context(|| format!("no answer:\n{}", chain.log()))??;
        Ok(chain)
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        connect(self.router.address).await
    }

    fn request(&self, switches: &str) -> Vec<u8> {
        request_with_key(&self.router.api_key, switches, STREAM)
    }

    /// The socket of its engine.
    fn socket(&self) -> anyhow::Result<PathBuf> {
        let files = walk(self.scratch.join("rt"));
        files.into_iter().find(|path| leftovers::is_engine_socket(path)).context("no socket of an engine")
    }

    /// The processor time of the router and of the worker.
    fn cpu(&self) -> anyhow::Result<[Duration; 2]> {
        Ok([self.router.cpu()?, cpu_time(self.pid)?])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("worker.log")).unwrap_or_default()
    }

    /// The processor time of an event of unpaced streams in the router and in the worker, in microseconds.
    async fn round(&self) -> anyhow::Result<[f64; 2]> {
        let (before, request) = (self.cpu()?, self.request(&unpaced_switches()));
        all_streams(self.router.address, &request).await?;
        let mut used =
            self.cpu()?.into_iter().zip(before).map(|(after, before)| of_event(after.saturating_sub(before)));
        Ok([(); 2].map(|()| used.next().unwrap_or_default()))
    }

    /// The processor time of an event for a program that only reads: no program between engine and client can use less.
    fn reading(&self) -> anyhow::Result<f64> {
        let (socket, request) = (self.socket()?, self.request(&unpaced_switches()));
        std::thread::spawn(move || {
            let thread = nix::unistd::gettid().as_raw();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut streams = tokio::task::JoinSet::new();
                for _ in 0..STREAMS {
                    let (mut stream, request) = (UnixStream::connect(&socket).await?, request.clone());
                    streams.spawn(async move { exchange(&mut stream, &request).await });
                }
                while let Some(ended) = streams.join_next().await {
                    ended??;
                }
                Ok(of_event(thread_time(thread)?))
            })
        })
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn unpaced_switches() -> String {
    format!("--tokens {TOKENS} --write-each")
}

fn of_event(used: Duration) -> f64 {
    used.as_secs_f64() * 1e6 / (STREAMS * TOKENS) as f64
}

impl Drop for Chain {
    fn drop(&mut self) {
        // The worker ends its engine when it ends by a signal.
        let _ended_already = self.worker.start_kill();
    }
}

/// The time to the first byte of a stream, on a connection that is kept.
async fn first_byte(chain: &Chain, base: Option<&Chain>) -> anyhow::Result<Vec<Figure>> {
    let mut engine = UnixStream::connect(chain.socket()?).await?;
    let mut through = chain.connect().await?;
    let mut before = match base {
        Some(base) => Some((base, base.connect().await?)),
        None => None,
    };
    let mut samples = [(); 3].map(|()| Samples::default());
    for number in 0..REQUESTS + WARM {
        let mut took = vec![
            exchange(&mut engine, &chain.request("--tokens 1")).await?,
            exchange(&mut through, &chain.request("--tokens 1")).await?,
        ];
        if let Some((base, stream)) = &mut before {
            took.push(exchange(stream, &base.request("--tokens 1")).await?);
        }
        if number >= WARM {
            for (samples, took) in samples.iter_mut().zip(took) {
                samples.push(took.as_secs_f64() * 1e3);
            }
        }
    }
    let [direct, through, before] = &samples;
    let added = |samples: &Samples, part: f64| samples.quantile(part) - direct.quantile(part);
    let mut figures = vec![
        Figure::at_most("chain: added to the first byte, median", "ms", added(through, 0.5), 0.35),
        Figure::at_most("  one in a hundred", "ms", added(through, 0.99), 1.5),
    ];
    if base.is_some() {
        let ratio = added(through, 0.5) / added(before, 0.5);
        eprintln!("the other build adds {:.3} ms, one in a hundred {:.3} ms", added(before, 0.5), added(before, 0.99));
        figures.push(Figure::at_most("  median, over the other build", "x", ratio, 0.8));
    }
    Ok(figures)
}

/// The processor time of both programs for an event.
async fn unpaced(chain: &Chain, base: Option<&Chain>) -> anyhow::Result<Vec<Figure>> {
    let [mut router, mut worker, mut both, mut before, mut reading] = [(); 5].map(|()| Samples::default());
    for round in 0..=ROUNDS {
        let [in_router, in_worker] = chain.round().await?;
        let other = match base {
            Some(base) => Some(base.round().await?),
            None => None,
        };
        let least = chain.reading()?;
        if round > 0 {
            router.push(in_router);
            worker.push(in_worker);
            both.push(in_router + in_worker);
            reading.push(least);
            other.into_iter().for_each(|[router, worker]| before.push(router + worker));
        }
    }
    let (both, router, worker, reading) = (both.median(), router.median(), worker.median(), reading.median());
    eprintln!(
        "the chain uses {both:.2} µs per event: router {router:.2}, worker {worker:.2}; reading alone {reading:.2}"
    );
    if base.is_none() {
        return Ok(Vec::new());
    }
    eprintln!("the other build uses {:.2} µs per event", before.median());
    let (name, ratio) =
        ("chain: 32 unpaced streams: CPU of both per event, over the other build", both / before.median());
    Ok(vec![Figure::at_most(name, "x", ratio, 0.6)])
}
