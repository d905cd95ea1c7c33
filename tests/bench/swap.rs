//! A swap of two models: from a job for an unloaded model to its first token, compared with a plain stop and start
//! of the same engines, with the same arguments and the same messages.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use auxot_llama::{ChatRequest, Endpoint, Exchange, Fill};
use auxot_tests::{binaries, processes, real};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::figure::Figure;
use crate::frames::Said;
use crate::peer::{Link, messages};
use crate::rig::{Rig, Setup};
use crate::samples::Samples;

/// Swaps in each direction, after one that fills caches.
const ROUNDS: usize = 7;
const REAL: [&str; 2] = ["tiny-script-f16", "gemma-3-270m-q4_k_m"];

pub(crate) async fn run() -> anyhow::Result<Vec<Figure>> {
    // Memory for one of two, without a minimum loaded time. The fake engines load slowly, as real ones do.
    let room = |limit| [("AUXOT_FLEET__MIN_LOADED_TIME", "0s"), ("AUXOT_PLACEMENT__HOST_LIMIT", limit)];
    let fake = Setup {
        models: 2,
        slots: Some(1),
        switches: "--load-ms 700 --memory 30",
        settings: &room("50MiB"),
        ..Setup::default()
    };
    let fake = of_pair(fake, binaries::fake_engine(), ["bench0-f16", "bench1-f16"], "fake: --text word").await?;
    let files = [(REAL[0], real::tiny_models().join(format!("{}.gguf", REAL[0]))), (REAL[1], real::model())];
    let sizes = [("AUXOT_CTX_SIZE", "2048"), ("AUXOT_THREADS", "2"), ("AUXOT_ENGINE__EXTRA_ARGS", "--no-repack")];
    let settings = [&room("380MiB")[..], &sizes].concat();
    let real =
        Setup { real: &files, engine: Some(real::engine()), slots: Some(1), settings: &settings, ..Setup::default() };
    let real = of_pair(real, real::engine(), REAL, "hello").await?;
    Ok(vec![
        Figure::at_most("swap A → B, fake engine, added", "ms", fake.added(), 30.0).direct(fake.raw),
        Figure::at_most("swap A → B, fake engine, of a bare one", "×", fake.ratio(), 1.05),
        Figure::at_most("swap A → B, real engine, added", "ms", real.added(), 30.0).direct(real.raw),
        Figure::at_most("swap A → B, real engine, of a bare one", "×", real.ratio(), 1.05),
    ])
}

/// Milliseconds of a swap: medians of both ways; each pair has one of each.
struct Swaps {
    worker: f64,
    raw: f64,
}

impl Swaps {
    fn added(&self) -> f64 {
        self.worker - self.raw
    }

    fn ratio(&self) -> f64 {
        self.worker / self.raw
    }
}

/// Swaps two models back and forth, by the worker and by hand alternately; the mean of both directions.
async fn of_pair(setup: Setup<'_>, program: PathBuf, models: [&str; 2], prompt: &str) -> anyhow::Result<Swaps> {
    let rig = Rig::start(setup).await?;
    let mut link = rig.link().await?;
    let mut lines = Vec::new();
    for (at, model) in models.iter().enumerate() {
        by_worker(&mut link, at, model, prompt).await.with_context(|| rig.log())?;
        lines.push(Line::of(&rig, &program, model).with_context(|| rig.log())?);
    }
    let mut bare = Bare::start(&lines[1], &rig.join("bare1.sock")).await?;
    let mut times = [(); 4].map(|()| Samples::default());
    for round in 1..=ROUNDS * 2 {
        let to = (round + 1) % 2;
        let worker = by_worker(&mut link, round + 1, models[to], prompt).await.with_context(|| rig.log())?;
        let (next, raw) = bare.swap(&lines[to], &rig.join(&format!("bare{to}.sock")), prompt).await?;
        bare = next;
        times[to * 2].push(ms(worker));
        times[to * 2 + 1].push(ms(raw));
    }
    bare.kill().await?;
    rig.kill().await?;
    let [there, raw_there, back, raw_back] = times.map(|samples| samples.median());
    eprintln!("{} {there:.1} (bare {raw_there:.1}) ms, {} {back:.1} (bare {raw_back:.1}) ms", models[0], models[1]);
    Ok(Swaps { worker: f64::midpoint(there, back), raw: f64::midpoint(raw_there, raw_back) })
}

