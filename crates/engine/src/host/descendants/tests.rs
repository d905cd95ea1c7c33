//! Processes are found by descent or by mark, and no others.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::*;

fn sleeper(mark: Option<&str>) -> Child {
    let mut command = Command::new("sleep");
    command.arg("600").stdin(Stdio::null());
    if let Some(mark) = mark {
        command.env(MARK, mark);
    }
    let child = command.spawn().unwrap();
    while mark.is_some_and(|mark| !has_mark(child.id(), |value| value == mark)) {
        // Its environment can be read a moment after its start.
        std::thread::yield_now();
    }
    child
}

fn ends(mut child: Child) {
    assert!(!child.wait().unwrap().success());
}

#[test]
fn grandchildren_are_found() {
    let mut shell = Command::new("/bin/sh");
    let mut shell = shell.args(["-c", "sleep 600 & wait"]).process_group(0).spawn().unwrap();
    while below(shell.id()).is_empty() {
        std::thread::yield_now();
    }
    let grandchild = below(shell.id())[0];
    let all = below(std::process::id());
    assert!(all.contains(&shell.id()) && all.contains(&grandchild) && !all.contains(&std::process::id()));
    nix::sys::signal::killpg(Pid::from_raw(shell.id().cast_signed()), nix::sys::signal::Signal::SIGKILL).unwrap();
    shell.wait().unwrap();
}

#[test]
fn only_processes_with_the_mark_are_killed() {
    let (ours, mut other, mut unmarked) = (sleeper(Some("/r/w-1/1-1")), sleeper(Some("/r/w-1/1-11")), sleeper(None));
    // None of them is in this group.
    assert_eq!(end_marked("/r/w-1/1-1", Pid::from_raw(1)), 1);
    ends(ours);
    assert!(other.try_wait().unwrap().is_none() && unmarked.try_wait().unwrap().is_none());
    assert_eq!(end_marked_anywhere("/r/w-2/", &[]), 0);
    assert_eq!(end_marked_anywhere("/r/w-1/", &[]), 1);
    ends(other);
    unmarked.kill().unwrap();
    unmarked.wait().unwrap();
}

#[test]
fn a_process_in_the_group_is_killed_and_not_counted_as_having_left_it() {
    let ours = sleeper(Some("/r/w-3/1-1"));
    let group = group_of(ours.id()).unwrap();
    assert_eq!(end_marked("/r/w-3/1-1", group), 0);
    ends(ours);
}
