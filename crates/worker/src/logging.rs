//! The log: lines to standard error that no reader of it can stop.
//!
//! The whole worker runs on one thread. If standard error is a pipe whose reader hangs, a line
//! written directly would stop every token with it. So lines go through a bounded queue to a thread
//! of their own; when the queue is full they are counted and dropped, and the count is told later.
//!
//! Waking that thread costs the token thread a system call, and the other processor, which an engine
//! could be using, a change of threads: a fifth of what a first token is late by. So while the worker
//! serves, lines are held for a moment and handed over together ([`Log::hold_back`]).

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auxot_settings::{Format, Level, LogConfig};
use tokio::sync::Notify;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry};

/// How long a line may be held, in the hope of another one.
const MOMENT: Duration = Duration::from_millis(2);
/// So much is handed over at once, however short the moment was.
const ENOUGH: usize = 4 * 1024;

/// Lines, or handfuls of them, that may wait for a slow reader. A burst of a few hundred is normal at start.
const QUEUE: usize = 1024;

/// A longer line is cut, in bytes.
const LONGEST: usize = 16 * 1024;

/// How long the end of the program waits for the last lines to be taken.
const FLUSH: Duration = Duration::from_secs(1);

/// Keeps the log going; dropping it writes what is queued.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Queue,
}

impl Log {
    /// Holds lines back for a moment each, until this is dropped.
    pub(crate) fn hold_back(&self) -> impl Future<Output = Infallible> + Send + use<> {
        let release = Release(self.queue.clone());
        async move {
            let Release(queue) = &release;
            *queue.held.lines() = Some(Vec::new());
            loop {
                queue.held.news.notified().await;
                tokio::time::sleep(MOMENT).await;
                queue.hand_over();
            }
        }
    }
}

/// Ends the holding back.
struct Release(Queue);

impl Drop for Release {
    fn drop(&mut self) {
        let held = self.0.held.lines().take().unwrap_or_default();
        self.0.pass_on(held);
    }
}

/// Starts the log on standard error, for the whole program.
///
/// # Errors
/// When the thread cannot start or another log was started before.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<Log> {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (queue, log) = queue(io::stderr())?;
    tracing::subscriber::set_global_default(subscriber(config, queue, colour))?;
    std::panic::set_hook(Box::new(|panic| {
        // Not what it panicked with, which may hold a caller's text, and not past the queue, where a reader that
        // hangs would stop every token.
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task has panicked; this is a fault of the program");
    }));
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
    Lines(Vec<u8>),
    /// Everything before this is written: say so.
    Flush(SyncSender<()>),
}

/// The near end of the queue: never waits.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    held: Arc<Held>,
}

/// Whole lines that are held back; `None` while nobody would hand them over.
#[derive(Debug, Default)]
struct Held {
    lines: Mutex<Option<Vec<u8>>>,
    news: Notify,
}

impl Held {
    fn lines(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        // Nothing that can panic happens under this lock.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Hands over what is held.
    fn hand_over(&self) {
        let held = self.held.lines().as_mut().map(std::mem::take).unwrap_or_default();
        self.pass_on(held);
    }

    fn pass_on(&self, lines: Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(Message::Lines(lost)) | TrySendError::Disconnected(Message::Lines(lost))) =
            self.lines.try_send(Message::Lines(lines))
        {
            let count = lost.iter().filter(|byte| **byte == b'\n').count();
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

fn queue(output: impl Write + Send + 'static) -> io::Result<(Queue, Log)> {
    let (lines, waiting) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    // Not joined: it may hang in a write for ever, and then it ends with the program.
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&waiting, output, &counter))?;
    let queue = Queue { lines, dropped, held: Arc::default() };
    Ok((queue.clone(), Log { queue }))
}

fn write_lines(waiting: &Receiver<Message>, mut output: impl Write, dropped: &AtomicU64) {
    // A failed write is nobody's fault that could be told anywhere: the line is lost, the next is tried.
    for message in waiting {
        match message {
            Message::Lines(lines) => {
                let _ = output.write_all(&lines);
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

/// The line with what would break it escaped, and cut where it is longer than anybody reads: names come from files and from
/// other hosts.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    // The escape character is the formatter's own, for colours; it has replaced those of the values.
    let breaks = |byte: &u8| (byte.is_ascii_control() && !matches!(byte, b'\t' | 0x1b)) || *byte == b'\x7f';
    if body.len() <= LONGEST && !body.iter().any(breaks) {
        return Cow::Borrowed(line);
    }
    let mut plain = Vec::with_capacity(body.len().min(LONGEST) + 2);
    for byte in body.iter().take(LONGEST) {
        if breaks(byte) { plain.extend(byte.escape_ascii()) } else { plain.push(*byte) }
    }
    if body.len() > LONGEST {
        plain.extend(format!(" … {} bytes", body.len()).bytes());
    }
    plain.push(b'\n');
    Cow::Owned(plain)
}

impl Write for &Queue {
    /// Takes one whole line: the formatter writes each with a single call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let whole = line.len();
        let line = &*one_line(line);
        match self.held.lines().as_mut() {
            Some(held) if held.len() + line.len() <= ENOUGH => {
                held.extend_from_slice(line);
                self.held.news.notify_one();
                return Ok(whole);
            }
            _ => {}
        }
        self.hand_over();
        self.pass_on(line.to_vec());
        Ok(whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.hand_over();
        let (done, written) = sync_channel(1);
        // A full queue means a reader that hangs: nothing more can be done for it.
        if self.queue.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

#[cfg(test)]
mod tests;
