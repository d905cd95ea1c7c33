//! The driver with scripted processes and a paused clock: no real process, no waiting.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant as Clock;

use super::*;
use crate::exit_reason::ExitClass;
use crate::handle::EngineHandle;
use crate::scripted::{self, Script};

const S: Duration = Duration::from_secs(1);

struct Fixture {
    handle: EngineHandle,
    script: Script,
    tasks: JoinSet<()>,
}

fn fixture() -> Fixture {
    let (handle, driver, script) = scripted::engine("m", &crate::Config::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    Fixture { handle, script, tasks }
}

impl Fixture {
    /// Waits for a state.
    async fn state(&self, name: &str) -> Status {
        self.handle.status().wait_for(|status| status.state.name() == name).await.unwrap().clone()
    }

    /// Waits until a run is ready.
    async fn ready(&self, run: u64) -> Status {
        let is_ready = |status: &Status| matches!(&status.state, State::Ready(ready) if ready.run == RunId(run));
        self.handle.status().wait_for(is_ready).await.unwrap().clone()
    }

    async fn served(&self) {
        self.handle.start();
        self.script.emit(ProcessEvent::Started { pid: 7 });
        self.script.become_ready(1, 1);
        self.ready(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_started_engine_becomes_ready_and_another_start_changes_nothing() {
    let fixture = fixture();
    fixture.served().await;
    fixture.handle.start();
    let status = fixture.state("ready").await;
    assert_eq!((status.run, status.pid, status.restarts), (RunId(1), Some(7), 0));
    assert_eq!(fixture.script.calls(), ["spawn 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_term_at_once_and_its_exit_is_no_failure() {
    let fixture = fixture();
    fixture.served().await;
    // The owner has drained the engine; a claim that is left does not delay the stop.
    let _claim = fixture.handle.claim();
    let begun = Clock::now();
    fixture.handle.stop();
    fixture.state("stopping").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    fixture.script.exit(ExitClass::UnexpectedExit);
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    let status = fixture.handle.status().borrow().clone();
    assert!(matches!(status.state, State::Stopped) && status.last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_follows_a_start_ends_its_process_before_it_counts_as_stopped() {
    let fixture = fixture();
    fixture.script.exit_on_signal();
    fixture.handle.start();
    fixture.handle.stop();
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "Terminate 1", "drop 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_nothing_ends_has_failed_and_keeps_its_pid_until_it_exits() {
    let fixture = fixture();
    fixture.served().await;
    let begun = Clock::now();
    fixture.handle.stop();
    // The process ignores TERM, the second TERM and KILL.
    let status = fixture.state("failed").await;
    assert_eq!((status.pid, status.last_error.unwrap().class), (Some(7), ExitClass::Unkillable));
    assert_eq!(begun.elapsed().as_secs(), 3 + 2 + 5);
    assert_eq!(fixture.script.calls(), ["spawn 1", "Terminate 1", "Terminate 1", "Kill 1"]);
    fixture.script.exit(ExitClass::Signal);
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["drop 1"]);
    assert_eq!(fixture.handle.status().borrow().pid, None, "only now is its memory free");
}

#[tokio::test(start_paused = true)]
async fn the_first_crash_is_followed_by_a_new_process_at_once() {
    let fixture = fixture();
    fixture.handle.start();
    fixture.script.exit(ExitClass::Signal);
    fixture.script.become_ready(1, 1);
    let begun = Clock::now();
    let status = fixture.ready(2).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!((status.restarts, status.last_error.unwrap().lines.len()), (1, 1));
    assert_eq!(fixture.script.calls(), ["spawn 1", "drop 1", "spawn 2"]);
}

#[tokio::test(start_paused = true)]
async fn the_second_crash_backs_off_and_publishes_until_when() {
    let fixture = fixture();
    fixture.handle.start();
    fixture.script.exit(ExitClass::Signal);
    fixture.script.exit(ExitClass::Signal);
    let State::BackingOff { until, .. } = fixture.state("backing_off").await.state else { panic!() };
    fixture.script.become_ready(1, 1);
    fixture.ready(3).await;
    assert!(Clock::now().into_std() >= until);
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_the_backoff_at_once() {
    let fixture = fixture();
    fixture.handle.start();
    fixture.script.exit(ExitClass::Signal);
    fixture.script.exit(ExitClass::Signal);
    fixture.state("backing_off").await;
    let begun = Clock::now();
    fixture.handle.reset();
    fixture.script.become_ready(1, 1);
    fixture.ready(3).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_fails_at_once_until_a_reset() {
    let fixture = fixture();
    fixture.handle.start();
    fixture.script.exit(ExitClass::BadFile);
    let State::Failed { cause } = fixture.state("failed").await.state else { panic!() };
    assert_eq!(cause.class, ExitClass::BadFile);
    fixture.handle.start();
    // Commands are handled in their order, so the start has been handled here.
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "drop 1"]);
    fixture.handle.reset();
    fixture.handle.start();
    fixture.script.become_ready(1, 1);
    fixture.ready(2).await;
}

#[tokio::test(start_paused = true)]
async fn only_silence_ends_a_load() {
    let fixture = fixture();
    fixture.handle.start();
    for _ in 0..5 {
        tokio::time::advance(100 * S).await;
        fixture.script.emit(ProcessEvent::Progress { fraction: Some(0.5), output_only: false });
        let mut status = fixture.handle.status();
        let has_progress = |status: &Status| matches!(status.state, State::Starting { progress: Some(_) });
        status.wait_for(has_progress).await.unwrap();
        // A command makes sure that the driver has handled the event before it.
        fixture.handle.start();
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.script.calls(), ["spawn 1"]);
    let begun = Clock::now();
    fixture.state("stopping").await;
    assert!(begun.elapsed() >= 119 * S && begun.elapsed() <= 121 * S, "{:?}", begun.elapsed());
    fixture.script.exit(ExitClass::Signal);
    fixture.state("starting").await;
    let status = fixture.handle.status().borrow().clone();
    assert_eq!(status.last_error.unwrap().class, ExitClass::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_does_not_respond_is_replaced() {
    let fixture = fixture();
    fixture.served().await;
    fixture.script.emit(ProcessEvent::LivenessLost);
    fixture.state("stopping").await;
    fixture.script.exit(ExitClass::Signal);
    fixture.script.become_ready(1, 1);
    let status = fixture.ready(2).await;
    assert_eq!(status.last_error.unwrap().class, ExitClass::Unresponsive);
}

#[tokio::test(start_paused = true)]
async fn a_kill_skips_term() {
    let fixture = fixture();
    fixture.served().await;
    fixture.handle.kill();
    fixture.script.exit(ExitClass::Signal);
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "Kill 1", "drop 1"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_process_and_ends_the_driver() {
    let fixture = fixture();
    fixture.served().await;
    let Fixture { handle, script, mut tasks } = fixture;
    let status = handle.status();
    drop(handle);
    script.exit(ExitClass::UnexpectedExit);
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(script.calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert_eq!(status.borrow().state.name(), "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_driver_takes_its_process_along_and_publishes_that_it_stopped() {
    let mut fixture = fixture();
    fixture.served().await;
    fixture.tasks.shutdown().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "drop 1"]);
    assert_eq!(fixture.handle.status().borrow().state.name(), "stopped");
    fixture.handle.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_is_published_as_a_failure_at_once() {
    let mut fixture = fixture();
    fixture.served().await;
    fixture.script.panic();
    let status = fixture.state("failed").await;
    assert!(fixture.tasks.join_next().await.unwrap().unwrap_err().is_panic());
    assert_eq!((status.pid, status.last_error.unwrap().class), (None, ExitClass::DriverFailed));
    fixture.handle.stopped().await;
    assert_eq!(fixture.script.calls(), ["spawn 1", "drop 1"]);
}
