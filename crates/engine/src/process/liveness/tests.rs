//! The watcher against a scripted engine and a stopped clock: what is lost, when, and what is not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use auxot_llama::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::*;
use crate::usage::Claim;

const S: Duration = Duration::from_secs(1);
/// Long enough for everything to be lost that can be.
const EVER: Duration = Duration::from_secs(3600);

fn limits() -> LivenessLimits {
    let config = crate::Config::default();
    LivenessLimits {
        idle: config.liveness_interval,
        busy: config.liveness_busy_interval,
        timeout: config.liveness_timeout,
        stall: config.liveness_stall,
    }
}

/// An engine that answers `/health` or not, and `/slots` with what is in `slots`.
struct Engine {
    control: Control,
    usage: Arc<Usage>,
    slots: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    healthy: Arc<AtomicBool>,
    cpu_ms: Arc<AtomicU64>,
    _dir: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

const BUSY: &str = r#"[{"id":0,"n_ctx":512,"is_processing":true,"id_task":3,"n_prompt_tokens":900}]"#;
const IDLE: &str = r#"[{"id":0,"n_ctx":512,"is_processing":false}]"#;

fn engine(healthy: bool, slots: &str) -> Engine {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let slots = Arc::new(Mutex::new(slots.to_owned()));
    let asked = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let healthy = Arc::new(AtomicBool::new(healthy));
    let (body, count, answers) = (Arc::clone(&slots), Arc::clone(&asked), Arc::clone(&healthy));
    tasks.spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if !answers.load(Ordering::Relaxed) {
                silent.push(socket);
                continue;
            }
            let mut head = vec![0; 4096];
            let got = socket.read(&mut head).await.unwrap();
            let of_slots = head[..got].starts_with(b"GET /slots");
            count.fetch_add(u64::from(of_slots), Ordering::Relaxed);
            let body = if of_slots { body.lock().unwrap().clone() } else { "{}".to_owned() };
            let head = format!("HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            socket.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    Engine {
        control: Control::new(&Endpoint::Unix(path)).unwrap(),
        usage: Arc::default(),
        slots,
        asked,
        healthy,
        cpu_ms: Arc::default(),
        _dir: dir,
        _tasks: tasks,
    }
}

impl Engine {
    /// How long until it is lost; `None` if it never is.
    async fn lost(&self) -> Option<Duration> {
        self.lost_at(limits()).await
    }

    async fn lost_at(&self, limits: LivenessLimits) -> Option<Duration> {
        let begun = Instant::now();
        let cpu = || Some(Duration::from_millis(self.cpu_ms.load(Ordering::Relaxed)));
        timeout(EVER, until_lost(&self.control, &self.usage, cpu, limits)).await.ok()?;
        Some(begun.elapsed())
    }