/// The time to the first token of a job for an unloaded model. Returns when the model is idle again.
async fn by_worker(link: &mut Link, id: usize, model: &str, prompt: &str) -> anyhow::Result<Duration> {
    let messages: serde_json::Value = serde_json::from_str(&messages(prompt))?;
    let job =
        json!({"type": "job", "job_id": format!("job-{id}"), "model": model, "max_tokens": 4, "messages": messages});
    let begun = Instant::now();
    link.send(&job.to_string()).await?;
    let mut first = None;
    loop {
        match link.next().await?.said {
            Said::Token => drop(first.get_or_insert_with(|| begun.elapsed())),
            Said::Complete => return first.context("a job without a token"),
            _ => {}
        }
    }
}

/// The worker's command line for an engine.
pub(crate) struct Line {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Line {
    pub(crate) fn of(rig: &Rig, program: &Path, model: &str) -> anyhow::Result<Line> {
        let words = |pid: u32, file: &str| -> anyhow::Result<Vec<OsString>> {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}"))?;
            // Each word ends with a zero; an empty word is an argument too.
            let words = bytes.strip_suffix(&[0]).unwrap_or(&bytes).split(|byte| *byte == 0);
            Ok(words.map(|word| OsString::from_vec(word.to_vec())).collect())
        };
        for pid in processes::descendants(rig.pid()) {
            let line = words(pid, "cmdline")?;
            if line.iter().any(|word| word == model) {
                let environment = words(pid, "environ")?.into_iter().filter_map(|word| {
                    let text = word.into_string().ok()?;
                    let (name, value) = text.split_once('=')?;
                    Some((name.into(), value.into()))
                });
                let environment = environment.collect();
                return Ok(Line { program: program.to_owned(), arguments: line[1..].to_vec(), environment });
            }
        }
        anyhow::bail!("no engine runs {model}")
    }
}

/// An engine without a supervisor.
pub(crate) struct Bare {
    child: Child,
    stdin: ChildStdin,
    socket: PathBuf,
    // Its state lines; an engine whose output is not read blocks.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Bare {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(line: &Line, socket: &Path) -> anyhow::Result<Bare> {
        let mut arguments = line.arguments.clone();
        let host = arguments.iter().position(|word| word == "--host").context("an engine without a socket")?;
        arguments[host + 1] = socket.into();
        // An existing socket file makes an engine fail.
        std::fs::remove_file(socket).ok();
        let mut command = Command::new(&line.program);
        command.args(arguments).env_clear().envs(line.environment.iter().cloned()).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdin = child.stdin.take().context("no input")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        loop {
            let line = lines.next_line().await?.context("the engine ended while it loaded")?;
            if line.contains(r#""state":"ready""#) {
                return Ok(Bare { child, stdin, socket: socket.to_owned(), _lines: lines });
            }
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Stops it as the worker does, and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id().context("it has ended")?)?), Signal::SIGTERM)?;
        // An engine in child mode also waits for the reader of its standard input; the pipe is kept open meanwhile, or
        // the engine would exit at once.
        self.stdin.write_all(b"cmd_router_to_child:exit\n").await?;
        self.child.wait().await?;
        Ok(())
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Stops an engine, starts another, and sends it a request: the time from the signal to the first token.
    async fn swap(self, next: &Line, socket: &Path, prompt: &str) -> anyhow::Result<(Bare, Duration)> {
        let begun = Instant::now();
        self.stop().await?;
        let bare = Bare::start(next, socket).await?;
        let messages = RawValue::from_string(messages(prompt))?;
        let request = ChatRequest {
            model: "any",
            messages: Some(&messages),
            max_tokens: Some(4),
            progress: true,
            ..Default::default()
        };
        let endpoint = Endpoint::Unix(bare.socket.clone());
        let mut exchange = Exchange::post(&endpoint, "/v1/chat/completions", &request.to_body()?).await?;
        let mut first = None;
        while first.is_none() {
            let fill = exchange.fill().await?;
            while let Some(event) = exchange.next_event()? {
                let is_token = memchr::memmem::find(event, br#""content":""#).is_some();
                first = first.or(is_token.then(|| begun.elapsed()));
            }
            ensure!(first.is_some() || fill != Fill::End, "an answer without a token");
        }
        // Its slot must be free, or the engine's exit would wait for it.
        while exchange.fill().await? != Fill::End {
            while exchange.next_event()?.is_some() {}
        }
        Ok((bare, first.unwrap_or_default()))
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
