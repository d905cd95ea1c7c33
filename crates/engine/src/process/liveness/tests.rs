//! The liveness check against a scripted engine and a paused clock: what is lost, when, and what is not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use auxot_llama::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::*;
use crate::usage::Claim;

const S: Duration = Duration::from_secs(1);
/// Long enough for every loss.
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

/// An engine that answers `/health` or not, and `/slots` with the text in `slots`.
struct Engine {
    control: Control,
    usage: Arc<Usage>,
    slots: Arc<Mutex<String>>,
    slot_requests: Arc<AtomicU64>,
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
    let slot_requests = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let healthy = Arc::new(AtomicBool::new(healthy));
    let (body, count, answers) = (Arc::clone(&slots), Arc::clone(&slot_requests), Arc::clone(&healthy));
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
        slot_requests,
        healthy,
        cpu_ms: Arc::default(),
        _dir: dir,
        _tasks: tasks,
    }
}

impl Engine {
    /// The time until it is lost; `None` if it never is.
    async fn lost(&self) -> Option<Duration> {
        self.lost_at(limits()).await
    }

    async fn lost_at(&self, limits: LivenessLimits) -> Option<Duration> {
        let begun = Instant::now();
        let cpu = || Some(Duration::from_millis(self.cpu_ms.load(Ordering::Relaxed)));
        timeout(EVER, until_lost(&self.control, &self.usage, cpu, limits)).await.ok()?;
        Some(begun.elapsed())
    }

    /// Uses this much processor time every second.
    async fn computing(&self, ms: u64) {
        loop {
            sleep(S).await;
            self.cpu_ms.fetch_add(ms, Ordering::Relaxed);
        }
    }
}

#[test]
fn the_worst_cases_with_the_stop_after_them_are_within_their_bounds() {
    let config = crate::Config::default();
    assert!(limits().busy_worst_case() + config.stop_again <= 15 * S, "{:?}", limits().busy_worst_case());
    assert!(limits().idle_worst_case() + config.stop_again <= 30 * S, "{:?}", limits().idle_worst_case());
}

#[tokio::test(start_paused = true)]
async fn an_idle_silent_engine_is_lost_in_time_and_one_that_answers_is_not() {
    let lost = engine(false, IDLE).lost().await.unwrap();
    assert!(lost >= limits().idle && lost <= limits().idle_worst_case(), "{lost:?}");
    let well = engine(true, IDLE);
    assert_eq!(well.lost().await, None);
    assert_eq!(well.slot_requests.load(Ordering::Relaxed), 0, "the slots of an idle engine are not requested");
}

