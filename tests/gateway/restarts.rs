//! Restarts of a worker whose service manager keeps its sockets.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use nix::sys::signal::Signal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::client::Client;
use super::{DEADLINE, MODEL, MODEL_FILE, Setup, body, command, started};

/// A service manager's end of the socket that services tell their state on.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// Waits for a socket that a service gives away, and its name; or for one that is to be forgotten.
    fn receive(&self) -> (Option<OwnedFd>, String) {
        self.0.set_read_timeout(Some(DEADLINE)).unwrap();
        loop {
            let (mut bytes, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let parts = &mut [IoSliceMut::new(&mut bytes)];
            let received = recvmsg(&self.0, parts, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
            let socket = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
                _ => None,
            });
            let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
            if let Some(name) = text.lines().find_map(|line| line.strip_prefix("FDNAME=")) {
                assert!(text.contains(if socket.is_some() { "FDSTORE=1" } else { "FDSTOREREMOVE=1" }), "{text}");
                return (socket, name.to_owned());
            }
        }
    }
}

/// A worker that gets a socket as systemd passes it.
fn with_socket(setup: &Setup, socket: &OwnedFd, worker: &Command) -> Command {
    // Children inherit this duplicate.
    let socket = nix::unistd::dup(socket).unwrap();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(r#"exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@""#).arg(socket.as_raw_fd().to_string());
    shell.arg(worker.get_program()).args(worker.get_args()).current_dir(setup.scratch.path()).env_clear();
    shell.envs(worker.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // As long as the test runs.
    std::mem::forget(socket);
    shell
}

fn setup() -> (Setup, ServiceManager) {
    let setup = Setup::new();
    setup.put(MODEL_FILE, "");
    let manager = ServiceManager(UnixDatagram::bind(setup.scratch.join("notify.sock")).unwrap());
    (setup, manager)
}

fn worker(setup: &Setup, address: &str) -> Command {
    let mut worker = command(&setup.scratch);
    worker.env("AUXOT_GATEWAY_ADDR", address).env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    worker.env("NOTIFY_SOCKET", setup.scratch.join("notify.sock"));
    worker
}

async fn chat(address: &str) -> Client {
    Client::post(address, "/v1/chat/completions", &body("hi", "")).await
}

#[tokio::test]
async fn a_client_that_connects_between_two_workers_is_answered_by_the_next() {
    let (setup, manager) = setup();
    let (mut first, address) = started(worker(&setup, "127.0.0.1:0")).await;
    let (socket, name) = manager.receive();
    assert_eq!(name, format!("listen-{}", address.replace(':', "-")));
    assert_eq!(chat(&address).await.whole().await.status, 200);
    first.program.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));
    let mut waiting = chat(&address).await;
    let (_second, listens) = started(with_socket(&setup, &socket.unwrap(), &worker(&setup, &address))).await;
    assert_eq!(listens, address);
    assert_eq!(waiting.whole().await.status, 200);
}

#[tokio::test]
async fn a_kept_socket_of_an_address_that_is_no_longer_set_is_closed() {
    let (setup, manager) = setup();
    let (mut first, address) = started(worker(&setup, "127.0.0.1:0")).await;
    let (socket, name) = manager.receive();
    first.program.signal(Signal::SIGTERM);
    assert_eq!(first.exit_code().await, Some(0));
    let socket = socket.unwrap();
    let (_second, listens) = started(with_socket(&setup, &socket, &worker(&setup, "127.0.0.1:0"))).await;
    assert_ne!(listens, address);
    assert!(manager.receive().0.is_some());
    let (forgotten, of) = manager.receive();
    assert_eq!((forgotten.is_none(), of), (true, name));
    // The manager's duplicate is of no use any more.
    assert!(std::net::TcpStream::connect(&address).is_err());
}
