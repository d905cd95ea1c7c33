//! Whole runs with real processes: a shell script takes the place of the engine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::host::system;
use crate::{Config, EngineHandle, ExitClass, ExitReport, Host, Spec, State};

/// Far away; no test waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

/// What the script reports about itself. `say` writes a word where the test reads it. What the script does as an engine
/// follows.
const HEAD: &str = "#!/bin/sh
case $1 in
--version) echo 'version: 6123 (abc1234)' >&2; exit 0;;
--help) printf '%s\\n' '--model FNAME' '--parallel N' '--host HOST  an address, or a path that ends with .sock'; exit 0;;
esac
say() { echo \"$@\" >> \"$0.said\"; }
";

struct Fixture {
    host: Host,
    drivers: JoinSet<()>,
    dir: TempDir,
}

async fn fixture(script: &str) -> Fixture {
    fixture_with(script, Config::default()).await
}

async fn fixture_with(script: &str, config: Config) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("engine");
    std::fs::write(&binary, format!("{HEAD}{script}\n")).unwrap();
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
    let runtime_dir = Some(dir.path().join("run"));
    let host = Host::open(Config { binary, runtime_dir, ..config }).await.unwrap();
    Fixture { host, drivers: JoinSet::new(), dir }
}

impl Fixture {
    /// Starts an engine.
    fn start(&mut self) -> EngineHandle {
        let spec = Spec {
            model: "m".into(),
            file: "/models/m.gguf".into(),
            files: Vec::new(),
            mmproj: None,
            task: crate::Task::Chat,
            slots: 1,
            ctx_per_slot: 4096,
            checkpoint_step: 8192,
            layout: vec![],
            kv_type: None,
            extra_args: vec![],
            env: vec![],
        };
        let (handle, driver) = self.host.create(spec);
        self.drivers.spawn(driver);
        handle.start();
        handle
    }

    /// Waits until the script has said a line that starts like this, and returns the rest of it.
    async fn said(&self, start: &str) -> String {
        let path = self.dir.path().join("engine.said");
        until(|| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'))
                .find_map(|line| line.strip_prefix(start).map(str::to_owned))
        })
        .await
    }
}

async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match found() {
                Some(found) => return found,
                None => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, found).await.unwrap()
}

async fn failure(handle: &EngineHandle) -> Arc<ExitReport> {
    let mut status = handle.status();
    let failed = status.wait_for(|status| matches!(status.state, State::Failed { .. })).await.unwrap();
    let State::Failed { cause } = &failed.state else { unreachable!() };
    Arc::clone(cause)
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
async fn a_failed_load_is_reported_with_its_reason_and_the_last_lines() {
    let mut fixture = fixture("echo 'loading' >&2; echo \"unknown model architecture: 'x'\" >&2; exit 1").await;
    let handle = fixture.start();
    let cause = failure(&handle).await;
    assert_eq!((cause.class, cause.code), (ExitClass::UnknownArchitecture, Some(1)));
    assert_eq!(cause.lines, ["loading", "unknown model architecture: 'x'"]);
    handle.stopped().await;
    assert!(matches!(handle.status().borrow().state, State::Failed { .. }));
}

#[tokio::test]
async fn a_loading_process_is_stopped_by_term() {
    let mut fixture = fixture("say here; exec sleep 600").await;
    let handle = fixture.start();
    fixture.said("here").await;
    let pid = handle.status().wait_for(|status| status.pid.is_some()).await.unwrap().pid.unwrap();
    assert_eq!(files(&fixture.dir.path().join("run")), ["1-1.json"]);
    handle.stop();
    handle.stopped().await;
    assert_eq!(system::process_start(pid), None);
    assert!(handle.status().borrow().pid.is_none());
}

#[tokio::test]
async fn a_stop_before_the_process_exists_still_ends_it() {
    let mut fixture = fixture("exec sleep 600").await;
    let handle = fixture.start();
    handle.stop();
    handle.stopped().await;
    assert!(matches!(handle.status().borrow().state, State::Stopped));
}

#[tokio::test]
async fn an_engine_in_child_mode_gets_the_exit_line_on_its_standard_input() {
    let mut fixture =
        fixture("trap '' TERM; say here; read line; [ \"$line\" = cmd_router_to_child:exit ] && exit 0; sleep 600")
            .await;
    let handle = fixture.start();
    fixture.said("here").await;
    handle.stop();
    handle.stopped().await;
    assert!(matches!(handle.status().borrow().state, State::Stopped));
}

#[tokio::test]
async fn a_process_that_ignores_term_is_killed_with_its_whole_group() {
    let grace = Duration::from_millis(50);
    let config = Config { stop_grace: grace, stop_again: grace, ..Config::default() };
    let script = "trap '' TERM; sleep 600 & say grandchild $!; while :; do sleep 600; done";
    let mut fixture = fixture_with(script, config).await;
    let handle = fixture.start();
    let grandchild = fixture.said("grandchild ").await;
    handle.stop();
    handle.stopped().await;
    // It can exit a moment later than the others. The child of an exited process is reaped by another one, and until
    // then it is a zombie.
    let runs = || std::fs::read_to_string(format!("/proc/{grandchild}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    until(|| (!runs()).then_some(())).await;
}

#[tokio::test]
async fn a_silent_load_is_stopped_and_reported_as_stalled() {
    let config = Config { load_stall: Duration::from_millis(200), restart_budget: 0, ..Config::default() };
    let mut fixture = fixture_with("exec sleep 600", config).await;
    let handle = fixture.start();
    let cause = failure(&handle).await;
    assert_eq!((cause.class, cause.signal), (ExitClass::Stalled, Some(15)));
}

#[tokio::test]
async fn nothing_is_left_when_the_last_driver_has_ended() {
    let mut fixture = fixture("exec sleep 600").await;
    let handle = fixture.start();
    handle.status().wait_for(|status| status.pid.is_some()).await.unwrap();
    drop(handle);
    let Fixture { host, mut drivers, dir } = fixture;
    drop(host);
    while let Some(end) = drivers.join_next().await {
        end.unwrap();
    }
    // The thread that starts processes removes their files.
    until(|| files(&dir.path().join("run")).is_empty().then_some(())).await;
}
