//! `auxot-worker doctor` on hosts that are broken in one way each: the fault is found, with what to do.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use auxot_tests::scripted_router::{ClosedPort, policy};
use auxot_tests::{FakeNvml, Scratch, Stage, Worker, binaries};
use serde_json::Value;

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// Runs it with the settings of a worker, changed as given; an empty value removes a setting.
async fn doctor(scratch: &Scratch, router_url: &str, changes: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(binaries::program("auxot-worker"));
    command.arg("doctor").args(arguments).env_clear().env("COLUMNS", "120");
    for (name, value) in Worker::command(scratch, router_url).get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    for (name, value) in changes {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap()
}

/// The findings, and the exit code.
async fn findings(scratch: &Scratch, router_url: &str, changes: &[(&str, &str)]) -> (Vec<Value>, Option<i32>) {
    let output = doctor(scratch, router_url, changes, &["--json"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(Worker::KEY), "{text}");
    (serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text:?}")), output.status.code())
}

/// Asserts that one finding of the area has this verdict, a text with this part, and exactly this remedy.
fn has(findings: &[Value], area: &str, verdict: &str, text: &str, remedy: &str) {
    let is_it = |finding: &&Value| {
        finding["area"] == area
            && finding["verdict"] == verdict
            && finding["text"].as_str().is_some_and(|found| found.contains(text))
            && finding["remedy"].as_str().unwrap_or_default() == remedy
    };
    assert!(findings.iter().any(|finding| is_it(&finding)), "no {verdict} {area} {text:?} {remedy:?} in {findings:#?}");
}

/// A host without a fault but that no router listens.
fn host() -> (Scratch, ClosedPort) {
    let scratch = Scratch::new();
    scratch.fake_model(MODEL_FILE, "");
    (scratch, ClosedPort::anywhere())
}

#[tokio::test]
async fn the_engine_is_missing_or_is_none() {
    let (scratch, port) = host();
    let (found, code) = findings(&scratch, &port.url(), &[("AUXOT_LLAMA_BINARY", "/nonexistent/llama-server")]).await;
    has(
        &found,
        "engine",
        "bad",
        "cannot find the engine /nonexistent/llama-server",
        "install llama-server, or set AUXOT_LLAMA_BINARY to one",
    );
    assert_eq!(code, Some(1));
    let (found, code) = findings(&scratch, &port.url(), &[("AUXOT_LLAMA_BINARY", "/bin/true")]).await;
    has(
        &found,
        "engine",
        "bad",
        "cannot use /bin/true as engine",
        "install llama-server, or set AUXOT_LLAMA_BINARY to one",
    );
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn models_are_missing_damaged_or_not_those_of_the_list() {
    let port = ClosedPort::anywhere();
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.models()).unwrap();
    let (found, _) = findings(&scratch, &port.url(), &[]).await;
    has(&found, "models", "bad", "no model that can be served", "put GGUF files there, or set AUXOT_MODELS_DIR");
    scratch.fake_model(MODEL_FILE, "");
    std::fs::write(scratch.models().join("half.gguf"), b"GGUF\x03\0\0\0").unwrap();
    let (found, _) = findings(&scratch, &port.url(), &[("AUXOT_GPU_AUTOLOAD_MODELS", "other-q8_0")]).await;
    has(&found, "models", "good", "1 can be served", "");
    has(&found, "models", "warning", "half.gguf", "copy or download it again, or remove it");
    has(&found, "models", "bad", "cannot find model other-q8_0", "correct AUXOT_GPU_AUTOLOAD_MODELS, or add the model");
}

#[tokio::test]
async fn the_router_is_away_refuses_the_key_or_accepts_it() {
    let (scratch, port) = host();
    let (found, code) = findings(&scratch, &port.url(), &[]).await;
    has(&found, "router", "bad", "cannot reach ws://", "check AUXOT_ROUTER_URL, the network, and that the router runs");
    assert_eq!(code, Some(1));
    let mut router = port.listen();
    let url = router.url();
    let refusing = async {
        let mut link = router.link().await;
        link.hello().await;
        link.send_text(r#"{"type":"hello_ack","success":false,"error":"invalid GPU key"}"#).await;
        link
    };
    let ((found, _), _link) = tokio::join!(findings(&scratch, &url, &[]), refusing);
    has(
        &found,
        "router",
        "bad",
        "refuses the worker key: invalid GPU key",
        "create a worker key there and set AUXOT_GPU_KEY",
    );
    let accepted = auxot_tests::scripted_router::ack("doctor", &policy("tiny-chat", "Q4_K_M", 2048, 2));
    let ((found, code), _link) = tokio::join!(findings(&scratch, &url, &[]), router.greeted(&accepted));
    has(&found, "router", "good", "accepts this worker", "");
    assert_eq!(code, Some(0), "{found:#?}");
    let (found, code) = findings(&scratch, &url, &[("AUXOT_GPU_KEY", "")]).await;
    has(&found, "router", "bad", "no worker key is set", "set AUXOT_ROUTER_URL and AUXOT_GPU_KEY");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn a_port_is_taken() {
    let (scratch, port) = host();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    let gateway = format!("127.0.0.1:{number}");
    let changes = [("AUXOT_METRICS_PORT", &*number), ("AUXOT_GATEWAY_ADDR", &*gateway)];
    let (found, _) = findings(&scratch, &port.url(), &changes).await;
    has(
        &found,
        "metrics",
        "warning",
        &format!("cannot listen on 127.0.0.1:{number}"),
        "set another one in AUXOT_METRICS_PORT",
    );
    has(
        &found,
        "gateway",
        "bad",
        &format!("cannot listen on 127.0.0.1:{number}"),
        "set another one in AUXOT_GATEWAY_ADDR",
    );
}

#[tokio::test]
async fn the_control_group_has_no_room() {
    let (scratch, port) = host();
    let (sys, proc) = (scratch.join("sys"), scratch.join("proc"));
    std::fs::create_dir_all(sys.join("fs/cgroup/unit")).unwrap();
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("self/cgroup"), "0::/unit\n").unwrap();
    std::fs::write(sys.join("fs/cgroup/unit/memory.max"), (600_u64 << 20).to_string()).unwrap();
    std::fs::write(sys.join("fs/cgroup/unit/memory.current"), (300_u64 << 20).to_string()).unwrap();
    let roots = [("AUXOT_GPU__SYSFS_ROOT", sys.to_str().unwrap()), ("AUXOT_GPU__PROC_ROOT", proc.to_str().unwrap())];
    let (found, code) = findings(&scratch, &port.url(), &roots).await;
    let remedy = "raise MemoryMax= of the unit or the memory limit of the container, or end other processes in it";
    has(&found, "limits", "bad", "the control group leaves 300 MiB of 600 MiB", remedy);
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn the_control_group_has_no_room_for_tasks() {
    let (scratch, port) = host();
    let (sys, proc) = (scratch.join("sys"), scratch.join("proc"));
    std::fs::create_dir_all(sys.join("fs/cgroup/unit")).unwrap();
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::write(proc.join("self/cgroup"), "0::/unit\n").unwrap();
    std::fs::write(sys.join("fs/cgroup/unit/pids.max"), "100\n").unwrap();
    let roots = [("AUXOT_GPU__SYSFS_ROOT", sys.to_str().unwrap()), ("AUXOT_GPU__PROC_ROOT", proc.to_str().unwrap())];
    for (now, free, verdict) in [("90", "10", "bad"), ("0", "100", "warning")] {
        std::fs::write(sys.join("fs/cgroup/unit/pids.current"), now).unwrap();
        let (found, _) = findings(&scratch, &port.url(), &roots).await;
        let text = format!("the control group leaves {free} of 100 processes and threads");
        has(&found, "limits", verdict, &text, "raise TasksMax= of the unit or the pids limit of the container");
    }
}

#[tokio::test]
async fn no_time_server_keeps_the_clock() {
    let (scratch, port) = host();
    let bin = scratch.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for (answer, verdict, remedy) in
        [("no", "warning", "switch it on (`timedatectl set-ntp true`, or chrony)"), ("yes", "good", "")]
    {
        let program = bin.join("timedatectl");
        std::fs::write(&program, format!("#!/bin/sh\necho {answer}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (found, _) = findings(&scratch, &port.url(), &[("PATH", &path)]).await;
        has(&found, "clock", verdict, "", remedy);
    }
}

#[tokio::test]
async fn the_driver_cannot_be_read() {
    let (scratch, port) = host();
    std::fs::write(scratch.join("libnvidia-ml.so.1"), "no library").unwrap();
    let library = scratch.join("libnvidia-ml.so.1");
    let (found, _) = findings(&scratch, &port.url(), &[("AUXOT_NVML_PATH", library.to_str().unwrap())]).await;
    let remedy = "check that driver and library have the same version (`nvidia-smi`), that this user may open /dev/nvidia*, \
                  and AUXOT_NVML_PATH";
    has(&found, "devices", "warning", "cannot use the NVIDIA driver: ", remedy);
    let driver = FakeNvml::new(scratch.path());
    driver.set(&format!("gpu {} 0 NVIDIA RTX 4090\nmute 0\n", 24_u64 << 30));
    let library = driver.library().to_str().unwrap().to_owned();
    let (found, _) = findings(&scratch, &port.url(), &[("AUXOT_NVML_PATH", &library)]).await;
    let remedy = "its driver tells no memory: check that this user may open the device and that driver and library fit";
    has(&found, "devices", "warning", "memory unknown", remedy);
}

#[tokio::test]
async fn the_disk_is_full() {
    let (scratch, port) = host();
    // A file system without free space that every Linux host has.
    let (found, code) = findings(&scratch, &port.url(), &[("AUXOT_ROUTER__STATE_DIR", "/proc/auxot")]).await;
    has(&found, "state", "bad", "0 B free in /proc", "free some space");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn the_running_worker_has_no_metrics_port() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let number = taken.local_addr().unwrap().port().to_string();
    let mut command = Worker::command(&stage.scratch, &stage.router.url());
    command.env("AUXOT_METRICS_PORT", &number).env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
    let _worker = auxot_tests::Program::start(command);
    stage.reports.next("ready", DEADLINE).await;
    let (found, _) = findings(&stage.scratch, &stage.router.url(), &[("AUXOT_METRICS_PORT", &number)]).await;
    let remedy = "end the program that has the port, or set another one in AUXOT_METRICS_PORT";
    has(&found, "metrics", "warning", "tries again every few seconds", remedy);
}

#[tokio::test]
async fn a_runtime_directory_that_others_can_enter_is_refused() {
    let (scratch, port) = host();
    let open = scratch.join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (found, _) = findings(&scratch, &port.url(), &[("AUXOT_RUNTIME_DIR", open.to_str().unwrap())]).await;
    has(
        &found,
        "engine",
        "bad",
        "its mode is 755, so others can enter it",
        "set AUXOT_RUNTIME_DIR to a folder that only this user can enter",
    );
}

#[tokio::test]
async fn a_host_without_faults_and_with_a_running_worker_is_called_so() {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, "");
    let worker = stage.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)]).await;
    let _link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    stage.reports.next("ready", DEADLINE).await;
    let (found, code) = findings(&stage.scratch, &stage.router.url(), &[]).await;
    has(&found, "worker", "good", &format!("runs with pid {}", worker.program.pid()), "");
    has(&found, "router", "good", "the running worker is connected", "");
    has(&found, "engine", "good", "runs on CUDA0 and ROCm0, listens on sockets, has no dry run", "");
    assert_eq!(code, Some(0), "{found:#?}");
    let output = doctor(&stage.scratch, &stage.router.url(), &[], &[]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("✓ router   the running worker is connected"), "{text}");
    assert!(
        text.lines().last().is_some_and(|line| line.contains("worker can serve") || line == "Nothing is wrong."),
        "{text}"
    );
}
