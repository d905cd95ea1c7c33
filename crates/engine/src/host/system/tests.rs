//! Each implementation reports the same of a running process, and nothing of a missing one.

use std::time::{Duration, Instant};

use super::*;

const NO_PROCESS: u32 = u32::MAX;
const DEADLINE: Duration = Duration::from_secs(60);

fn processor_time_grows_with_work(cpu_time: fn(u32) -> Option<Duration>) {
    let me = std::process::id();
    let (before, begun) = (cpu_time(me).unwrap(), Instant::now());
    while cpu_time(me).unwrap() < before + Duration::from_millis(30) {
        assert!(begun.elapsed() < DEADLINE);
    }
    assert_eq!(cpu_time(NO_PROCESS), None);
}

fn a_start_belongs_to_one_process(process_start: fn(u32) -> Option<ProcessStart>) {
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let (me, other) = (process_start(std::process::id()).unwrap(), process_start(child.id()).unwrap());
    assert_eq!(process_start(child.id()), Some(other.clone()));
    assert_ne!(me.exe, other.exe);
    assert!(me.start_time <= other.start_time && me.start_time > 0);
    assert_eq!(process_start(NO_PROCESS), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn processor_time_grows_as_a_process_works() {
    processor_time_grows_with_work(cpu_time);
    #[cfg(target_os = "linux")]
    processor_time_grows_with_work(elsewhere::cpu_time);
}

#[test]
fn a_process_has_one_start() {
    a_start_belongs_to_one_process(process_start);
    #[cfg(target_os = "linux")]
    a_start_belongs_to_one_process(elsewhere::process_start);
}

#[test]
fn bytes_read_are_unknown_for_a_missing_process() {
    assert!(bytes_read(std::process::id()).is_some());
    assert_eq!(bytes_read(NO_PROCESS), None);
    #[cfg(target_os = "linux")]
    {
        assert!(elsewhere::bytes_read(std::process::id()).is_some());
        assert_eq!(elsewhere::bytes_read(NO_PROCESS), None);
    }
}

#[test]
fn a_handle_kills_the_process_that_it_refers_to() {
    let sleeper = || std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let number = |child: &std::process::Child| nix::unistd::Pid::from_raw(child.id().cast_signed());
    let mut child = sleeper();
    ProcessHandle::open(number(&child)).unwrap().kill();
    assert!(!child.wait().unwrap().success());
    assert!(ProcessHandle::open(number(&child)).is_none(), "it has exited");
    assert!(ProcessHandle::open(nix::unistd::Pid::from_raw(0)).is_none());
    #[cfg(target_os = "linux")]
    {
        let mut child = sleeper();
        elsewhere::ProcessHandle::open(number(&child)).unwrap().kill();
        assert!(!child.wait().unwrap().success());
        assert!(
            elsewhere::ProcessHandle::open(number(&child)).is_none()
                && elsewhere::ProcessHandle::open(nix::unistd::Pid::from_raw(0)).is_none()
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_kernel_without_pidfd_can_still_kill_an_orphan() {
    use rustix::io::Errno;
    use rustix::process::Pid;
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    assert!(linux::ProcessHandle::from_open(pid, Err(Errno::SRCH)).is_none());
    for fault in [Errno::NOSYS, Errno::PERM, Errno::MFILE] {
        assert!(matches!(linux::ProcessHandle::from_open(pid, Err(fault)), Some(linux::ProcessHandle::Pid(_))));
    }
    linux::ProcessHandle::from_open(pid, Err(Errno::NOSYS)).unwrap().kill();
    assert!(!child.wait().unwrap().success());
    assert!(linux::ProcessHandle::from_open(pid, Err(Errno::NOSYS)).is_none(), "it has exited");
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_with_brackets_does_not_shift_the_fields() {
    let stat = "7 (a) b (c)) S 1 7 7 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 4242 99 100";
    assert_eq!((linux::field(stat, 4), linux::field(stat, 22)), (Some(1), Some(4242)));
}
