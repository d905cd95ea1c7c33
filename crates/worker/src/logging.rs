//! The log: lines to standard error that no reader of it can stop.
//!
//! The whole worker runs on one thread. If standard error is a pipe whose reader hangs, a line
//! written directly would stop every token with it. So lines go through a bounded queue to a thread
//! of their own; when the queue is full they are counted and dropped, and the count is told later.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use auxot_settings::{Format, Level, LogConfig};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// Lines that may wait for a slow reader. A burst of a few hundred is normal at start.
const QUEUE: usize = 1024;

/// How long the end of the program waits for the last lines to be taken.
const FLUSH: Duration = Duration::from_secs(1);

/// Keeps the log going; dropping it writes what is queued.
#[derive(Debug)]
pub(crate) struct Log {
    lines: SyncSender<Message>,
}

/// Starts the log on standard error, for the whole program.
///
/// # Errors
/// When the thread cannot start or another log was started before.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<Log> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (queue, log) = queue(io::stderr())?;
    tracing::subscriber::set_global_default(subscriber(config, queue, colour))?;
    Ok(log)
}

fn subscriber(config: &LogConfig, queue: Queue, colour: bool) -> impl tracing::Subscriber + Send + Sync {
    // The library would report a failed write with `eprintln!`, which panics when that fails too.
    let lines = tracing_subscriber::fmt::layer().with_writer(queue).log_internal_errors(false);
    let lines = match config.format {
        Format::Text => lines.with_ansi(colour).boxed(),
        Format::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    Registry::default().with(lines.with_filter(targets(config)))
}

/// A bare level is the worker's own: below `info` the libraries would drown it, so they stay at `warn`.
fn targets(config: &LogConfig) -> Targets {
    let own = filter(config.level.own);
    let targets = Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("auxot", own);
    targets.with_targets(config.level.targets.iter().map(|(target, level)| (target.clone(), filter(*level))))
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// What the writing thread is asked.
#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Everything before this is written: say so.
    Flush(SyncSender<()>),
}

/// The near end of the queue: never waits.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

fn queue(output: impl Write + Send + 'static) -> io::Result<(Queue, Log)> {
    let (lines, waiting) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    // Not joined: it may hang in a write for ever, and then it ends with the program.
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, output, &counter))?;
    Ok((Queue { lines: lines.clone(), dropped }, Log { lines }))
}

fn write_lines(waiting: &Receiver<Message>, mut output: impl Write, dropped: &AtomicU64) {
    // A failed write is nobody's fault that could be told anywhere: the line is lost, the next is tried.
    for message in waiting {
        match message {
            Message::Line(line) => {
                let _ = output.write_all(&line);
            }
            Message::Flush(done) => {
                let _ = output.flush();
                let _ = done.try_send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} log lines were dropped: standard error was not read fast enough");
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Queue {
    /// Takes one whole line: the formatter writes each with a single call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.lines.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (done, written) = sync_channel(1);
        // A full queue means a reader that hangs: nothing more can be done for it.
        if self.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

#[cfg(test)]
mod tests;
