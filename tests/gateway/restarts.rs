//! Restarts of a worker in whose place a service manager listens.

use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use super::client::Client;
use super::{MODEL, MODEL_FILE, Setup, body, command, started};

/// A worker that gets the socket as systemd passes it.
fn with_socket(setup: &Setup, socket: &OwnedFd, address: &str) -> Command {
    let mut worker = command(&setup.scratch);
    worker.env("AUXOT_GATEWAY_ADDR", address).env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(r#"exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#).arg(socket.as_raw_fd().to_string());
    shell.arg(worker.get_program()).args(worker.get_args()).current_dir(setup.scratch.path()).env_clear();
    shell.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[tokio::test]
async fn a_client_that_connects_between_two_workers_is_answered_by_the_next() {
    let setup = Setup::new();
    setup.put(MODEL_FILE, "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Children inherit a duplicate.
    let socket = nix::unistd::dup(&listener).unwrap();
    let (mut first, listens) = started(with_socket(&setup, &socket, &address)).await;
    assert_eq!(listens, address);
    let chat = async || Client::post(&address, "/v1/chat/completions", &body("hi", "")).await;
    assert_eq!(chat().await.whole().await.status, 200);
    first.program.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));
    let mut waiting = chat().await;
    let (_second, _) = started(with_socket(&setup, &socket, &address)).await;
    assert_eq!(waiting.whole().await.status, 200);
}
