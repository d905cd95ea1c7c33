//! The probes against scripted answers: no false "ready", and no false progress.

use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;
use crate::process::output::Output;
use crate::state_machine::RunId;

const PROPS: &str = r#"{"default_generation_settings":{"n_ctx":512},"total_slots":2}"#;

/// Answers one connection after the other as the script says; returns the requested paths.
async fn engine(listener: &UnixListener, script: &[(u16, &str)]) -> Vec<String> {
    let mut requested = vec![];
    for (status, body) in script {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let got = socket.read(&mut head).await.unwrap();
        let words = String::from_utf8_lossy(&head[..got]).into_owned();
        requested.push(words.split(' ').nth(1).unwrap_or_default().to_owned());
        let answer =
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
    requested
}

struct Fixture {
    control: Control,
    path: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    Fixture { control: Control::new(&Endpoint::Unix(path.clone())).unwrap(), path, _dir: dir }
}

impl Fixture {
    async fn until_ready(&self, reported: watch::Receiver<ReportedState>) -> Result<Readiness, ExitClass> {
        until_ready(self.control.clone(), Endpoint::Unix(self.path.clone()), reported).await
    }
}

#[tokio::test]
async fn an_engine_that_wants_another_key_refuses_the_load() {
    for status in [401, 403] {
        let fixture = fixture();
        let listener = UnixListener::bind(&fixture.path).unwrap();
        let reported = watch::channel(ReportedState { reports: true, fraction: None, ready: true }).1;
        let script = [(503, "{}"), (status, "{}"), (status, "{}"), (status, "{}")];
        let (readiness, _) = tokio::join!(fixture.until_ready(reported), engine(&listener, &script));
        assert_eq!(readiness.unwrap_err(), ExitClass::KeyWanted);
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_reports_ready_and_never_answers_as_such_is_unresponsive() {
    let fixture = fixture();
    let listener = UnixListener::bind(&fixture.path).unwrap();
    let reported = watch::channel(ReportedState { reports: true, fraction: None, ready: true }).1;
    let begun = Instant::now();
    let script = [(404, "{}"); 10_000];
    tokio::select! {
        readiness = fixture.until_ready(reported) => assert_eq!(readiness.unwrap_err(), ExitClass::Unresponsive),
        _ = engine(&listener, &script) => panic!("it is polled for ever"),
    }
    assert!(begun.elapsed() >= READY_UNPROVED && begun.elapsed() < 2 * READY_UNPROVED, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_state_lines_health_is_polled_and_props_prove_readiness() {
    let fixture = fixture();
    let listener = UnixListener::bind(&fixture.path).unwrap();
    // The reader has ended: no state line can come.
    let reported = watch::channel(ReportedState::default()).1;
    let script = [(503, "{}"), (503, "{}"), (200, "{}"), (503, "{}"), (200, "{}"), (200, PROPS)];
    let (readiness, requested) = tokio::join!(fixture.until_ready(reported), engine(&listener, &script));
    let readiness = readiness.unwrap();
    assert_eq!((readiness.props.total_slots, readiness.server), (2, Some(std::process::id())));
    assert_eq!(requested, ["/health", "/health", "/health", "/props", "/health", "/props"]);
}

#[tokio::test]
async fn after_a_state_line_only_props_is_requested() {
    let fixture = fixture();
    let listener = UnixListener::bind(&fixture.path).unwrap();
    let (sender, reported) = watch::channel(ReportedState { reports: true, fraction: None, ready: false });
    let say = async { sender.send_modify(|reported| reported.ready = true) };
    let script = [(503, "{}"), (200, PROPS)];
    let (readiness, requested, ()) = tokio::join!(fixture.until_ready(reported), engine(&listener, &script), say);
    assert_eq!((readiness.unwrap().props.n_ctx, requested), (512, vec!["/props".to_owned(), "/props".to_owned()]));
}

#[tokio::test]
async fn output_is_progress_and_silence_is_none() {
    let printed = Arc::new(Printed::default());
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let reported = Output::start(&"m".into(), RunId(1), &printed, None, None).reported_state();
    let mut activity = Activity::new(child.id(), Arc::clone(&printed), reported, Duration::from_millis(160));
    // What the process read at its start counts, once.
    while timeout(Duration::from_millis(200), activity.next_progress()).await.is_ok() {}
    printed.push("kept only");
    assert!(timeout(Duration::from_millis(100), activity.next_progress()).await.is_err());
    printed.count(3);
    let progress = timeout(Duration::from_secs(10), activity.next_progress()).await.unwrap();
    assert_eq!(progress, Progress { fraction: None, output_only: true });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_state_that_is_reported_again_is_output_and_no_progress() {
    let (sender, reported) = watch::channel(ReportedState::default());
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let mut activity = Activity::new(child.id(), Arc::default(), reported, Duration::from_secs(3600));
    // The first check counts what the process had read before.
    while timeout(Duration::from_millis(200), activity.next_progress()).await.is_ok() {}
    let half = ReportedState { reports: true, fraction: Some(0.5), ready: false };
    sender.send(half).unwrap();
    let progress = timeout(Duration::from_secs(10), activity.next_progress()).await.unwrap();
    assert_eq!(progress, Progress { fraction: Some(0.5), output_only: false });
    sender.send(half).unwrap();
    assert!(timeout(Duration::from_millis(100), activity.next_progress()).await.is_err());
    child.kill().unwrap();
    child.wait().unwrap();
}
