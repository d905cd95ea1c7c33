//! The identity of a process beyond its number: numbers are used again, identities are not.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};
use serde::{Deserialize, Serialize};

use crate::host::system::{self, ProcessHandle, ProcessStart};

/// The identity of a child, as recorded beside its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pid: u32,
    /// Its start, counted from the boot, or from 1970 where `boot_id` is empty. This makes the pid unique.
    start_time: u64,
    boot_id: String,
    exe: PathBuf,
}

impl Record {
    /// Reads the identity of a process; `None` if it has exited or the system does not report it.
    pub(crate) fn of(pid: u32) -> Option<Record> {
        let ProcessStart { start_time, boot_id, exe } = system::process_start(pid)?;
        Some(Record { pid, start_time, boot_id, exe })
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_vec(self)?)
    }

    pub(crate) fn read(path: &Path) -> io::Result<Record> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// Kills the group of the recorded process if the number still belongs to that process. Returns the number if so.
    ///
    /// A process that runs another program by now, like a script that ends with `exec`, is found by its mark.
    pub(crate) fn kill(&self) -> Option<u32> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?);
        // The handle comes first: the check that follows is of the same process, so the KILL cannot reach a process that
        // got the number later.
        let process = ProcessHandle::open(pid)?;
        if Record::of(self.pid).as_ref() != Some(self) {
            return None;
        }
        if getpgid(Some(pid)) == Ok(pid) {
            let _gone_meanwhile = killpg(pid, Signal::SIGKILL);
        }
        process.kill();
        Some(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_file() {
        let me = Record::of(std::process::id()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.json");
        me.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap(), me);
    }

    #[test]
    fn a_process_that_differs_in_anything_is_not_killed() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let actual = Record::of(child.id()).unwrap();
        for other in [
            Record { start_time: actual.start_time + 1, ..actual.clone() },
            Record { boot_id: "another".into(), ..actual.clone() },
            Record { exe: "/bin/else".into(), ..actual.clone() },
        ] {
            assert_eq!(other.kill(), None);
        }
        assert!(child.try_wait().unwrap().is_none());
        assert_eq!(actual.kill(), Some(child.id()));
        assert!(!child.wait().unwrap().success());
        assert_eq!(actual.kill(), None);
    }
}
