//! One cell: a fault at a moment, its outcome, and the rules that hold in every cell.
//!
//! - Each job has one ending for each dispatch; a whole answer equals the known one, word for word;
//!   no text arrives twice (`Ledger::faults`).
//! - Afterwards a new job gets its whole answer, from this worker or, if it has exited, from the next one.
//! - Of all processes, the worker and one engine are left; the worker holds no more descriptors than when it was ready
//!   and idle; its runtime folder has one socket and one record.
//! - A worker that exits leaves no process and no file.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use auxot_tests::leftovers::{self, Descriptors};
use auxot_tests::scripted_router::Entry;
use tokio::sync::OnceCell;

use crate::DEADLINE;
use crate::actor::Actor;
use crate::expected::Expected;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::stage::Stage;

/// The pause between two new jobs when the first was refused.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A worker that is ready at this moment has never been idle; it is compared with the descriptors of an idle worker.
static PRISTINE: OnceCell<Descriptors> = OnceCell::const_new();

/// Runs a cell; returns the time until a new job had its answer. Panics with each broken rule.
pub(crate) async fn play(fault: Fault, actor: Actor, moment: Moment, expected: Expected) -> Duration {
    let mut stage = moment.reach(fault, actor).await;
    let mut before = Before::note(&mut stage, moment);
    fault.inject(&mut stage).await;
    stage.release();
    if expected == Expected::Refused {
        stage.line_or_end(&["to=\"failed\""]).await;
        everyone_ends(&mut stage).await;
        stage.repair();
        before.restored = Instant::now();
    }
    let ends = moment == Moment::Draining || matches!(expected, Expected::Drained | Expected::GivenBack);
    let recovered = match ends {
        true => by_the_next_worker(&mut stage, &before, (fault, moment), expected).await,
        false => by_this_worker(&mut stage, &before, fault, expected).await,
    };
    nothing_left(&mut stage).await;
    recovered
}

async fn by_this_worker(stage: &mut Stage, before: &Before, fault: Fault, expected: Expected) -> Duration {
    everyone_ends(stage).await;
    check_outcome(stage, before, fault, expected);
    let recovered = fresh_answer(stage, before.restored).await;
    same_or_another(stage, before, expected);
    recovered
}

async fn by_the_next_worker(
    stage: &mut Stage,
    before: &Before,
    (fault, moment): (Fault, Moment),
    expected: Expected,
) -> Duration {
    worker_ends(stage, fault, moment).await;
    stage.repair();
    check_outcome(stage, before, fault, expected);
    stage.next_worker().await;
    everyone_ends(stage).await;
    if expected == Expected::GivenBack {
        all_complete(stage);
    }
    fresh_answer(stage, before.restored).await
}

/// The state when the fault was injected.
struct Before {
    /// When the removed part was restored; the time of the fault if nothing was removed.
    restored: Instant,
    engine: Option<u32>,
    /// Jobs of which text had arrived.
    with_text: HashSet<String>,
    links: usize,
}

impl Before {
    fn note(stage: &mut Stage, moment: Moment) -> Before {
        let with_text = stage.router.ledger.jobs().filter(|job| job.has_text()).map(|job| job.id.clone()).collect();
        // While it backs off, a running engine is one that is about to abort.
        let engine = stage.engine().filter(|_| moment != Moment::BackingOff);
        stage.log_mark = stage.worker.program.lines().len();
        Before { restored: Instant::now(), engine, with_text, links: stage.router.links() }
    }
}

async fn everyone_ends(stage: &mut Stage) {
    stage.router.until("the end of every job", |router| router.ledger.open().next().is_none()).await;
}

async fn worker_ends(stage: &mut Stage, fault: Fault, moment: Moment) {
    let code = stage.exit_code().await;
    let wanted = match (fault, moment) {
        (Fault::WorkerKill, _) => None,
        // A second signal ends it at once, which is not a clean exit.
        (Fault::WorkerTerm, Moment::Draining) => Some(1),
        _ => Some(0),
    };
    assert_eq!(code, wanted, "the worker's exit status");
    rule(leftovers::processes(stage.scratch.path(), &[], DEADLINE).await);
    if fault != Fault::WorkerKill {
        rule(leftovers::runtime_folder(&stage.scratch.join("run"), 0, Duration::ZERO).await);
    }
    // The worker's last messages may still be unread.
    stage.router.until("the end of every link", |router| router.serving() == 0).await;
}

