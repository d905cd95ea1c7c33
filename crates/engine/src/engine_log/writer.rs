//! Writes the lines of engines to their files, some at once and beside the runtime.
//!
//! A line waits in memory for a moment, so that it costs neither a system call nor a wake-up while an answer is made. A disk that is
//! too slow loses lines, which are counted in the file, and holds up no engine.

use std::collections::BTreeMap;
use std::io::Write;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::folder::LogFolder;

/// How long a line may wait for further ones.
const HOLD_TIME: Duration = Duration::from_millis(500);
/// So many bytes are written without waiting for more.
const HOLD_BYTES: usize = 32 * 1024;
/// The most bytes that wait for the disk.
const WAITING_BYTES: usize = 512 * 1024;
/// How long the end of the worker waits until the last lines are written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The lines that wait for the disk.
#[derive(Debug, Default)]
pub(crate) struct WaitingLines {
    by_model: Mutex<Batches>,
    added: Notify,
    many: Notify,
}

#[derive(Debug, Default)]
struct Batches {
    models: BTreeMap<Arc<str>, Batch>,
    bytes: usize,
}

/// The lines of one model.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<u8>,
    /// Lines for which there was no room.
    lost: u64,
}

impl WaitingLines {
    /// Adds one line, with the process that printed it.
    pub(crate) fn add(&self, model: &Arc<str>, process: u64, at: SystemTime, text: &str) {
        let mut batches = self.lock();
        let is_first = batches.models.is_empty();
        let is_full = batches.bytes >= WAITING_BYTES;
        let batch = batches.models.entry(Arc::clone(model)).or_default();
        if is_full {
            batch.lost += 1;
            return;
        }
        let before = batch.lines.len();
        add_line(&mut batch.lines, process, at, text);
        let added = batch.lines.len() - before;
        batches.bytes += added;
        let bytes = batches.bytes;
        drop(batches);
        if is_first {
            self.added.notify_one();
        }
        if bytes >= HOLD_BYTES && bytes - added < HOLD_BYTES {
            self.many.notify_one();
        }
    }

