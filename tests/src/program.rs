//! A started program: its output as lines to wait for, its exit status, and no leftovers.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long other processes may hold the pipes of an exited program open.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A started program, in its own process group, which is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
    news: watch::Receiver<usize>,
    // Owns the readers of both pipes.
    _readers: JoinSet<()>,
}

impl Program {
    /// Starts it with both outputs captured, standard input empty.
    pub fn start(command: std::process::Command) -> Program {
        Self::start_on(command, Stdio::null(), Stdio::piped())
    }

    /// Starts it with its standard error on a file, which is not read.
    pub fn start_with_stderr(command: std::process::Command, stderr: std::fs::File) -> Program {
        Self::start_on(command, Stdio::null(), stderr.into())
    }

    /// Starts it with a standard input that stays open until [`Program::close_stdin`].
    pub fn start_held(command: std::process::Command) -> Program {
        Self::start_on(command, Stdio::piped(), Stdio::piped())
    }

    fn start_on(command: std::process::Command, stdin: Stdio, stderr: Stdio) -> Program {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut command = Command::from(command);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(stderr).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (sender, news) = watch::channel(0);
        let sender = Arc::new(sender);
        let mut readers = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            readers.spawn(read_lines(out, lines.clone(), sender.clone()));
        }
        if let Some(err) = child.stderr.take() {
            readers.spawn(read_lines(err, lines.clone(), sender));
        }
        let pid = child.id().unwrap_or_default();
        Program { child, pid, lines, news, _readers: readers }
    }

    /// Its process id, also after its end.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Everything it has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines so far that fit.
    pub fn lines_that(&self, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| fits(line)).cloned().collect()
    }

    /// Waits for a line that holds `needle`, also one already written; panics with the whole log after `deadline`.
    pub async fn line(&mut self, needle: &str, deadline: Duration) -> String {
        self.line_after(0, needle, deadline).await.1
    }

    /// Like `line`, among the lines from number `from` on; gives the number after the found one too.
    pub async fn line_after(&mut self, from: usize, needle: &str, deadline: Duration) -> (usize, String) {
        let needles = [needle];
        let search = self.search(from, &needles);
        match tokio::time::timeout(deadline, search).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("the output ended without {needle:?}:\n{}", self.lines().join("\n")),
            Err(_) => panic!("no line with {needle:?} within {deadline:?}:\n{}", self.lines().join("\n")),
        }
    }

    /// Waits for a line with one of these, as [`Program::line_after`] does, or for the end of the output.
    pub async fn line_or_end(&mut self, from: usize, needles: &[&str], deadline: Duration) {
        if tokio::time::timeout(deadline, self.search(from, needles)).await.is_err() {
            panic!("no line with any of {needles:?} within {deadline:?}:\n{}", self.lines().join("\n"));
        }
    }

    /// The line and the number after it, or none when the output has ended without it.
    async fn search(&mut self, from: usize, needles: &[&str]) -> Option<(usize, String)> {
        let mut seen = from;
        let fits = |line: &str| needles.iter().any(|needle| line.contains(needle));
        loop {
            let found = {
                let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                let found = lines.iter().enumerate().skip(seen).find(|(_, line)| fits(line));
                let found = found.map(|(at, line)| (at + 1, line.clone()));
                seen = lines.len();
                found
            };
            if found.is_some() || self.news.wait_for(|count| *count > seen).await.is_err() {
                return found;
            }
        }
    }

    /// Writes a line to its standard input, which must have been held open.
    pub async fn write_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap_or_else(|| panic!("its standard input is not ours"));
        // An exited program does not read, which the test notices by itself.
        let _ = stdin.write_all(format!("{line}\n").as_bytes()).await;
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        // It may have exited just before, which most signals aim at.
        let _ = nix::sys::signal::kill(self.as_pid(), signal);
    }

    /// Waits for its end and for the last of its lines; panics with the whole log after `deadline`.
    pub async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let status = match tokio::time::timeout(deadline, self.child.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => panic!("cannot wait for the program: {error}"),
            Err(_) => panic!("not ended within {deadline:?}:\n{}", self.lines().join("\n")),
        };
        // Its last output may still be in the pipes. Their readers end at the end of file; only another process that
        // holds them open prevents that.
        let read = async { while self.news.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(LAST_LINES, read).await;
        status
    }

    fn as_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).unwrap_or(i32::MAX))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The group, so that a failing test leaves nothing either. Not reaped yet, so the number is still ours.
        if self.child.id().is_some() {
            let _ = killpg(self.as_pid(), Signal::SIGKILL);
        }
        // tokio reaps the child in the background.
    }
}

async fn read_lines(from: impl AsyncRead + Unpin, lines: Arc<Mutex<Vec<String>>>, sender: Arc<watch::Sender<usize>>) {
    let mut from = BufReader::new(from).lines();
    while let Ok(Some(line)) = from.next_line().await {
        let count = {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
            lines.len()
        };
        sender.send_replace(count);
    }
}
