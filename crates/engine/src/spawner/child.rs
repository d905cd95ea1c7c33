//! A running child and its process group; dropping it kills both.

use std::io;
use std::process::ExitStatus;

use nix::sys::signal::{self, killpg};
use nix::unistd::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::Owned;
use crate::host::descendants;
use crate::host::system::ProcessHandle;

/// A child that leads its own process group.
#[derive(Debug)]
pub(crate) struct Child {
    inner: tokio::process::Child,
    pid: u32,
    group: Pid,
    mark: Option<String>,
    owned: Owned,
    /// The process that serves, where the child itself is a script.
    server: Option<ProcessHandle>,
    /// Set once it is reaped: how many of its descendants had left its group.
    left_behind: Option<usize>,
}

impl Child {
    pub(super) fn new(inner: tokio::process::Child, mark: Option<String>, owned: &Owned) -> io::Result<Child> {
        let gone = || io::Error::other("the child was reaped before its number was read");
        let pid = inner.id().ok_or_else(gone)?;
        let group = Pid::from_raw(i32::try_from(pid).map_err(|_| gone())?);
        owned.change(|owned| owned.insert(pid));
        Ok(Child { inner, pid, group, mark, owned: owned.clone(), server: None, left_behind: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn take_pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.inner.stdin.take(), self.inner.stdout.take(), self.inner.stderr.take())
    }

    /// Sets which process serves. Returns false, and sets nothing, where that process is no descendant of this child.
    pub(crate) fn served_by(&mut self, pid: u32) -> bool {
        if pid == self.pid {
            return true;
        }
        let Some(process) = i32::try_from(pid).ok().and_then(|pid| ProcessHandle::open(Pid::from_raw(pid))) else {
            return false;
        };
        let is_ours = self.mark.as_ref().is_some_and(|mark| descendants::has_mark(pid, |value| value == mark))
            || descendants::below(self.pid).contains(&pid);
        if is_ours {
            self.server = Some(process);
        }
        is_ours
    }

    /// Sends TERM. Where the child is a script, only the server gets it: the script would exit at once, and what it leaves
    /// is killed.
    pub(crate) fn terminate(&mut self) -> nix::Result<()> {
        match self.server.take() {
            Some(server) if self.left_behind.is_none() => {
                server.terminate();
                Ok(())
            }
            _ => self.signal_group(signal::Signal::SIGTERM),
        }
    }

    /// Kills it and all its descendants.
    pub(crate) fn kill(&self) -> nix::Result<()> {
        let killed = self.signal_group(signal::Signal::SIGKILL);
        self.end_marked();
        killed
    }

    /// Sends a signal to every process of the group. Until the leader is reaped its number is not used again, so this never
    /// reaches another process.
    fn signal_group(&self, signal: signal::Signal) -> nix::Result<()> {
        if self.left_behind.is_some() { Ok(()) } else { killpg(self.group, signal) }
    }

    fn end_marked(&self) -> usize {
        self.mark.as_ref().map_or(0, |mark| descendants::end_marked(mark, self.group))
    }

    /// Waits for the exit and kills all descendants. Cancel safe; may be called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait().await?;
        if self.left_behind.is_none() {
            self.owned.change(|owned| owned.remove(&self.pid));
            // While a member is left, the group keeps its number. With none left the number was free for microseconds, and
            // numbers are given out in order, so no other group has it.
            let _none_left = killpg(self.group, signal::Signal::SIGKILL);
            self.left_behind = Some(self.end_marked());
        }
        Ok(status)
    }

    /// How many descendants were found outside of its group when it had exited; they are killed.
    pub(crate) fn left_behind(&self) -> usize {
        self.left_behind.unwrap_or(0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.left_behind.is_none() {
            // `kill_on_drop` reaps the leader; this kills the others.
            let _already_gone = self.kill();
            self.owned.change(|owned| owned.remove(&self.pid));
        }
    }
}
