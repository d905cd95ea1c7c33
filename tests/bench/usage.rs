//! The resources that a process has used, and the load of the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

/// Processor time of a process, of all its present and past threads, in nanoseconds.
#[cfg(target_os = "linux")]
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    use nix::time::clock_getcpuclockid;
    use nix::unistd::Pid;
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?));
    let clock = clock.with_context(|| format!("cannot find the clock of process {pid}"))?;
    Ok(Duration::from(clock.now()?))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    anyhow::bail!("cannot read the clock of process {pid}: the benches run on Linux only")
}

/// Processor time of a thread of this process.
pub(crate) fn thread_time(thread: i32) -> anyhow::Result<Duration> {
    let file = format!("/proc/self/task/{thread}/schedstat");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let nanos =
        text.split(' ').next().and_then(|first| first.parse().ok()).with_context(|| format!("{file}: {text}"))?;
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory in MiB.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let bytes = auxot_tests::processes::resident_bytes(pid);
    let bytes = bytes.with_context(|| format!("cannot read the memory of process {pid}"))?;
    Ok(bytes as f64 / f64::from(1 << 20))
}

/// The load average of the last minute; 0 where it is unknown.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// Calls a function with the age, in milliseconds, of every `@` stamp of the fake engine in a text.
pub(crate) fn since_stamps(text: &[u8], mut call: impl FnMut(f64)) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'@', rest) {
        rest = &rest[at + 1..];
        let stamp = rest.get(..19).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i128>().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        if let Some(stamp) = stamp {
            call((now as i128 - stamp) as f64 / 1e6);
        }
    }
}
