//! The newest lines that the engines of one model have printed, over all their processes; and files that keep more of them.

pub(crate) mod folder;
pub(crate) mod writer;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use writer::{LogWriter, WaitingLines};

/// Lines that are kept of one model.
const KEPT_LINES: usize = 400;
/// Bytes of one line that are kept.
const LINE_BYTES: usize = 1024;
/// Bytes of one line that are written to the file.
const FILE_LINE_BYTES: usize = 8 * 1024;
/// Models whose lines are kept; of more, those without a process are dropped.
const KEPT_MODELS: usize = 256;

/// One line of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number among all lines of the model, from 1.
    pub number: u64,
    /// The process that printed it, counted from 1 over all engines of the model.
    pub process: u64,
    /// When it was read.
    pub at: SystemTime,
    /// The line without its end.
    pub text: String,
}

/// The newest lines of a model's engines; it outlives each of them.
#[derive(Debug, Default)]
pub struct EngineLog {
    lines: Mutex<Lines>,
    added: Notify,
    /// All bytes that were read.
    bytes: AtomicU64,
    /// What writes the lines to the file of the model, where there are files.
    file: Option<LogFile>,
}

/// The file of one model.
#[derive(Debug)]
struct LogFile {
    model: Arc<str>,
    waiting: Arc<WaitingLines>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<LogLine>,
    newest: u64,
    processes: u64,
}

impl EngineLog {
    /// The newest `limit` lines after the line `after`, oldest first.
    #[must_use]
    pub fn after(&self, after: u64, limit: usize) -> Vec<LogLine> {
        let lines = self.lock();
        let fresh = lines.kept.iter().rev().take_while(|line| line.number > after).take(limit);
        let mut fresh: Vec<LogLine> = fresh.cloned().collect();
        fresh.reverse();
        fresh
    }

    /// Resolves when a line is added after this call.
    pub fn added(&self) -> Notified<'_> {
        self.added.notified()
    }

    /// All bytes that the engines of the model have printed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The number of the next process.
    pub(crate) fn begin_process(&self) -> u64 {
        let mut lines = self.lock();
        lines.processes += 1;
        lines.processes
    }

    pub(crate) fn count(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn push(&self, process: u64, line: &str) {
        let at = SystemTime::now();
        if let Some(file) = &self.file {
            file.waiting.add(&file.model, process, at, &line[..line.floor_char_boundary(FILE_LINE_BYTES)]);
        }
        let text = line[..line.floor_char_boundary(LINE_BYTES)].to_owned();
        let mut lines = self.lock();
        lines.newest += 1;
        if lines.kept.len() == KEPT_LINES {
            lines.kept.pop_front();
        }
        let number = lines.newest;
        lines.kept.push_back(LogLine { number, process, at, text });
        drop(lines);
        self.added.notify_waiters();
    }

    /// The newest `limit` lines of one process, oldest first.
    pub(crate) fn of_process(&self, process: u64, limit: usize) -> Vec<String> {
        let lines = self.lock();
        let of = lines.kept.iter().rev().filter(|line| line.process == process).take(limit);
        let mut of: Vec<String> = of.map(|line| line.text.clone()).collect();
        of.reverse();
        of
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A panic while adding leaves whole lines: at worst one is missing.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The logs of all models that have had an engine.
#[derive(Debug, Default)]
pub(crate) struct EngineLogs {
    of_models: Mutex<HashMap<Arc<str>, Arc<EngineLog>>>,
    writer: Option<LogWriter>,
}

impl EngineLogs {
    /// Logs that are written to files, too.
    pub(crate) fn with_files(writer: LogWriter) -> Self {
        Self { writer: Some(writer), ..Self::default() }
    }

    /// The log of a model that gets an engine.
    pub(crate) fn open(&self, model: &Arc<str>) -> Arc<EngineLog> {
        let mut logs = self.of_models.lock().unwrap_or_else(PoisonError::into_inner);
        if logs.len() >= KEPT_MODELS && !logs.contains_key(model) {
            logs.retain(|_, log| Arc::strong_count(log) > 1);
        }
        let file = || self.writer.as_ref().map(|writer| LogFile { model: Arc::clone(model), waiting: writer.lines() });
        let log = logs.entry(Arc::clone(model));
        Arc::clone(log.or_insert_with(|| Arc::new(EngineLog { file: file(), ..EngineLog::default() })))
    }

    /// The log of a model, if it has had an engine.
    pub(crate) fn get(&self, model: &str) -> Option<Arc<EngineLog>> {
        self.of_models.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_with_their_process() {
        let log = EngineLog::default();
        let (first, second) = (log.begin_process(), log.begin_process());
        for number in 0..KEPT_LINES + 5 {
            log.push(if number % 2 == 0 { first } else { second }, &number.to_string());
        }
        assert_eq!(log.after(0, usize::MAX).len(), KEPT_LINES);
        let newest = log.after(0, 2);
        assert_eq!(newest.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["403", "404"]);
        assert_eq!(log.after(newest[0].number, usize::MAX), newest[1..]);
        assert_eq!(log.of_process(second, 2), ["401", "403"]);
        log.push(first, &"ä".repeat(LINE_BYTES));
        assert_eq!(log.after(0, 1)[0].text.len(), LINE_BYTES);
    }

    #[test]
    fn logs_of_models_without_a_process_are_dropped_when_there_are_too_many() {
        let logs = EngineLogs::default();
        let used = logs.open(&"used".into());
        for number in 0..2 * KEPT_MODELS {
            logs.open(&number.to_string().into()).push(1, "line");
        }
        assert!(logs.of_models.lock().unwrap().len() <= KEPT_MODELS);
        assert!(Arc::ptr_eq(&logs.get("used").unwrap(), &used));
        assert!(logs.get("0").is_none());
    }
}
