//! Whole lives with real processes: a shell script stands for the engine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::host::system;
use crate::{Config, EngineHandle, ExitClass, Host, NotReady, Spec, State};

/// What the script says of itself; after this comes what it does as an engine.
const HEAD: &str = "#!/bin/sh
case $1 in
--version) echo 'version: 6123 (abc1234)' >&2; exit 0;;
--help) printf '%s\\n' '--model FNAME' '--parallel N' '--host HOST  an address, or a path that ends with .sock'; exit 0;;
esac
";

struct House {
    host: Host,
    drivers: JoinSet<()>,
    dir: TempDir,
}

async fn house(script: &str) -> House {
    house_with(script, Config::default()).await
}

async fn house_with(script: &str, config: Config) -> House {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("engine");
    std::fs::write(&binary, format!("{HEAD}{script}\n")).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let runtime_dir = Some(dir.path().join("run"));
    let host = Host::open(Config { binary, runtime_dir, ..config }).await.unwrap();
    House { host, drivers: JoinSet::new(), dir }
}

impl House {
    fn engine(&mut self) -> EngineHandle {
        let spec = Spec {
            model: "m".into(),
            file: "/models/m.gguf".into(),
            files: Vec::new(),
            mmproj: None,
            task: crate::Task::Chat,
            slots: 1,
            ctx_per_slot: None,
            layout: vec![],
            kv_type: None,
            extra_args: vec![],
            env: vec![],
        };
        let (handle, driver) = self.host.create(spec);
        self.drivers.spawn(driver);
        handle
    }
}

/// Waits until the child has said this.
async fn says(handle: &EngineHandle, word: &str) {
    let said = async {
        while !handle.tail().iter().any(|line| line == word) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), said).await.unwrap();
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_failed_load_is_told_with_its_reason_and_the_last_lines() {
    let mut house = house("echo 'loading' >&2; echo \"unknown model architecture: 'x'\" >&2; exit 1").await;
    let handle = house.engine();
    handle.start();
    let Err(NotReady::Failed(cause)) = handle.ready().await else { panic!() };
    assert_eq!((cause.class, cause.code), (ExitClass::UnknownArchitecture, Some(1)));
    assert_eq!(cause.lines, ["loading", "unknown model architecture: 'x'"]);
    handle.stopped().await;
    assert!(matches!(handle.status().borrow().state, State::Failed { .. }));
}

#[tokio::test]
async fn a_loading_child_is_stopped_by_term() {
    let mut house = house("echo here >&2; exec sleep 600").await;
    let handle = house.engine();
    handle.start();
    says(&handle, "here").await;
    let pid = handle.status().wait_for(|status| status.pid.is_some()).await.unwrap().pid.unwrap();
    assert_eq!(files(&house.dir.path().join("run")), ["1-1.json"]);
    handle.stop(std::time::Duration::ZERO);
    handle.stopped().await;
    assert_eq!(system::process_start(pid), None);
    assert!(handle.status().borrow().pid.is_none());
}

#[tokio::test]
async fn a_stop_before_the_process_is_there_still_ends_it() {
    let mut house = house("exec sleep 600").await;
    let handle = house.engine();
    handle.start();
    handle.stop(std::time::Duration::ZERO);
    handle.stopped().await;
    assert!(matches!(handle.ready().await, Err(NotReady::Stopped)));
}

#[tokio::test]
async fn child_mode_is_told_to_end_on_its_standard_input() {
    let mut house =
        house("trap '' TERM; echo here >&2; read line; [ \"$line\" = cmd_router_to_child:exit ] && exit 0; sleep 600")
            .await;
    let handle = house.engine();
    handle.start();
    says(&handle, "here").await;
    handle.stop(std::time::Duration::ZERO);
    handle.stopped().await;
    assert!(matches!(handle.status().borrow().state, State::Stopped));
}

#[tokio::test]
async fn a_child_that_ignores_everything_is_killed_with_all_its_group() {
    let ladder = std::time::Duration::from_millis(50);
    let config = Config { stop_grace: ladder, stop_again: ladder, ..Config::default() };
    let script = "trap '' TERM; sleep 600 & echo grandchild $! >&2; echo here >&2; while :; do sleep 600; done";
    let mut house = house_with(script, config).await;
    let handle = house.engine();
    handle.start();
    says(&handle, "here").await;
    let grandchild = handle.tail()[0].strip_prefix("grandchild ").unwrap().to_owned();
    handle.stop(std::time::Duration::ZERO);
    handle.stopped().await;
    // Killed with the others, it may be a moment longer on its way out; who was the child of a dead child is reaped by
    // somebody else, and until then it is a zombie.
    let gone = async {
        while std::fs::read_to_string(format!("/proc/{grandchild}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.unwrap();
}

#[tokio::test]
async fn a_silent_load_is_ended_and_named() {
    let config = Config { load_stall: std::time::Duration::from_millis(200), restart_budget: 0, ..Config::default() };
    let mut house = house_with("exec sleep 600", config).await;
    let handle = house.engine();
    handle.start();
    let Err(NotReady::Failed(cause)) = handle.ready().await else { panic!() };
    assert_eq!((cause.class, cause.signal), (ExitClass::Stalled, Some(15)));
}

#[tokio::test]
async fn nothing_is_left_when_the_last_driver_has_ended() {
    let mut house = house("exec sleep 600").await;
    let handle = house.engine();
    handle.start();
    handle.status().wait_for(|status| status.pid.is_some()).await.unwrap();
    drop(handle);
    let House { host, mut drivers, dir } = house;
    drop(host);
    while let Some(end) = drivers.join_next().await {
        end.unwrap();
    }
    assert!(files(&dir.path().join("run")).is_empty());
}
