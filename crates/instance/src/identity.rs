//! Who a process is beyond its number: numbers are used again, identities are not.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The identity of a child, as written down beside its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pid: u32,
    /// Clock ticks from boot to its start; with the boot this makes the pid unique.
    start_time: u64,
    boot_id: String,
    exe: PathBuf,
}

impl Record {
    /// Reads the identity of a living process; `None` if it is gone or this system cannot tell.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(pid: u32) -> Option<Record> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Record {
            pid,
            start_time: start_time(&stat)?,
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned(),
            exe: std::fs::read_link(format!("/proc/{pid}/exe")).ok()?,
        })
    }

    /// This system does not tell enough to be sure, so nothing is ever recognised.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_pid: u32) -> Option<Record> {
        None
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
    }

    pub(crate) fn read(path: &Path) -> io::Result<Record> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Ends the group of the recorded process if it still is that very process. Returns whether it was.
    #[cfg(target_os = "linux")]
    pub(crate) fn end(&self) -> bool {
        use nix::sys::signal::{Signal, killpg};
        use nix::unistd::{Pid, getpgid};
        let Ok(raw) = i32::try_from(self.pid) else { return false };
        let pid = Pid::from_raw(raw);
        let Some(target) = rustix::process::Pid::from_raw(raw) else { return false };
        // The descriptor comes first: it stays with the process that is looked at next, so the KILL through it cannot
        // reach anybody who got the number later.
        let Ok(held) = rustix::process::pidfd_open(target, rustix::process::PidfdFlags::empty()) else {
            return false;
        };
        if Record::of(self.pid).as_ref() != Some(self) {
            return false;
        }
        if getpgid(Some(pid)) == Ok(pid) {
            let _gone_meanwhile = killpg(pid, Signal::SIGKILL);
        }
        let _gone_meanwhile = rustix::process::pidfd_send_signal(&held, rustix::process::Signal::KILL);
        true
    }

    /// Nothing is recognised here, so nothing is ended.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn end(&self) -> bool {
        false
    }
}

/// Field 22 of `/proc/PID/stat`. The second field is the name in brackets, which may itself hold brackets and blanks.
#[cfg(target_os = "linux")]
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99 100";
        assert_eq!(start_time(stat), Some(4242));
    }

    #[test]
    fn a_record_survives_the_file_and_knows_itself() {
        let me = Record::of(std::process::id()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        me.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), me);
    }

    #[test]
    fn whoever_differs_in_anything_is_left_alone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let true_one = Record::of(child.id()).unwrap();
        for other in [
            Record { start_time: true_one.start_time + 1, ..true_one.clone() },
            Record { boot_id: "another".into(), ..true_one.clone() },
            Record { exe: "/bin/else".into(), ..true_one.clone() },
        ] {
            assert!(!other.end());
        }
        assert!(child.try_wait().unwrap().is_none());
        assert!(true_one.end());
        assert!(!child.wait().unwrap().success());
        assert!(!true_one.end());
    }
}
