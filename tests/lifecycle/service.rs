//! The worker under a service manager: it gets ready, reloads, the stop, and signs of life.

use std::os::unix::fs::PermissionsExt;

use auxot_tests::scripted_router::policy;
use auxot_tests::{Stage, Worker};
use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// The socket of a service manager, and what has come.
struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// Waits for a message with this line.
    async fn receive(&self, line: &str) -> String {
        let reading = async {
            let mut bytes = vec![0; 4096];
            loop {
                let length = self.0.recv(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if text.lines().any(|found| found.starts_with(line)) {
                    return text;
                }
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("no {line:?}"))
    }
}

#[tokio::test]
async fn a_service_manager_gets_ready_status_reloads_signs_of_life_and_the_stop() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let path = stage.scratch.join("notify.sock");
    let manager = ServiceManager(UnixDatagram::bind(&path).unwrap());
    let settings =
        [("AUXOT_GPU_AUTOLOAD_MODELS", MODEL), ("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let mut worker: Worker = stage.worker(&settings).await;
    manager.receive("READY=1").await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    let start = stage.next_start().await;
    assert_eq!(start.variable("NOTIFY_SOCKET"), None, "an engine does not speak for the worker");
    manager.receive("STATUS=1 of 1 models ready").await;
    manager.receive("WATCHDOG=1").await;
    worker.program.signal(Signal::SIGHUP);
    let reload = manager.receive("RELOADING=1").await;
    assert!(reload.contains("MONOTONIC_USEC="), "{reload}");
    manager.receive("READY=1").await;
    worker.program.signal(Signal::SIGTERM);
    manager.receive("STOPPING=1").await;
    assert_eq!(worker.exit_code().await, Some(0));
}

#[tokio::test]
async fn an_installation_waits_until_the_router_has_the_worker() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let _worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    // The worker is the service that the service manager says it has started.
    let bin = stage.scratch.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("systemctl"), "#!/bin/sh\necho active\n").unwrap();
    std::fs::set_permissions(bin.join("systemctl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = tokio::process::Command::from(Worker::command(&stage.scratch, &stage.router.url()));
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).args(["install", "--user"]);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}{errors}");
    assert!(said.contains("the router ws://") && said.contains(" has the worker"), "{said}{errors}");
}
