//! Running processes by number, group and ancestry, and their exit as an event.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// True while the process exists and is not a zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state != 'Z')
}

/// Members of a process group.
pub fn of_group(group: u32) -> Vec<u32> {
    all().into_iter().filter(|(_, stat)| stat.group == group && stat.state != 'Z').map(|(pid, _)| pid).collect()
}

/// Kills the rest of a process group, so that a test leaves nothing behind.
pub fn end_group(group: u32) {
    if let Some(group) = Pid::from_raw(group.cast_signed()) {
        let _none_left = kill_process_group(group, Signal::KILL);
    }
}

/// Children, their children, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let all = all();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent && stat.state != 'Z').map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Processes whose command line holds `needle`, for instance the path of a test's own folder.
pub fn of_command_line(needle: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(needle)
    };
    all().into_iter().filter(|(_, stat)| stat.state != 'Z').map(|(pid, _)| pid).filter(holds).collect()
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// How many threads a process has.
pub fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Processor time used so far, user and system.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // One tick is 10 ms: USER_HZ is 100 on every Linux that we run on.
    Some(Duration::from_millis(ticks * 10))
}

/// Waits until all of them have ended; panics with those that live after `deadline`.
pub async fn ended(pids: &[u32], deadline: Duration) {
    let (all, until) = (pids.to_vec(), Instant::now() + deadline);
    let left = tokio::task::spawn_blocking(move || all.into_iter().filter(|pid| !ends(*pid, until)).collect()).await;
    let left: Vec<u32> = left.unwrap_or_else(|error| panic!("cannot wait for {pids:?}: {error}"));
    assert!(left.is_empty(), "still alive after {deadline:?}: {left:?}");
}

/// True when the process has ended by then, also as a zombie. A number without a process is a process that has ended.
#[cfg(target_os = "linux")]
fn ends(pid: u32, until: Instant) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    let Ok(handle) = pidfd_open(raw, PidfdFlags::empty()) else { return true };
    let left = Timespec::try_from(until.saturating_duration_since(Instant::now()));
    // A pidfd becomes readable when the process ends.
    let mut wait = [PollFd::new(&handle, PollFlags::IN)];
    left.is_ok_and(|left| poll(&mut wait, Some(&left)).is_ok_and(|count| count > 0))
}

#[cfg(not(target_os = "linux"))]
fn ends(_: u32, _: Instant) -> bool {
    panic!("cannot wait for the end of a process: the suites run on Linux only")
}

struct Stat {
    state: char,
    parent: u32,
    group: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything, so the fields are counted from the last one.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

fn all() -> Vec<(u32, Stat)> {
    // Elsewhere no leftover would ever be found.
    let entries = std::fs::read_dir("/proc").unwrap_or_else(|fault| panic!("cannot read /proc: {fault}")).flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}
