//! A running child and its group; dropping it ends both by force.

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
    /// The process that serves, where that is another one: the first one is a script.
    server: Option<ProcessHandle>,
    /// Set once it is reaped: so many processes that came of it had left its group.
    left_behind: Option<usize>,
}

impl Child {
    pub(super) fn new(inner: tokio::process::Child, mark: Option<String>, owned: &Owned) -> io::Result<Child> {
        let gone = || io::Error::other("the child was reaped before it was known");
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

    /// Says which process serves; a number that is not of this life is not believed. Whether it is.
    pub(crate) fn served_by(&mut self, pid: u32) -> bool {
        if pid == self.pid {
            return true;
        }
        let Some(held) = i32::try_from(pid).ok().and_then(|pid| ProcessHandle::open(Pid::from_raw(pid))) else {
            return false;
        };
        let is_ours = self.mark.as_ref().is_some_and(|mark| descendants::carries(pid, |value| value == mark))
            || descendants::below(self.pid).contains(&pid);
        if is_ours {
            self.server = Some(held);
        }
        is_ours
    }

    /// Asks it to end. Where a script stands before the server, only that is asked: the script would end at once, and what
    /// it leaves is killed.
    pub(crate) fn terminate(&mut self) -> nix::Result<()> {
        match self.server.take() {
            Some(server) if self.left_behind.is_none() => {
                server.terminate();
                Ok(())
            }
            _ => self.signal_group(signal::Signal::SIGTERM),
        }
    }

    /// Kills it, with all processes that came of it.
    pub(crate) fn kill(&self) -> nix::Result<()> {
        let killed = self.signal_group(signal::Signal::SIGKILL);
        self.end_marked();
        killed
    }

    /// Sends a signal to every process of the group. Until the leader is reaped its number cannot be given to anybody
    /// else, so this never hits a stranger.
    fn signal_group(&self, signal: signal::Signal) -> nix::Result<()> {
        if self.left_behind.is_some() { Ok(()) } else { killpg(self.group, signal) }
    }

    fn end_marked(&self) -> usize {
        self.mark.as_ref().map_or(0, |mark| descendants::end_marked(mark, self.group))
    }

    /// Waits for the exit and takes along all processes that came of it. Cancel safe; may be asked again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait().await?;
        if self.left_behind.is_none() {
            self.owned.change(|owned| owned.remove(&self.pid));
            // While a member is left, the group keeps its number; with none left there is nobody to hit: the number was
            // free for microseconds and numbers are given out in turn.
            let _nobody_left = killpg(self.group, signal::Signal::SIGKILL);
            self.left_behind = Some(self.end_marked());
        }
        Ok(status)
    }

    /// How many processes of it were found outside of its group when it had ended; they are killed.
    pub(crate) fn left_behind(&self) -> usize {
        self.left_behind.unwrap_or(0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.left_behind.is_none() {
            // `kill_on_drop` reaps the leader; this reaches the others.
            let _already_gone = self.kill();
            self.owned.change(|owned| owned.remove(&self.pid));
        }
    }
}
