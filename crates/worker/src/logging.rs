//! The log: lines to standard error that a hanging reader cannot block.
//!
//! The whole worker runs on one thread. If standard error is a pipe whose reader hangs, a direct write would block
//! every token. Lines therefore go through a bounded queue to a thread of their own; when the queue is full they are
//! dropped and counted, and the count is logged later.
//!
//! Waking that thread costs the token thread a system call, and costs the other processor, which an engine could use, a
//! context switch: a fifth of the delay of a first token. While the worker serves, lines are therefore held for a
//! moment and passed on together ([`Log::hold_back`]).

mod journal;

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auxot_settings::{Format, Level, LogConfig, Verbosity};
use journal::Prioritised;
use tokio::sync::Notify;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

/// How long a line may be held for further ones.
const HOLD_TIME: Duration = Duration::from_millis(2);
/// Lines of this many bytes are passed on at once.
const HOLD_BYTES: usize = 4 * 1024;

/// Writes that may wait for a slow reader. A burst of a few hundred lines is normal at the start.
const QUEUE: usize = 1024;

/// A longer line is cut; in bytes.
const MAX_LINE: usize = 16 * 1024;

/// How long the end of the program waits until the last lines are written.
const FLUSH: Duration = Duration::from_secs(1);

/// Owns the log; a drop writes the queued lines.
#[derive(Debug)]
pub(crate) struct Log {
    queue: Queue,
    level: LevelControl,
}

/// Changes how much is logged.
#[derive(Debug, Clone)]
pub(crate) struct LevelControl {
    filter: reload::Handle<Targets, Registry>,
    text: Arc<Mutex<String>>,
}

impl LevelControl {
    /// The level, as in the settings.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the level until the program ends.
    pub(crate) fn set(&self, text: &str) -> Result<(), String> {
        let level: Verbosity = text.parse()?;
        self.filter.reload(targets(&level)).map_err(|fault| format!("cannot change the level: {fault}"))?;
        tracing::info!(level = text, "level of the log changed");
        text.clone_into(&mut self.text.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

impl Log {
    /// Changes how much is logged.
    pub(crate) fn level(&self) -> LevelControl {
        self.level.clone()
    }

    /// Holds lines for a moment each, until the future is dropped.
    pub(crate) fn hold_back(&self) -> impl Future<Output = Infallible> + Send + use<> {
        let release = Release(self.queue.clone());
        async move {
            let Release(queue) = &release;
            *queue.held.lines() = Some(Vec::new());
            loop {
                queue.held.added.notified().await;
                tokio::time::sleep(HOLD_TIME).await;
                queue.hand_over();
            }
        }
    }
}

/// Ends the holding of lines.
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
/// The thread cannot start, or another log was started before.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<Log> {
    let reader = match () {
        () if journal::reads(io::stderr()) => Reader::Journal,
        () if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) => Reader::File,
        () if io::stderr().is_terminal() => Reader::Terminal,
        () => Reader::File,
    };
    let (subscriber, log) = open(io::stderr(), config, reader)?;
    tracing::subscriber::set_global_default(subscriber)?;
    std::panic::set_hook(Box::new(|panic| {
        // Without the panic's message, which may contain a caller's text, and through the queue, because a direct write
        // could block every token.
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a task has panicked; this is a fault of the program");
    }));
    Ok(log)
}

/// What reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A terminal, which shows colours.
    Terminal,
    /// A file, or a program.
    File,
    /// systemd's journal.
    Journal,
}

/// A log to this output, and what sends lines to it.
fn open<W: Write + Send + 'static>(
    output: W,
    config: &LogConfig,
    reader: Reader,
) -> io::Result<(impl tracing::Subscriber + Send + Sync + use<W>, Log)> {
    let queue = queue(output, reader)?;
    // The library would report a failed write with `eprintln!`, which panics if that fails, too.
    let lines = tracing_subscriber::fmt::layer().with_writer(queue.clone()).log_internal_errors(false);
    let lines = lines.with_ansi(reader == Reader::Terminal);
    let lines = match (config.format, reader) {
        (Format::Text, Reader::Journal) => lines.without_time().map_event_format(Prioritised).boxed(),
        (Format::Text, _) => lines.boxed(),
        (Format::Json, Reader::Journal) => lines.json().flatten_event(true).map_event_format(Prioritised).boxed(),
        (Format::Json, _) => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(targets(&config.level));
    let level = LevelControl { filter: handle, text: Arc::new(Mutex::new(config.level.to_string())) };
    Ok((Registry::default().with(lines.with_filter(filter)), Log { queue, level }))
}

/// A bare level applies to the worker's own crates. The libraries stay at `warn`: below it they would hide the worker's
/// lines.
fn targets(level: &Verbosity) -> Targets {
    let own = filter(level.own);
    let targets = Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("auxot", own);
    targets.with_targets(level.targets.iter().map(|(target, level)| (target.clone(), filter(*level))))
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

/// A message for the writing thread.
#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    /// Confirms that everything before it is written.
    Flush(SyncSender<()>),
}

/// The sender's end of the queue; it never waits.
#[derive(Debug, Clone)]
struct Queue {
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    held: Arc<HeldLines>,
}

/// Whole lines that are held; `None` while no task passes them on.
#[derive(Debug, Default)]
struct HeldLines {
    lines: Mutex<Option<Vec<u8>>>,
    added: Notify,
}

impl HeldLines {
    fn lines(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        // No code under this lock can panic.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Passes on the held lines.
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

fn queue(output: impl Write + Send + 'static, reader: Reader) -> io::Result<Queue> {
    let (lines, waiting) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    // Not joined: it may hang in a write forever and then ends with the program.
    std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_lines(&waiting, output, reader, &counter))?;
    Ok(Queue { lines, dropped, held: Arc::default() })
}

fn write_lines(waiting: &Receiver<Message>, mut output: impl Write, reader: Reader, dropped: &AtomicU64) {
    let priority = if reader == Reader::Journal { journal::WARNING } else { "" };
    // A failed write cannot be reported anywhere: the line is lost and the next one is tried.
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
            let _ =
                writeln!(output, "{priority}{lost} log lines were dropped: standard error was not read fast enough");
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// The line with control characters escaped, cut to the longest useful length: names come from files and other hosts.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    let body = line.strip_suffix(b"\n").unwrap_or(line);
    // The formatter's own escape character, for colours; it has already replaced those of the values.
    let breaks = |byte: &u8| (byte.is_ascii_control() && !matches!(byte, b'\t' | 0x1b)) || *byte == b'\x7f';
    if body.len() <= MAX_LINE && !body.iter().any(breaks) {
        return Cow::Borrowed(line);
    }
    let mut plain = Vec::with_capacity(body.len().min(MAX_LINE) + 2);
    for byte in body.iter().take(MAX_LINE) {
        if breaks(byte) { plain.extend(byte.escape_ascii()) } else { plain.push(*byte) }
    }
    if body.len() > MAX_LINE {
        plain.extend(format!(" … {} bytes", body.len()).bytes());
    }
    plain.push(b'\n');
    Cow::Owned(plain)
}

impl Write for &Queue {
    /// Takes one whole line: the formatter writes each line with one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let whole = line.len();
        let line = &*one_line(line);
        match self.held.lines().as_mut() {
            Some(held) if held.len() + line.len() <= HOLD_BYTES => {
                held.extend_from_slice(line);
                self.held.added.notify_one();
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
        // A full queue means that the reader hangs; the lines are lost.
        if self.queue.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }
}

#[cfg(test)]
mod tests;
