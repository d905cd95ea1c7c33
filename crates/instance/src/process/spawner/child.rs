//! A running child and its group; dropping it ends both by force.

use std::io;
use std::process::ExitStatus;

use nix::sys::signal::{self, killpg};
use nix::unistd::Pid;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// A child that leads its own process group.
#[derive(Debug)]
pub(crate) struct Child {
    inner: tokio::process::Child,
    pid: u32,
    group: Pid,
    reaped: bool,
}

impl Child {
    pub(super) fn new(inner: tokio::process::Child) -> io::Result<Child> {
        let gone = || io::Error::other("the child was reaped before it was known");
        let pid = inner.id().ok_or_else(gone)?;
        let group = Pid::from_raw(i32::try_from(pid).map_err(|_| gone())?);
        Ok(Child { inner, pid, group, reaped: false })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn take_pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        (self.inner.stdin.take(), self.inner.stdout.take(), self.inner.stderr.take())
    }

    /// Sends a signal to every process of the group. Until the leader is reaped its number cannot be given to anybody
    /// else, so this never hits a stranger.
    pub(crate) fn signal_group(&self, signal: signal::Signal) -> nix::Result<()> {
        if self.reaped { Ok(()) } else { killpg(self.group, signal) }
    }

    /// Waits for the exit and takes the rest of the group along. Cancel safe; may be asked again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.inner.wait().await?;
        if !self.reaped {
            self.reaped = true;
            // While a member is left, the group keeps its number; with none left there is nobody to hit: the number was
            // free for microseconds and numbers are given out in turn.
            let _nobody_left = killpg(self.group, signal::Signal::SIGKILL);
        }
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // `kill_on_drop` reaps the leader; this reaches the others of its group.
        let _already_gone = self.signal_group(signal::Signal::SIGKILL);
    }
}
