//! Files below `/proc`, read in microseconds; no list of all processes is read.

use std::fs::{read_link, read_to_string};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal, test_kill_process};

use super::ProcessStart;

/// When and from which program a process was started; `None` if it has exited.
pub(crate) fn process_start(pid: u32) -> Option<ProcessStart> {
    Some(ProcessStart {
        start_time: field(&stat(pid)?, 22)?,
        boot_id: read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned(),
        exe: read_link(format!("/proc/{pid}/exe")).ok()?,
    })
}

/// The processor time that a process has used.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = stat(pid)?;
    let ticks = field(&stat, 14)? + field(&stat, 15)?;
    // One tick is 10 ms: USER_HZ is 100 wherever Linux runs.
    Some(Duration::from_millis(ticks * 10))
}

/// What a process has read so far, in bytes: through `read`, and through mapped pages that came from a disk.
pub(crate) fn bytes_read(pid: u32) -> Option<u64> {
    let text = read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    Some(field("rchar:")?.wrapping_add(field("read_bytes:")?))
}

/// A reference to one process, not to a later one with the same number.
#[derive(Debug)]
pub(crate) enum ProcessHandle {
    /// A file descriptor of the process.
    Descriptor(OwnedFd),
    /// Its number only, on kernels older than 5.3. Between a check and a signal are microseconds, and numbers are given out
    /// in order.
    Pid(Pid),
}

impl ProcessHandle {
    pub(crate) fn open(pid: nix::unistd::Pid) -> Option<ProcessHandle> {
        let pid = Pid::from_raw(pid.as_raw()).filter(|pid| pid.as_raw_nonzero().get() > 0)?;
        ProcessHandle::from_open(pid, pidfd_open(pid, PidfdFlags::empty()))
    }

    /// The handle for the result of `pidfd_open`.
    pub(super) fn from_open(pid: Pid, opened: rustix::io::Result<OwnedFd>) -> Option<ProcessHandle> {
        match opened {
            Ok(process) => Some(ProcessHandle::Descriptor(process)),
            Err(Errno::SRCH | Errno::INVAL) => None,
            // No such call, a filter that forbids it, or no descriptor left: an orphan must be killed all the same.
            Err(_) => test_kill_process(pid).is_ok().then_some(ProcessHandle::Pid(pid)),
        }
    }

    /// Kills it, unless it has exited meanwhile.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends TERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        let _exited = match self {
            ProcessHandle::Descriptor(process) => pidfd_send_signal(process, signal),
            ProcessHandle::Pid(pid) => kill_process(*pid, signal),
        };
    }
}

fn stat(pid: u32) -> Option<String> {
    read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// A field by its number in `proc(5)`, 4 or more. The second is the name in brackets, which can itself contain brackets
/// and blanks, so the fields are counted from its end.
pub(super) fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}
