//! Takes in everything a child prints: into a bounded ring, into the log at debug, and state lines to whoever waits.
//!
//! A pipe that nobody reads stops inference while `/health` goes on answering, so the pumps never wait for anything
//! but the child, and a line of any length costs a bounded amount of memory.

mod lines;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use auxot_llama::StateLine;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::debug;

use crate::state_machine::RunId;
use lines::Lines;

/// Lines kept for people and for the classifier.
const RING_LINES: usize = 200;
/// Bytes of one line that are kept in the ring.
const RING_LINE: usize = 1024;
/// Bytes of one line that are looked at; a state line with all facts of a model is a few KiB.
const LINE: usize = 64 * 1024;
/// One read. Logs come in small pieces, and there are two of these per child.
const READ: usize = 4 * 1024;

/// The last lines of an engine, over all of its lives.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    lines: Mutex<VecDeque<(RunId, String)>>,
    bytes: AtomicU64,
}

impl Ring {
    /// The newest `limit` lines, oldest first.
    pub(crate) fn tail(&self, limit: usize) -> Vec<String> {
        let lines = self.lock();
        lines.iter().skip(lines.len().saturating_sub(limit)).map(|(_, line)| line.clone()).collect()
    }

    /// The newest `limit` lines of one life, oldest first.
    pub(crate) fn tail_of(&self, run: RunId, limit: usize) -> Vec<String> {
        let lines = self.lock();
        let mut tail: Vec<String> =
            lines.iter().rev().filter(|(of, _)| *of == run).take(limit).map(|(_, line)| line.clone()).collect();
        tail.reverse();
        tail
    }

    /// Bytes ever taken in; grows while the child says something.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes note of so many bytes.
    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, run: RunId, line: &str) {
        let mut kept = line;
        if kept.len() > RING_LINE {
            kept = &kept[..kept.floor_char_boundary(RING_LINE)];
        }
        let mut lines = self.lock();
        if lines.len() == RING_LINES {
            lines.pop_front();
        }
        lines.push_back((run, kept.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(RunId, String)>> {
        // A panic while pushing leaves a usable ring: at worst one line is missing.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the state lines of a child have reported so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ReportedState {
    /// It tells its state at all, so nobody has to ask.
    pub(crate) reports: bool,
    /// How far the load is.
    pub(crate) fraction: Option<f32>,
    /// It serves.
    pub(crate) ready: bool,
}

/// The two pumps of one child; dropping it stops them.
#[derive(Debug)]
pub(crate) struct Output {
    pumps: JoinSet<()>,
    reported: watch::Receiver<ReportedState>,
}

impl Output {
    /// Starts reading.
    pub(crate) fn start(
        model: &Arc<str>,
        run: RunId,
        ring: &Arc<Ring>,
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
    ) -> Output {
        let (sender, reported) = watch::channel(ReportedState::default());
        let mut pumps = JoinSet::new();
        if let Some(stdout) = stdout {
            let sink = Sink { model: Arc::clone(model), run, ring: Arc::clone(ring), sender: Some(sender) };
            pumps.spawn(pump(stdout, sink));
        }
        if let Some(stderr) = stderr {
            let sink = Sink { model: Arc::clone(model), run, ring: Arc::clone(ring), sender: None };
            pumps.spawn(pump(stderr, sink));
        }
        Output { pumps, reported }
    }

    /// What the child tells of its state.
    pub(crate) fn reported_state(&self) -> watch::Receiver<ReportedState> {
        self.reported.clone()
    }

    /// Waits until both pipes are at their end. Cancel safe.
    pub(crate) async fn finished(&mut self) {
        while self.pumps.join_next().await.is_some() {}
    }
}

/// Where the lines of one pipe go.
struct Sink {
    model: Arc<str>,
    run: RunId,
    ring: Arc<Ring>,
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
        self.ring.push(self.run, &text);
    }
}

async fn pump(mut pipe: impl AsyncRead + Unpin, sink: Sink) {
    let mut lines = Lines::new(LINE);
    let mut buffer = vec![0; READ];
    // An error of a pipe is its end: there is nobody who could mend it, and the exit is reported by the process itself.
    while let Ok(got @ 1..) = pipe.read(&mut buffer).await {
        sink.ring.count(got);
        lines.feed(&buffer[..got], |line| sink.line(line));
    }
    lines.finish(|line| sink.line(line));
}

#[cfg(test)]
mod tests;