    fn take(&self) -> Batches {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Batches> {
        // A panic while adding leaves at worst a line that is cut.
        self.by_model.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds `TIME PROCESS TEXT`; a line of an engine may hold anything, and control characters must not reach a terminal.
fn add_line(lines: &mut Vec<u8>, process: u64, at: SystemTime, text: &str) {
    let time = jiff::Timestamp::try_from(at).unwrap_or_default();
    // Writing to memory does not fail.
    let _ = write!(lines, "{time:.3} {process} ");
    for sign in text.chars() {
        let _ = match sign {
            '\t' => write!(lines, "\t"),
            sign if sign.is_control() => write!(lines, "{}", sign.escape_default()),
            sign => write!(lines, "{sign}"),
        };
    }
    lines.push(b'\n');
}

/// The task that writes; the lines that wait when it is dropped are written at once.
#[derive(Debug)]
pub(crate) struct LogWriter {
    waiting: Arc<WaitingLines>,
    folder: LogFolder,
    _task: JoinSet<()>,
}

impl LogWriter {
    /// Starts to write what is added to the lines.
    pub(crate) fn start(folder: LogFolder) -> Self {
        let waiting = Arc::<WaitingLines>::default();
        let mut task = JoinSet::new();
        task.spawn(write_all(Arc::clone(&waiting), folder.clone()));
        Self { waiting, folder, _task: task }
    }

    /// What takes the lines.
    pub(crate) fn lines(&self) -> Arc<WaitingLines> {
        Arc::clone(&self.waiting)
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        let (batches, mut folder) = (self.waiting.take(), self.folder.clone());
        if batches.models.is_empty() {
            return;
        }
        let (done, written) = mpsc::channel();
        // Beside this thread, because a dead disk must not hold up the end. A failure is the loss of these lines.
        let writing = std::thread::Builder::new().spawn(move || {
            let _ = write(&mut folder, batches);
            let _ = done.send(());
        });
        if writing.is_ok() {
            let _ = written.recv_timeout(LAST_LINES);
        }
    }
}

async fn write_all(waiting: Arc<WaitingLines>, mut folder: LogFolder) {
    let mut fails = false;
    loop {
        waiting.added.notified().await;
        let _whichever_is_first = tokio::time::timeout(HOLD_TIME, waiting.many.notified()).await;
        let batches = waiting.take();
        let mut taken = folder.clone();
        let written = tokio::task::spawn_blocking(move || (write(&mut taken, batches), taken)).await;
        let Ok((result, after)) = written else { continue };
        folder = after;
        match &result {
            Err(fault) if !fails => {
                let folder = folder.path().display();
                warn!(%folder, %fault, "cannot write what engines print; it is lost until the folder can be written");
            }
            Ok(()) if fails => info!("what engines print is written again"),
            _ => {}
        }
        fails = result.is_err();
    }
}

fn write(folder: &mut LogFolder, batches: Batches) -> std::io::Result<()> {
    let mut result = Ok(());
    for (model, mut batch) in batches.models {
        if batch.lost > 0 {
            let _ = writeln!(batch.lines, "{} lines were left out: the disk was too slow", batch.lost);
        }
        // The other models are tried, too.
        result = result.and(folder.add(&model, &batch.lines));
    }
    result
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(folder: &Path, name: &str) -> String {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default()
    }

    /// Waits until the file has this line.
    async fn until(folder: &Path, name: &str, line: &str) {
        while !read(folder, name).contains(line) {
            tokio::time::sleep(HOLD_TIME).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_written_after_a_moment_and_the_last_ones_at_the_end() {
        let root = tempfile::tempdir().unwrap();
        let writer = LogWriter::start(LogFolder::new(root.path().join("logs"), 1 << 20, 1 << 24));
        let (lines, at) = (writer.lines(), SystemTime::UNIX_EPOCH);
        lines.add(&"m".into(), 1, at, "hello");
        lines.add(&"n".into(), 7, at, "\u{1b}[2J\u{fffd}\tx");
        let folder = root.path().join("logs");
        until(&folder, "m.log", "1970-01-01T00:00:00.000Z 1 hello\n").await;
        until(&folder, "n.log", "1970-01-01T00:00:00.000Z 7 \\u{1b}[2J\u{fffd}\tx\n").await;
        lines.add(&"m".into(), 1, at, "last words");
        drop(writer);
        assert_eq!(read(&folder, "m.log").lines().count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_cannot_be_made_loses_lines_until_it_can() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("logs");
        std::fs::write(&folder, "a file is in the way").unwrap();
        let writer = LogWriter::start(LogFolder::new(folder.clone(), 1 << 20, 1 << 24));
        writer.lines().add(&"m".into(), 1, SystemTime::now(), "lost");
        // The task takes the line.
        while !writer.waiting.lock().models.is_empty() {
            tokio::time::sleep(HOLD_TIME).await;
        }
        std::fs::remove_file(&folder).unwrap();
        loop {
            writer.lines().add(&"m".into(), 1, SystemTime::now(), "kept");
            tokio::time::sleep(HOLD_TIME).await;
            if read(&folder, "m.log").contains("kept") {
                break;
            }
        }
    }

    #[test]
    fn lines_beyond_the_bound_are_counted() {
        let lines = WaitingLines::default();
        let model: Arc<str> = "m".into();
        for _ in 0..WAITING_BYTES / 1000 + 20 {
            lines.add(&model, 1, SystemTime::UNIX_EPOCH, &"x".repeat(1000));
        }
        let root = tempfile::tempdir().unwrap();
        let batches = lines.take();
        assert!(batches.bytes < WAITING_BYTES + 2000, "{}", batches.bytes);
        let lost = batches.models[&model].lost;
        write(&mut LogFolder::new(root.path().to_owned(), 1 << 20, 1 << 24), batches).unwrap();
        assert!(
            lost > 0
                && read(root.path(), "m.log")
                    .ends_with(&format!("{lost} lines were left out: the disk was too slow\n"))
        );
    }
}