    /// Burns this much processor time every second.
    async fn burning(&self, ms: u64) {
        loop {
            sleep(S).await;
            self.cpu_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_worst_cases_with_the_ladder_after_them_keep_the_promise() {
    let config = crate::Config::default();
    assert!(limits().busy_worst_case() + config.stop_again <= 15 * S, "{:?}", limits().busy_worst_case());
    assert!(limits().idle_worst_case() + config.stop_again <= 30 * S, "{:?}", limits().idle_worst_case());
}

#[tokio::test(start_paused = true)]
async fn an_idle_child_that_says_nothing_is_lost_in_time_and_one_that_answers_never_is() {
    let lost = engine(false, IDLE).lost().await.unwrap();
    assert!(lost >= limits().idle && lost <= limits().idle_worst_case(), "{lost:?}");
    let well = engine(true, IDLE);
    assert_eq!(well.lost().await, None);
    assert_eq!(well.asked.load(Ordering::Relaxed), 0, "the slots of an idle child are nobody's business");
}

#[tokio::test(start_paused = true)]
async fn a_busy_child_that_says_nothing_is_lost_sooner() {
    let engine = engine(false, BUSY);
    let _claim = Claim::new(&engine.usage);
    let lost = engine.lost().await.unwrap();
    // One look, and two more after it.
    let third_strike = limits().busy + limits().strikes();
    assert!(lost >= third_strike && lost < third_strike + STRIKE_PAUSE, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_the_last_look_counts() {
    let engine = engine(false, BUSY);
    let claim = Claim::new(&engine.usage);
    let third_strike = limits().busy + limits().strikes();
    let just_in_time = async {
        sleep(third_strike - limits().timeout / 2).await;
        claim.progress();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() > third_strike + limits().busy),
        () = just_in_time => {}
    }
}

#[tokio::test(start_paused = true)]
async fn slots_are_asked_for_every_two_seconds_at_most() {
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    let often = LivenessLimits { busy: Duration::from_millis(100), ..limits() };
    let lost = engine.lost_at(often).await.unwrap();
    assert!(engine.asked.load(Ordering::Relaxed) <= lost.as_secs() / 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_listens_work_is_no_excuse() {
    let mut engine = engine(true, BUSY);
    engine._tasks.shutdown().await;
    let _claim = Claim::new(&engine.usage);
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() <= limits().busy_worst_case()),
        () = engine.burning(900) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_child_at_work_has_no_thread_to_answer_and_is_not_lost() {
    let engine = engine(false, BUSY);
    let _claim = Claim::new(&engine.usage);
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() >= COMPUTING_FACTOR * limits().stall, "{lost:?}"),
        () = engine.burning(900) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_child_with_a_healthy_front_is_lost_after_the_stall() {
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    let lost = engine.lost().await.unwrap();
    assert!(lost >= limits().stall && lost <= limits().stall + 2 * limits().busy, "{lost:?}");
    // At two seconds or more from each other.
    assert!(engine.asked.load(Ordering::Relaxed) <= lost.as_secs() / 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_now_and_then_is_a_pulse_and_makes_up_for_strikes() {
    // It answers nothing, and its user gets something just before the third strike.
    let engine = engine(false, BUSY);
    let claim = Claim::new(&engine.usage);
    let slow = async {
        loop {
            sleep(2 * limits().busy + 2 * limits().timeout).await;
            claim.progress();
        }
    };
    tokio::select! {
        lost = engine.lost() => assert_eq!(lost, None),
        () = slow => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_child_that_computes_is_given_ten_times_as_long_from_its_last_token_on() {
    let engine = engine(true, BUSY);
    let claim = Claim::new(&engine.usage);
    let late = COMPUTING_FACTOR * limits().stall / 2;
    let one_token = async {
        sleep(late).await;
        claim.progress();
        engine.burning(900).await;
    };
    tokio::select! {
        lost = engine.lost() => {
            let lost = lost.unwrap();
            assert!(lost <= limits().stall + 2 * limits().busy, "idle before its token, it is lost sooner: {lost:?}");
        }
        () = one_token => {}
    }
    let burning = async {
        tokio::join!(engine.burning(900), async {
            sleep(late).await;
            claim.progress();
        })
    };
    tokio::select! {
        lost = engine.lost() => {
            let (lost, limit) = (lost.unwrap(), COMPUTING_FACTOR * limits().stall);
            assert!(lost >= late + limit && lost <= late + limit + 2 * limits().busy, "{lost:?}");
        }
        _ = burning => {}
    }
}

#[tokio::test(start_paused = true)]
async fn strikes_count_in_a_row_only() {
    let engine = engine(true, IDLE);
    let now_and_then = async {
        loop {
            // Two strikes and no third one, since each takes a time-out and a second.
            sleep(3 * limits().idle).await;
            engine.healthy.store(false, Ordering::Relaxed);
            sleep(2 * limits().timeout + Duration::from_millis(1500)).await;
            engine.healthy.store(true, Ordering::Relaxed);
        }
    };
    tokio::select! {
        lost = engine.lost() => assert_eq!(lost, None),
        () = now_and_then => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_strike_is_followed_up_soon_also_when_the_user_has_gone() {
    let engine = engine(false, BUSY);
    let claim = Claim::new(&engine.usage);
    let leaves = async {
        sleep(limits().busy + limits().timeout + Duration::from_millis(500)).await;
        drop(claim);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() <= limits().busy_worst_case()),
        () = leaves => {}
    }
}

#[tokio::test(start_paused = true)]
async fn slots_that_move_or_are_free_are_well_however_long_nothing_is_heard() {
    let moving = engine(true, BUSY);
    let _claim = Claim::new(&moving.usage);
    let moves = async {
        for processed in 0.. {
            *moving.slots.lock().unwrap() =
                BUSY.replace("900", &format!("900,\"n_prompt_tokens_processed\":{processed}"));
            sleep(10 * S).await;
        }
    };
    tokio::select! {
        lost = moving.lost() => assert_eq!(lost, None),
        () = moves => {}
    }
    // A reader that is slow holds a claim of an engine that has long finished.
    let free = engine(true, IDLE);
    let _claim = Claim::new(&free.usage);
    assert_eq!(free.lost().await, None);
}

#[tokio::test(start_paused = true)]
async fn while_tokens_come_nothing_is_asked() {
    let engine = engine(false, BUSY);
    let claim = Claim::new(&engine.usage);
    let beating = async {
        loop {
            claim.progress();
            sleep(S).await;
        }
    };
    tokio::select! {
        lost = engine.lost() => assert_eq!(lost, None),
        () = beating => {}
    }
    assert_eq!(engine.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_has_lost_a_request_is_lost_itself_after_the_stall() {
    // Its front sends comments, its slots are free, and somebody waits for an answer.
    let engine = engine(true, IDLE);
    let claim = Claim::new(&engine.usage);
    let awaits = claim.awaits();
    let lost = engine.lost().await.unwrap();
    assert!(lost >= limits().stall && lost <= limits().stall + 2 * limits().busy, "{lost:?}");
    drop(awaits);
    assert_eq!(engine.lost().await, None, "what came is still being read");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stands_still_because_its_user_does_not_read_is_not_lost() {
    let engine = engine(true, BUSY);
    let claim = Claim::new(&engine.usage);
    let mut slow = claim.awaits();
    slow.hold_back(true);
    assert_eq!(engine.lost().await, None, "it cannot go on");
    let other = claim.awaits();
    assert!(engine.lost().await.is_some(), "another one does read, and gets nothing");
    drop(other);
    slow.hold_back(false);
    assert!(engine.lost().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn want_of_our_own_means_is_no_strike() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const INNER: &str = "AUXOT_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(INNER).is_none() {
        // In a process of its own, whose other tests need descriptors.
        let name = "process::liveness::tests::want_of_our_own_means_is_no_strike";
        let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
        let answer = inner.args(["--exact", name]).env(INNER, "1").output().unwrap();
        let words = String::from_utf8_lossy(&answer.stdout);
        assert!(answer.status.success() && words.contains("1 passed"), "{words}");
        return;
    }
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    // Nothing can be opened any more, and above all no socket to ask it.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
    let restored = 2 * limits().stall;
    let come_back = async {
        sleep(restored).await;
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        std::future::pending::<()>().await;
    };
    // It hangs, as is seen from now on, and not for as long as nobody could look.
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() >= restored + limits().stall - limits().busy),
        () = come_back => {}
    }
}