#[tokio::test(start_paused = true)]
async fn a_busy_silent_engine_is_lost_sooner() {
    let engine = engine(false, BUSY);
    let _claim = Claim::new(&engine.usage);
    let lost = engine.lost().await.unwrap();
    // One check, and two more after it.
    let third_strike = limits().busy + limits().strikes();
    assert!(lost >= third_strike && lost < third_strike + STRIKE_PAUSE, "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn progress_during_the_last_check_counts() {
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
async fn slots_are_requested_every_two_seconds_at_most() {
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    let often = LivenessLimits { busy: Duration::from_millis(100), ..limits() };
    let lost = engine.lost_at(often).await.unwrap();
    assert!(engine.slot_requests.load(Ordering::Relaxed) <= lost.as_secs() / 2 + 1);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_listen_is_lost_although_it_computes() {
    let mut engine = engine(true, BUSY);
    engine._tasks.shutdown().await;
    let _claim = Claim::new(&engine.usage);
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() <= limits().busy_worst_case()),
        () = engine.computing(900) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_engine_that_computes_has_no_free_thread_and_is_not_lost() {
    let engine = engine(false, BUSY);
    let _claim = Claim::new(&engine.usage);
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() >= COMPUTING_FACTOR * limits().stall, "{lost:?}"),
        () = engine.computing(900) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_and_answers_health_is_lost_after_the_stall() {
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    let lost = engine.lost().await.unwrap();
    assert!(lost >= limits().stall && lost <= limits().stall + 2 * limits().busy, "{lost:?}");
    // At least two seconds apart.
    assert!(engine.slot_requests.load(Ordering::Relaxed) <= lost.as_secs() / 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_now_and_then_resets_the_strikes() {
    // It answers no check, and its request gets something just before the third strike.
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
async fn an_engine_that_computes_has_ten_times_as_long_from_its_last_token_on() {
    let engine = engine(true, BUSY);
    let claim = Claim::new(&engine.usage);
    let late = COMPUTING_FACTOR * limits().stall / 2;
    let one_token = async {
        sleep(late).await;
        claim.progress();
        engine.computing(900).await;
    };
    tokio::select! {
        lost = engine.lost() => {
            let lost = lost.unwrap();
            assert!(lost <= limits().stall + 2 * limits().busy, "idle before its token, it is lost sooner: {lost:?}");
        }
        () = one_token => {}
    }
    let computing = async {
        tokio::join!(engine.computing(900), async {
            sleep(late).await;
            claim.progress();
        })
    };
    tokio::select! {
        lost = engine.lost() => {
            let (lost, limit) = (lost.unwrap(), COMPUTING_FACTOR * limits().stall);
            assert!(lost >= late + limit && lost <= late + limit + 2 * limits().busy, "{lost:?}");
        }
        _ = computing => {}
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
async fn a_strike_is_followed_by_a_check_soon_also_after_the_request_has_ended() {
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
async fn slots_that_progress_or_are_free_are_healthy_however_long_no_token_comes() {
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
    // A slow client keeps its claim on an engine that has long finished.
    let free = engine(true, IDLE);
    let _claim = Claim::new(&free.usage);
    assert_eq!(free.lost().await, None);
}

#[tokio::test(start_paused = true)]
async fn while_tokens_come_nothing_is_checked() {
    let engine = engine(false, BUSY);
    let claim = Claim::new(&engine.usage);
    let progressing = async {
        loop {
            claim.progress();
            sleep(S).await;
        }
    };
    tokio::select! {
        lost = engine.lost() => assert_eq!(lost, None),
        () = progressing => {}
    }
    assert_eq!(engine.slot_requests.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_has_lost_a_request_is_lost_itself_after_the_stall() {
    // It sends comments, its slots are free, and a request waits for an answer.
    let engine = engine(true, IDLE);
    let claim = Claim::new(&engine.usage);
    let awaits = claim.awaits();
    let lost = engine.lost().await.unwrap();
    assert!(lost >= limits().stall && lost <= limits().stall + 2 * limits().busy, "{lost:?}");
    drop(awaits);
    assert_eq!(engine.lost().await, None, "the answer is still being read");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_waits_for_a_client_that_does_not_read_is_not_lost() {
    let engine = engine(true, BUSY);
    let claim = Claim::new(&engine.usage);
    let mut slow = claim.awaits();
    slow.hold_back(true);
    assert_eq!(engine.lost().await, None, "it cannot continue");
    let other = claim.awaits();
    assert!(engine.lost().await.is_some(), "another client does read, and gets nothing");
    drop(other);
    slow.hold_back(false);
    assert!(engine.lost().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lack_of_our_own_resources_is_no_strike() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    const INNER: &str = "AUXOT_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(INNER).is_none() {
        // In a process of its own, because other tests need descriptors.
        let name = "process::liveness::tests::a_lack_of_our_own_resources_is_no_strike";
        let mut inner = std::process::Command::new(std::env::current_exe().unwrap());
        let answer = inner.args(["--exact", name]).env(INNER, "1").output().unwrap();
        let words = String::from_utf8_lossy(&answer.stdout);
        assert!(answer.status.success() && words.contains("1 passed"), "{words}");
        return;
    }
    let engine = engine(true, BUSY);
    let _claim = Claim::new(&engine.usage);
    // Nothing can be opened any more, and no socket for a check either.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
    let restored = 2 * limits().stall;
    let come_back = async {
        sleep(restored).await;
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        std::future::pending::<()>().await;
    };
    // It hangs; the time in which no check was possible does not count.
    tokio::select! {
        lost = engine.lost() => assert!(lost.unwrap() >= restored + limits().stall - limits().busy),
        () = come_back => {}
    }
}
