//! Real processes: their groups, their pipes, their files.

use std::process::Stdio;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::kill;
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
async fn a_signal_reaches_the_grandchild_and_the_pipe_ends() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & echo $!; wait")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    let mut lines = BufReader::new(stdout.unwrap()).lines();
    let grandchild: i32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    assert!(alive(grandchild));
    child.kill().unwrap();
    assert!(!child.wait().await.unwrap().success());
    // The pipe ends when its last holder does, which is the grandchild.
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn the_rest_of_the_group_is_killed_when_the_child_has_exited() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & echo $!; exit 3")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.trim().parse::<i32>().is_ok());
}

#[tokio::test]
async fn dropping_a_child_kills_its_group() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("sleep 600 & wait")).await;
    let (_stdin, stdout, _) = child.take_pipes();
    drop(child);
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
}

#[tokio::test]
async fn standard_input_is_a_pipe_that_the_worker_closes() {
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
        spawn(&spawner, shell("grep core /proc/self/limits | tr -d a-zA-Z; umask; grep SigBlk /proc/self/status"))
            .await;
    let (_stdin, stdout, _) = child.take_pipes();
    let mut text = String::new();
    stdout.unwrap().read_to_string(&mut text).await.unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(["1", "0"].contains(&words[0]) && words[0] == words[1], "{words:?}");
    assert_eq!(&words[2..5], ["0077", "SigBlk:", "0000000000000000"]);
    child.wait().await.unwrap();
}

/// Marks the test process that runs with few rights.
const INNER: &str = "AUXOT_TEST_WITHOUT_RIGHTS";

/// Runs this test again in a process of its own, because a lowered hard limit and another user cannot be undone.
#[tokio::test]
async fn an_engine_starts_under_a_hard_core_limit_of_zero() {
    if std::env::var_os(INNER).is_some() {
        setrlimit(Resource::RLIMIT_CORE, 0, 0).unwrap();
        if nix::unistd::geteuid().is_root() {
            nix::unistd::setgid(65534.into()).unwrap();
            nix::unistd::setuid(65534.into()).unwrap();
        }
        let spawner = Spawner::start().unwrap();
        let mut child = spawn(&spawner, shell("ulimit -Hc; exit 5")).await;
        let (_stdin, stdout, _) = child.take_pipes();
        let mut text = String::new();
        stdout.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!((text.trim(), child.wait().await.unwrap().code()), ("0", Some(5)));
        return;
    }
    let name = "spawner::tests::an_engine_starts_under_a_hard_core_limit_of_zero";
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
    let answer = inner.args(["--exact", name]).env(INNER, "1").output().unwrap();
    let words = String::from_utf8_lossy(&answer.stdout);
    assert!(answer.status.success() && words.contains("1 passed"), "{words}");
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
async fn the_kernel_kills_a_child_when_the_spawner_ends() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("exec sleep 600")).await;
    drop(spawner);
    let status = tokio::time::timeout(std::time::Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[tokio::test]
async fn an_old_socket_is_removed_before_the_start_and_the_files_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let files =
        Files { socket: Some(dir.path().join("s.sock")), record: Some(dir.path().join("s.json")), ..Files::default() };
    std::fs::write(files.socket.as_ref().unwrap(), "stale").unwrap();
    let spawner = Spawner::start().unwrap();
    let child = spawner.spawn(shell("sleep 600"), files.clone()).await.unwrap().unwrap();
    assert!(!files.socket.as_ref().unwrap().exists());
    let record = Record::read(files.record.as_ref().unwrap()).unwrap();
    assert_eq!(Some(record), Record::of(child.pid()));
    spawner.remove(files.clone());
    // Requests are handled in their order: after one more child, the removal is done.
    spawn(&spawner, shell("true")).await;
    assert!(!files.record.as_ref().unwrap().exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_runs_in_an_empty_directory_that_is_made_again_after_its_removal() {
    let dir = tempfile::tempdir().unwrap();
    let home = Arc::new(RuntimeDir::create(&dir.path().join("run"), "1").unwrap());
    let spawner = Spawner::start().unwrap().within(&home);
    for _ in 0..2 {
        let mut child = spawn(&spawner, shell("pwd; ls -A")).await;
        let (_stdin, stdout, _) = child.take_pipes();
        let mut text = String::new();
        stdout.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text.trim(), home.working_dir().to_str().unwrap());
        child.wait().await.unwrap();
        std::fs::remove_dir_all(dir.path().join("run")).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn descendants_outside_the_group_are_killed_with_the_child_and_counted() {
    let spawner = Spawner::start().unwrap();
    let mark = format!("/nowhere/w-{}/1-1", std::process::id());
    let files = Files { mark: Some(mark.clone()), ..Files::default() };
    let mut child = spawner.spawn(shell("read line; exit 0"), files).await.unwrap().unwrap();
    // In another group, like a daemon. It is a child of this process, as an adopted process of the worker would be.
    let mut daemon = std::process::Command::new("sleep").arg("600").env(descendants::MARK, &mark).spawn().unwrap();
    while !descendants::has_mark(daemon.id(), |value| value == mark) {
        // Its environment can be read a moment after its start.
        std::thread::yield_now();
    }
    assert!(child.served_by(daemon.id()), "it has the mark");
    assert!(!child.served_by(std::process::id()), "it has no mark");
    let (stdin, _, _) = child.take_pipes();
    drop(stdin);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    assert_eq!(child.left_behind(), 1);
    assert!(!daemon.wait().unwrap().success());
}

#[tokio::test]
async fn a_process_of_another_run_never_gets_term() {
    let spawner = Spawner::start().unwrap();
    let mut child = spawn(&spawner, shell("exec sleep 600")).await;
    // The process of this test, which TERM would end.
    assert!(!child.served_by(std::process::id()) && child.served_by(child.pid()));
    child.terminate().unwrap();
    let status = child.wait().await.unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
}

#[tokio::test]
async fn the_server_behind_a_script_gets_term_first() {
    let spawner = Spawner::start().unwrap();
    let script = "/bin/sh -c 'trap \"exit 7\" TERM; echo $$; while :; do sleep 0.05; done'; exit $?";
    let mut child = spawn(&spawner, shell(script)).await;
    let (_stdin, stdout, _) = child.take_pipes();
    let mut lines = BufReader::new(stdout.unwrap()).lines();
    let server: u32 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    assert!(child.served_by(server));
    child.terminate().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(7), "the server's own exit status, passed on by the script");
}

#[tokio::test]
async fn a_missing_program_is_an_error_and_no_child() {
    let spawner = Spawner::start().unwrap();
    let fault = spawner.spawn(Command::new("/no/such/program"), Files::default()).await.unwrap().unwrap_err();
    assert_eq!(fault.kind(), io::ErrorKind::NotFound);
}
