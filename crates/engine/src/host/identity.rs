//! Who a process is beyond its number: numbers are used again, identities are not.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};
use serde::{Deserialize, Serialize};

use crate::host::system::{self, ProcessHandle, ProcessStart};

/// The identity of a child, as written down beside its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pid: u32,
    /// Its start, counted from the boot; or from 1970 where no boot is told. This makes the pid unique.
    start_time: u64,
    boot_id: String,
    exe: PathBuf,
}

impl Record {
    /// Reads the identity of a living process; `None` if it is gone or this system cannot tell.
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

    /// Ends the group of the recorded process if it still is that very process. Returns its number if it was.
    ///
    /// One that runs another program by now, as a script does that ends with `exec`, is known by its mark.
    pub(crate) fn end(&self) -> Option<u32> {
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?);
        // The hold comes first: where it stays with the process that is looked at next, the KILL through it cannot reach
        // anybody who got the number later.
        let held = ProcessHandle::open(pid)?;
        if Record::of(self.pid).as_ref() != Some(self) {
            return None;
        }
        if getpgid(Some(pid)) == Ok(pid) {
            let _gone_meanwhile = killpg(pid, Signal::SIGKILL);
        }
        held.kill();
        Some(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(other.end(), None);
        }
        assert!(child.try_wait().unwrap().is_none());
        assert_eq!(true_one.end(), Some(child.id()));
        assert!(!child.wait().unwrap().success());
        assert_eq!(true_one.end(), None);
    }
}
