//! Real processes: their groups, their pipes, their files.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

async fn spawn(spawner: &Spawner, command: Command) -> Child {
    spawner.spawn(command, Files::default()).await.unwrap().unwrap()
}

fn alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

#[tokio::test]
async fn a_signal_reaches_the_grandchild_and_the_end_is_heard() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & echo $!; wait")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    let mut lines = BufReader::new(stdout.unwrap()).lines();
    let grandchild: i32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    assert!(alive(grandchild));
    child.signal_group(Signal::SIGKILL).unwrap();
    assert!(!child.wait().await.unwrap().success());
    // The pipe ends when its last holder does, which is the grandchild.
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn what_a_dead_child_leaves_in_its_group_goes_with_it() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & echo $!; exit 3")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.trim().parse::<i32>().is_ok());
}

#[tokio::test]
async fn dropping_a_child_ends_its_group() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & wait")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    drop(child);
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
}

#[tokio::test]
async fn standard_input_is_a_pipe_that_ends_with_us() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("cat; exit 4")).await;
    let (stdin, _stdout, _) = child.take_pipes();
    drop(stdin);
    assert_eq!(child.wait().await.unwrap().code(), Some(4));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_inherits_no_core_no_blocked_signal_and_a_private_umask() {
    let spawner = Spawner::start().unwrap();
    let mut child =
        spawn(&spawner, shell("grep core /proc/self/limits | tr -d a-zA-Z; umask; grep SigBlk /proc/self/status; ps -o pgid= -p $$ || true")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(&words[..5], ["1", "1", "0077", "SigBlk:", "0000000000000000"]);
    child.wait().await.unwrap();
}

#[tokio::test]
async fn a_child_that_aborts_leaves_no_core() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("kill -ABRT $$")).await;
    let status = child.wait().await.unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_kernel_is_told_to_end_a_child_with_the_spawner() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("exec sleep 600")).await;
    drop(spawner);
    let status = tokio::time::timeout(std::time::Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[tokio::test]
async fn files_are_made_ready_before_and_removed_after() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files { socket: Some(dir.path().join("s.sock")), record: Some(dir.path().join("s.json")) };
    std::fs::write(files.socket.as_ref().unwrap(), "stale").unwrap();
    let spawner = Spawner::start().unwrap();
    let child = spawner.spawn(shell("sleep 600"), files.clone()).await.unwrap().unwrap();
    assert!(!files.socket.as_ref().unwrap().exists());
    let record = Record::read(files.record.as_ref().unwrap()).unwrap();
    assert_eq!(Some(record), Record::of(child.pid()));
    spawner.remove(files.clone());
    // Orders are done in turn: after one more child, the removal is done.
    spawn(&spawner, shell("true")).await;
    assert!(!files.record.as_ref().unwrap().exists());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_and_no_child() {
    let spawner = Spawner::start().unwrap();
    let fault = spawner.spawn(Command::new("/no/such/program"), Files::default()).await.unwrap().unwrap_err();
    assert_eq!(fault.kind(), io::ErrorKind::NotFound);
}
