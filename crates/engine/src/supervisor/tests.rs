//! The driver with scripted children and a paused clock: no process, no waiting.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant as Clock;

use super::*;
use crate::exit_reason::ExitClass;
use crate::handle::EngineHandle;
use crate::scripted::{self, Script};

const S: Duration = Duration::from_secs(1);

struct Theatre {
    handle: EngineHandle,
    script: Script,
    tasks: JoinSet<()>,
}

fn theatre() -> Theatre {
    let (handle, driver, script) = scripted::engine("m", &crate::Config::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver);
    Theatre { handle, script, tasks }
}

impl Theatre {
    async fn state(&self, name: &str) -> Status {
        self.handle.status().wait_for(|status| status.state.name() == name).await.unwrap().clone()
    }

    async fn served(&self) {
        self.handle.start();
        self.script.emit(ProcessEvent::Started { pid: 7 });
        self.script.become_ready(1, 1);
        assert_eq!(self.handle.ready().await.unwrap().run, RunId(1));
    }
}

#[tokio::test(start_paused = true)]
async fn start_then_ready_waits_for_that_very_start() {
    let theatre = theatre();
    assert!(matches!(theatre.handle.ready().await, Err(NotReady::Stopped)));
    theatre.served().await;
    let status = theatre.state("ready").await;
    assert_eq!((status.run, status.pid, status.restarts), (RunId(1), Some(7), 0));
    assert_eq!(theatre.script.calls(), ["spawn 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_last_claim_and_no_longer() {
    let theatre = theatre();
    theatre.served().await;
    let (one, two) = (theatre.handle.claim(), theatre.handle.claim());
    let begun = Clock::now();
    theatre.handle.stop(30 * S);
    theatre.state("draining").await;
    drop(one);
    assert_eq!(theatre.handle.claims(), 1);
    drop(two);
    theatre.state("stopping").await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    theatre.script.exit(ExitClass::UnexpectedExit);
    theatre.handle.stopped().await;
    assert_eq!(theatre.script.calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert!(theatre.handle.status().borrow().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_never_given_up_costs_the_drain_time_and_then_the_ladder_goes_on() {
    let theatre = theatre();
    theatre.served().await;
    let _held = theatre.handle.claim();
    let begun = Clock::now();
    theatre.handle.stop(30 * S);
    theatre.state("stopping").await;
    assert_eq!(begun.elapsed().as_secs(), 30);
    // Nothing the child does: TERM, TERM again, KILL, and then it is shown as what it is, process and all.
    let status = theatre.state("failed").await;
    assert_eq!((status.pid, status.last_error.unwrap().class), (Some(7), ExitClass::Unkillable));
    assert_eq!(begun.elapsed().as_secs(), 30 + 3 + 2 + 5);
    assert_eq!(theatre.script.calls(), ["spawn 1", "Terminate 1", "Terminate 1", "Kill 1"]);
    assert!(matches!(theatre.handle.ready().await, Err(NotReady::Failed(_))));
    theatre.script.exit(ExitClass::Signal);
    theatre.handle.stopped().await;
    assert_eq!(theatre.script.calls(), ["drop 1"]);
    assert_eq!(theatre.handle.status().borrow().pid, None, "only now is its memory free");
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_followed_by_a_new_process_at_once_and_waiters_keep_waiting() {
    let theatre = theatre();
    theatre.handle.start();
    theatre.script.exit(ExitClass::Signal);
    theatre.script.become_ready(1, 1);
    let begun = Clock::now();
    assert_eq!(theatre.handle.ready().await.unwrap().run, RunId(2));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let status = theatre.state("ready").await;
    assert_eq!((status.restarts, status.last_error.unwrap().lines.len()), (1, 1));
    assert_eq!(theatre.script.calls(), ["spawn 1", "drop 1", "spawn 2"]);
}

#[tokio::test(start_paused = true)]
async fn the_second_crash_backs_off_and_tells_until_when() {
    let theatre = theatre();
    theatre.handle.start();
    theatre.script.exit(ExitClass::Signal);
    theatre.script.exit(ExitClass::Signal);
    let until = match theatre.handle.ready().await {
        Err(NotReady::BackingOff { until }) => until,
        other => panic!("{other:?}"),
    };
    theatre.script.become_ready(1, 1);
    theatre.state("ready").await;
    assert!(Clock::now().into_std() >= until);
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_fails_at_once_until_somebody_resets() {
    let theatre = theatre();
    theatre.handle.start();
    theatre.script.exit(ExitClass::BadFile);
    let Err(NotReady::Failed(cause)) = theatre.handle.ready().await else { panic!() };
    assert_eq!(cause.class, ExitClass::BadFile);
    theatre.handle.start();
    assert!(matches!(theatre.handle.ready().await, Err(NotReady::Failed(_))));
    theatre.handle.reset();
    theatre.handle.start();
    theatre.script.become_ready(1, 1);
    assert_eq!(theatre.handle.ready().await.unwrap().run, RunId(2));
}

#[tokio::test(start_paused = true)]
async fn only_silence_ends_a_load() {
    let theatre = theatre();
    theatre.handle.start();
    for _ in 0..5 {
        tokio::time::advance(100 * S).await;
        theatre.script.emit(ProcessEvent::Progress { fraction: Some(0.5), output_only: false });
        let mut status = theatre.handle.status();
        let told = |status: &Status| matches!(status.state, State::Starting { progress: Some(_) });
        status.wait_for(told).await.unwrap();
        // Asking the driver makes sure that it has seen all that was told before.
        theatre.handle.start();
        tokio::task::yield_now().await;
    }
    assert_eq!(theatre.script.calls(), ["spawn 1"]);
    let begun = Clock::now();
    theatre.state("stopping").await;
    assert!(begun.elapsed() >= 119 * S && begun.elapsed() <= 121 * S, "{:?}", begun.elapsed());
    theatre.script.exit(ExitClass::Signal);
    theatre.state("starting").await;
    let status = theatre.handle.status().borrow().clone();
    assert_eq!(status.last_error.unwrap().class, ExitClass::Stalled);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_answers_nothing_is_replaced() {
    let theatre = theatre();
    theatre.served().await;
    theatre.script.emit(ProcessEvent::LivenessLost);
    theatre.state("stopping").await;
    theatre.script.exit(ExitClass::Signal);
    theatre.script.become_ready(1, 1);
    let status = theatre.state("ready").await;
    assert_eq!((status.run, status.last_error.unwrap().class), (RunId(2), ExitClass::Unresponsive));
}

#[tokio::test(start_paused = true)]
async fn kill_skips_the_ladder() {
    let theatre = theatre();
    theatre.served().await;
    let _held = theatre.handle.claim();
    theatre.handle.stop(30 * S);
    theatre.handle.kill();
    theatre.script.exit(ExitClass::Signal);
    theatre.handle.stopped().await;
    assert_eq!(theatre.script.calls(), ["spawn 1", "Kill 1", "drop 1"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_gone_stops_the_child_and_ends_the_driver() {
    let Theatre { handle, script, mut tasks } = theatre();
    let status = handle.status();
    handle.start();
    script.become_ready(1, 1);
    handle.ready().await.unwrap();
    drop(handle);
    script.exit(ExitClass::UnexpectedExit);
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(script.calls(), ["spawn 1", "Terminate 1", "drop 1"]);
    assert_eq!(status.borrow().state.name(), "stopped");
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_cut_off_takes_its_child_along_and_nobody_believes_it_serves() {
    let mut theatre = theatre();
    theatre.served().await;
    theatre.tasks.shutdown().await;
    assert_eq!(theatre.script.calls(), ["spawn 1", "drop 1"]);
    assert_eq!(theatre.handle.status().borrow().state.name(), "stopped");
    assert!(matches!(theatre.handle.ready().await, Err(NotReady::ShuttingDown)));
    theatre.handle.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_panics_is_told_as_a_failure_at_once() {
    let mut theatre = theatre();
    theatre.served().await;
    theatre.script.panic();
    let status = theatre.state("failed").await;
    assert!(theatre.tasks.join_next().await.unwrap().unwrap_err().is_panic());
    assert_eq!((status.pid, status.last_error.unwrap().class), (None, ExitClass::DriverFailed));
    assert!(matches!(theatre.handle.ready().await, Err(NotReady::ShuttingDown)));
    assert_eq!(theatre.script.calls(), ["spawn 1", "drop 1"]);
}