#[track_caller]
fn check_outcome(stage: &Stage, before: &Before, fault: Fault, expected: Expected) {
    let faults = stage.router.ledger.faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for job in stage.router.ledger.jobs() {
        let had_text = before.with_text.contains(&job.id);
        let wrong = match expected {
            Expected::CutShort | Expected::Refused if had_text => {
                fails_with(job, "stopped in the middle of the answer")
            }
            Expected::Refused => fails_with(job, fault.refusal()),
            Expected::GivenBack => (!job.is_open()).then(|| "an ending of a job that is given back".to_owned()),
            _ => completes(job),
        };
        assert!(wrong.is_none(), "job {}: {}", job.id, wrong.unwrap_or_default());
    }
}

#[track_caller]
fn all_complete(stage: &Stage) {
    for job in stage.router.ledger.jobs() {
        let fault = completes(job);
        assert!(fault.is_none(), "job {}, given to the next worker: {}", job.id, fault.unwrap_or_default());
    }
}

fn completes(job: &Entry) -> Option<String> {
    (!job.is_complete()).then(|| format!("its answer is not whole: {:?}", job.error()))
}

fn fails_with(job: &Entry, words: &str) -> Option<String> {
    let said = job.error().unwrap_or_default();
    (!said.contains(words)).then(|| format!("{words:?} is expected, it ended {:?}", job.endings))
}

/// Dispatches new jobs until one gets its whole answer; returns the time since `since`.
async fn fresh_answer(stage: &mut Stage, since: Instant) -> Duration {
    let begun = Instant::now();
    loop {
        let id = stage.give();
        everyone_ends(stage).await;
        if stage.router.ledger.job(&id).is_complete() {
            break;
        }
        assert!(
            begun.elapsed() < DEADLINE,
            "not healthy again after {DEADLINE:?}: {:?}",
            stage.router.ledger.job(&id).error()
        );
        stage.router.until_within(ASK_AGAIN, |_| false).await;
    }
    let faults = stage.router.ledger.faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    since.elapsed()
}

#[track_caller]
fn same_or_another(stage: &mut Stage, before: &Before, expected: Expected) {
    let engine = stage.engine();
    if let Some(earlier) = before.engine {
        let same = engine == Some(earlier);
        assert_eq!(same, expected.keeps_engine(), "engine {earlier} before, {engine:?} now: {expected:?}");
    }
    // A worker without a usable model may disconnect until it has one.
    if before.links > 0 && expected != Expected::Refused {
        let links = stage.router.links() - before.links;
        let wanted = usize::from(expected == Expected::Resumed);
        let log = || stage.worker.lines_with("link ").join("\n");
        assert_eq!(links, wanted, "new links, where it is {}:\n{}", expected.word(), log());
    }
}

/// Checks the rules about leftovers.
async fn nothing_left(stage: &mut Stage) {
    let idle = match stage.idle.clone() {
        Some(idle) => idle,
        None => PRISTINE.get_or_init(|| Box::pin(Stage::pristine())).await.clone(),
    };
    let (worker, engine) = (stage.worker.program.pid(), stage.engine().unwrap_or_default());
    let (scratch, router) = (&stage.scratch, &mut stage.router);
    let looking = async {
        leftovers::descriptors(worker, &idle, DEADLINE).await?;
        leftovers::processes(scratch.path(), &[worker, engine], DEADLINE).await?;
        leftovers::runtime_folder(&scratch.join("run"), 1, DEADLINE).await
    };
    rule(router.beside(looking).await);
}

#[track_caller]
fn rule(outcome: Result<(), String>) {
    assert!(outcome.is_ok(), "{}", outcome.err().unwrap_or_default());
}
