//! Reads everything that a process prints: into the bounded log of its model, into our log at debug level, and state lines into the
//! reported state.
//!
//! A pipe that is not read stops inference while `/health` still answers. So the readers wait for nothing but the process,
//! and a line of any length takes a bounded amount of memory.

mod lines;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use auxot_llama::StateLine;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::debug;

use crate::engine_log::EngineLog;
use crate::state_machine::RunId;
use lines::Lines;

/// Bytes of one line that are parsed; a state line with all facts of a model is a few KiB.
const LINE: usize = 64 * 1024;
/// The size of one read. Logs come in small pieces, and each process has two of these buffers.
const READ: usize = 4 * 1024;

/// What one process has printed, as a part of its model's log.
#[derive(Debug, Default)]
pub(crate) struct Printed {
    log: Arc<EngineLog>,
    process: u64,
    bytes: AtomicU64,
}

impl Printed {
    /// The part of a new process.
    pub(crate) fn new(log: Arc<EngineLog>) -> Self {
        let process = log.begin_process();
        Self { log, process, bytes: AtomicU64::new(0) }
    }

    /// The newest `limit` lines, oldest first.
    pub(crate) fn tail(&self, limit: usize) -> Vec<String> {
        self.log.of_process(self.process, limit)
    }

    /// All bytes that were read; grows while the process writes output.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that were read.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.log.count(bytes as u64);
    }

    pub(crate) fn push(&self, line: &str) {
        self.log.push(self.process, line);
    }
}

/// What the state lines of a process have reported so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ReportedState {
    /// It reports its state, so `/health` need not be polled.
    pub(crate) reports: bool,
    /// How far the load is.
    pub(crate) fraction: Option<f32>,
    /// It serves.
    pub(crate) ready: bool,
}

/// The two readers of one process; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Output {
    readers: JoinSet<()>,
    reported: watch::Receiver<ReportedState>,
}

impl Output {
    /// Starts reading.
    pub(crate) fn start(
        model: &Arc<str>,
        run: RunId,
        printed: &Arc<Printed>,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Output {
        let (sender, reported) = watch::channel(ReportedState::default());
        let mut readers = JoinSet::new();
        if let Some(stdout) = stdout {
            let sink = Sink { model: Arc::clone(model), run, printed: Arc::clone(printed), sender: Some(sender) };
            readers.spawn(read_lines(stdout, sink));
        }
        if let Some(stderr) = stderr {
            let sink = Sink { model: Arc::clone(model), run, printed: Arc::clone(printed), sender: None };
            readers.spawn(read_lines(stderr, sink));
        }
        Output { readers, reported }
    }

    /// The state that the process reports.
    pub(crate) fn reported_state(&self) -> watch::Receiver<ReportedState> {
        self.reported.clone()
    }

    /// Waits until both pipes have ended. Cancel safe.
    pub(crate) async fn finished(&mut self) {
        while self.readers.join_next().await.is_some() {}
    }
}

/// Where the lines of one pipe go.
struct Sink {
    model: Arc<str>,
    run: RunId,
    printed: Arc<Printed>,
    /// Only standard output carries state lines.
    sender: Option<watch::Sender<ReportedState>>,
}

impl Sink {
    fn line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some(sender) = &self.sender
            && let Some(state) = StateLine::parse(&text)
        {
            sender.send_modify(|reported| {
                reported.reports = true;
                match state {
                    StateLine::Loading { progress } => reported.fraction = progress.or(reported.fraction),
                    StateLine::Ready => reported.ready = true,
                    StateLine::Sleeping => {}
                }
            });
            return;
        }
        debug!(target: "auxot_engine::engine", model = %self.model, run = %self.run, "{text}");
        self.printed.push(&text);
    }
}

async fn read_lines(mut pipe: impl AsyncRead + Unpin, sink: Sink) {
    let mut lines = Lines::new(LINE);
    let mut buffer = vec![0; READ];
    // An error ends a pipe: nothing could repair it, and the exit is reported by the process.
    while let Ok(got @ 1..) = pipe.read(&mut buffer).await {
        sink.printed.count(got);
        lines.feed(&buffer[..got], |line| sink.line(line));
    }
    lines.finish(|line| sink.line(line));
}

#[cfg(test)]
mod tests;
