//! What of the host itself keeps a worker from serving: its control group, its clock, the driver of its devices.

use std::process::Stdio;
use std::time::{Duration, SystemTime};

use auxot_gpu::{Config, TaskLimit};
use auxot_placement::bytes_text;
use tokio::process::Command;
use tokio::time::timeout;

use super::finding::{Finding, bad, good, warning};

/// Less memory than this leaves no room for any model.
const LEAST_ROOM: u64 = 512 << 20;
/// A clock before this, 2026-01-01, was never set: certificates are not valid yet then.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// An engine has some dozens of threads: fewer tasks than this are not enough for one.
const LEAST_TASKS: u64 = 64;
/// Fewer than this may be too few for several engines.
const ENOUGH_TASKS: u64 = 512;
/// How long the system may take to say whether its clock is kept in time.
const CLOCK_ANSWER: Duration = Duration::from_secs(3);

/// All of them.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let control_group = auxot_gpu::memory_limit(config).map(|limit| control_group(limit.total, limit.free));
    let driver = auxot_gpu::driver_fault(config).map(driver);
    let tasks = auxot_gpu::task_limit(config).map(tasks);
    let clock = match clock(SystemTime::now()) {
        Some(unset) => Some(unset),
        None => is_synchronised().await.map(synchronised),
    };
    control_group.into_iter().chain(tasks).chain(driver).chain(clock).collect()
}

fn control_group(total: u64, free: u64) -> Finding {
    let text = format!("the control group leaves {} of {} of memory", bytes_text(free), bytes_text(total));
    if free < LEAST_ROOM {
        return bad(
            "limits",
            text,
            "raise MemoryMax= of the unit or the memory limit of the container, or end other processes in it",
        );
    }
    good("limits", text)
}

fn tasks(limit: TaskLimit) -> Finding {
    let text = format!("the control group leaves {} of {} processes and threads", limit.free, limit.total);
    let remedy = "raise TasksMax= of the unit or the pids limit of the container";
    match limit.free {
        free if free < LEAST_TASKS => bad("limits", text, remedy),
        free if free < ENOUGH_TASKS => warning("limits", text, remedy),
        _ => good("limits", text),
    }
}

/// Whether a time server keeps the clock; `None` where systemd cannot be asked.
async fn is_synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(CLOCK_ANSWER, command.output()).await.ok()?.ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

fn synchronised(is_synchronised: bool) -> Finding {
    if is_synchronised {
        return good("clock", "is synchronised");
    }
    let text = "no time server keeps the clock: certificates and the times in logs may be wrong";
    warning("clock", text, "switch it on (`timedatectl set-ntp true`, or chrony)")
}

fn driver(fault: String) -> Finding {
    let remedy = "check that driver and library have the same version (`nvidia-smi`), that this user may open /dev/nvidia*, and \
                  AUXOT_NVML_PATH";
    warning("devices", format!("cannot use the NVIDIA driver: {fault}"), remedy)
}

fn clock(now: SystemTime) -> Option<Finding> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since.as_secs() / 86_400;
    (since < EARLIEST).then(|| {
        let text = format!("the clock stands {days} days after 1970: certificates of the router are not valid then");
        bad("clock", text, "set the clock (`timedatectl set-ntp true`)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_found() {
        assert!(
            clock(SystemTime::UNIX_EPOCH + Duration::from_secs(90_000))
                .is_some_and(|found| found.text.contains("1 days"))
        );
        assert_eq!(clock(SystemTime::UNIX_EPOCH + EARLIEST), None);
    }
}
