//! What `sysinfo` reports of a process, on systems without `/proc`.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::ProcessStart;

/// When and from which program a process was started; `None` if it has exited.
pub(crate) fn process_start(pid: u32) -> Option<ProcessStart> {
    let start_and_exe = |process: &sysinfo::Process| (process.start_time(), process.exe().map(Into::into));
    let (start_time, exe) = ask(pid, ProcessRefreshKind::nothing().with_exe(UpdateKind::Always), start_and_exe)?;
    // Zero means in sysinfo that the value could not be read.
    (start_time > 0).then_some(ProcessStart { start_time, boot_id: String::new(), exe: exe? })
}

/// The processor time that a process has used.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    ask(pid, ProcessRefreshKind::nothing().with_cpu(), |process| process.accumulated_cpu_time())
        .map(Duration::from_millis)
}

/// What a process has read from disks so far, in bytes.
pub(crate) fn bytes_read(pid: u32) -> Option<u64> {
    ask(pid, ProcessRefreshKind::nothing().with_disk_usage(), |process| process.disk_usage().total_read_bytes)
}

fn ask<T>(pid: u32, what: ProcessRefreshKind, answer: impl Fn(&sysinfo::Process) -> T) -> Option<T> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what.without_tasks());
    system.process(pid).map(answer)
}

/// A process by its number only. Between a check and a signal are microseconds, and numbers are given out in order.
#[derive(Debug)]
pub(crate) struct ProcessHandle(nix::unistd::Pid);

impl ProcessHandle {
    pub(crate) fn open(pid: nix::unistd::Pid) -> Option<ProcessHandle> {
        // Zero and below mean groups.
        (pid.as_raw() > 0 && kill(pid, None).is_ok()).then_some(ProcessHandle(pid))
    }

    /// Kills it, unless it has exited meanwhile.
    pub(crate) fn kill(&self) {
        let _exited = kill(self.0, Signal::SIGKILL);
    }

    /// Sends TERM.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "tests use a part of it only"))]
    pub(crate) fn terminate(&self) {
        let _exited = kill(self.0, Signal::SIGTERM);
    }
}
