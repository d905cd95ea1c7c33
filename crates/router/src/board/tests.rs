//! The rules of the board one by one, then against random orders of events.

mod choice;
mod extensions;
mod providers;
mod waiting;

use std::collections::{HashMap, HashSet};

use auxot_protocol::{Capabilities, Heartbeat, ModelReport, ModelState};
use proptest::prelude::*;

use super::RequiredExtension;
use super::ranking::{Ranking, Ranks};
use super::{Board, BoardEffect, BoardLimits, Conversation, JobId, JobRequirements, JobState, WorkerId};
use auxot_llama::PathTask;

const LIMITS: BoardLimits = BoardLimits { max_waiting: 100, max_attempts: 3, default_slots: 2 };

fn worker(model: &str, slots: u32) -> Capabilities {
    Capabilities { model: model.into(), total_slots: Some(slots), ..Capabilities::default() }
}

fn report(name: &str, state: ModelState, slots: Option<u32>) -> ModelReport {
    serde_json::from_value(serde_json::json!({ "name": name, "state": state, "slots": slots })).unwrap()
}

fn many(models: Vec<ModelReport>) -> Capabilities {
    Capabilities { model: models[0].name.clone(), total_slots: Some(1), models, ..Capabilities::default() }
}

fn needs(model: Option<&str>) -> JobRequirements {
    JobRequirements { model: model.map(str::to_owned), task: PathTask::Chat, extension: RequiredExtension::None }
}

/// Asserts that the ranks are those of the workers as they are now.
fn expect_ranks(board: &Board) {
    let mut ranking = Ranking::default();
    for worker in board.workers.values() {
        assert_eq!(worker.ranks(), &worker.present_ranks());
        ranking.replace(&Ranks::default(), worker.ranks());
    }
    assert_eq!(board.ranking, ranking);
}

/// Submits a job and returns the worker that gets it.
fn submit(board: &mut Board, job: &str, model: Option<&str>) -> Option<(WorkerId, Option<String>)> {
    board.submit(job.into(), needs(model), Conversation::default(), None);
    dispatched(board, job)
}

fn dispatched(board: &mut Board, id: &str) -> Option<(WorkerId, Option<String>)> {
    board.effects().into_iter().find_map(|effect| match effect {
        BoardEffect::Dispatch { worker, job, model, .. } if &*job == id => Some((worker, model)),
        _ => None,
    })
}

#[test]
fn the_worker_with_the_smallest_share_of_used_slots_gets_the_job() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 2));
    board.join(2, &worker("m", 4));
    let got: Vec<_> = (0..6).map(|n| submit(&mut board, &format!("j{n}"), Some("m")).unwrap().0).collect();
    assert_eq!(got.iter().filter(|&&id| id == 1).count(), 2, "{got:?}");
    assert_eq!(submit(&mut board, "j6", Some("m")), None, "all slots are taken");
    assert!(board.finish(1, got.iter().position(|&id| id == 1).map(|n| format!("j{n}")).unwrap().as_str(), true));
    assert_eq!(dispatched(&mut board, "j6"), Some((1, None)));
}

#[test]
fn slots_count_by_model_where_models_are_listed() {
    let mut board = Board::new(LIMITS);
    board.join(1, &many(vec![report("a", ModelState::Ready, Some(1)), report("b", ModelState::Ready, Some(2))]));
    assert_eq!(submit(&mut board, "1", Some("A")), Some((1, Some("a".into()))));
    assert_eq!(submit(&mut board, "2", None), None, "no model named means the primary one, which is full");
    assert_eq!(submit(&mut board, "3", Some("b")), Some((1, Some("b".into()))));
    assert_eq!(submit(&mut board, "4", Some("b")), Some((1, Some("b".into()))));
    assert_eq!(board.summary().total_slots, 3);
}

#[test]
fn a_model_ready_elsewhere_is_waited_for_and_one_ready_nowhere_is_loaded() {
    let mut board = Board::new(LIMITS);
    board.join(1, &many(vec![report("a", ModelState::Stopped, None)]));
    board.join(2, &many(vec![report("a", ModelState::Ready, Some(1))]));
    assert_eq!(submit(&mut board, "1", Some("a")), Some((2, Some("a".into()))));
    assert_eq!(submit(&mut board, "2", Some("a")), None);
    board.leave(2);
    assert!(dispatched(&mut board, "1").is_some(), "now the stopped model is the best choice");
}

#[test]
fn a_model_that_failed_on_every_worker_is_reported() {
    let mut board = Board::new(LIMITS);
    board.join(1, &many(vec![report("a", ModelState::Failed, None), report("b", ModelState::Ready, None)]));
    assert!(board.failed_everywhere("a") && !board.failed_everywhere("b") && !board.failed_everywhere("unknown"));
    board.heartbeat(1, Heartbeat { models: vec![report("a", ModelState::Ready, None)], ..Heartbeat::default() });
    assert!(!board.failed_everywhere("a"));
}

#[test]
fn a_silent_worker_loses_its_jobs_to_another_and_gets_a_cancel() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.mark_silent(1);
    assert_eq!(board.state("j"), Some(JobState::Waiting));
    assert_eq!((board.summary().workers, board.summary().silent), (0, 1));
    assert!(!board.is_running_on(1, "j"));
    board.join(2, &worker("m", 1));
    let effects = board.effects();
    assert_eq!(effects[0], BoardEffect::Cancel { worker: 1, job: "j".into() });
    assert_eq!(
        effects[1],
        BoardEffect::Dispatch { worker: 2, job: "j".into(), model: None, reported_model: "m".into(), attempt: 2 }
    );
}

#[test]
fn a_silent_worker_that_returns_keeps_its_job_if_no_other_has_it() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.mark_silent(1);
    assert!(board.heartbeat(1, Heartbeat::default()));
    assert_eq!(
        board.effects(),
        [BoardEffect::Dispatch { worker: 1, job: "j".into(), model: None, reported_model: "m".into(), attempt: 2 }]
    );
    assert!(!board.heartbeat(1, Heartbeat::default()), "it is alive already");
}

#[test]
fn a_whole_answer_is_taken_while_the_job_waits_and_an_error_is_not() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.mark_silent(1);
    assert!(!board.finish(1, "j", false));
    assert!(board.finish(1, "j", true));
    assert!(!board.finish(1, "j", true), "once");
}

#[test]
fn a_job_that_loses_every_worker_is_given_up() {
    let mut board = Board::new(LIMITS);
    board.submit("j".into(), needs(None), Conversation::default(), None);
    for id in 1..=3 {
        board.join(id, &worker("m", 1));
        board.leave(id);
    }
    assert_eq!(board.effects().last(), Some(&BoardEffect::GiveUp { job: "j".into(), attempts: 3 }));
    assert_eq!(board.state("j"), None);
}

#[test]
fn a_worker_without_a_model_gets_no_job() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("pending", 4));
    assert_eq!(submit(&mut board, "j", None), None);
}

#[test]
fn a_draining_worker_gets_no_job_and_its_returned_jobs_go_to_another_in_order() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 3));
    for job in ["a", "b", "c"] {
        assert!(submit(&mut board, job, Some("m")).is_some());
    }
    board.heartbeat(1, Heartbeat { draining: true, ..Heartbeat::default() });
    assert_eq!((submit(&mut board, "d", Some("m")), board.summary().total_slots), (None, 0));
    assert!(board.return_job(1, "b") && board.return_job(1, "a"));
    assert!(!board.return_job(1, "a") && !board.return_job(1, "d") && !board.return_job(2, "c"), "not its own");
    assert_eq!((board.state("a"), board.state("c")), (Some(JobState::Waiting), Some(JobState::Running(1))));
    board.join(2, &worker("m", 9));
    let dispatched_jobs: Vec<_> = board.effects();
    let next = |job: &str| BoardEffect::Dispatch {
        worker: 2,
        job: job.into(),
        model: None,
        reported_model: "m".into(),
        attempt: 1,
    };
    assert_eq!(
        dispatched_jobs,
        [next("a"), next("b"), next("d")],
        "none counts as an attempt, and no worker gets a cancel"
    );
    board.leave(2);
    board.effects();
    board.heartbeat(1, Heartbeat::default());
    assert_eq!(
        dispatched(&mut board, "a").map(|(worker, _)| worker),
        Some(1),
        "it gets jobs again once it reports that it accepts them"
    );
}

#[test]
fn a_worker_cannot_end_the_job_of_another_and_gets_a_cancel_when_its_client_leaves() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.join(2, &worker("x", 1));
    assert!(board.is_running_on(1, "j") && !board.is_running_on(2, "j"));
    assert!(!board.finish(2, "j", true) && !board.finish(2, "j", false));
    board.mark_silent(1);
    board.effects();
    board.remove("j");
    assert_eq!(board.effects(), [BoardEffect::Cancel { worker: 1, job: "j".into() }]);
}

#[test]
fn among_equal_workers_the_one_without_a_job_for_longest_is_next() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 1));
    board.join(2, &worker("m", 1));
    let mut got = Vec::new();
    for job in ["a", "b", "c"] {
        let (id, _) = submit(&mut board, job, Some("m")).unwrap();
        assert!(board.finish(id, job, true));
        got.push(id);
    }
    assert_eq!(got, [1, 2, 1]);
}

#[test]
fn a_model_that_takes_no_jobs_is_waited_for() {
    let mut board = Board::new(LIMITS);
    for state in [ModelState::Draining, ModelState::Stopping, ModelState::BackingOff] {
        board.join(1, &many(vec![report("a", state, None)]));
        assert_eq!(submit(&mut board, &format!("{state:?}"), Some("a")), None, "{state:?}");
    }
}

#[test]
fn the_queue_is_bounded() {
    let mut board = Board::new(BoardLimits { max_waiting: 2, ..LIMITS });
    for (job, room) in [("a", Ok(())), ("b", Err(2))] {
        submit(&mut board, job, Some("m"));
        assert_eq!(board.has_room(), room);
    }
}

#[test]
fn only_chat_models_are_listed_and_the_primary_one_is_the_default() {
    let with =
        |name: &str, state, task: &str| ModelReport { capabilities: vec![task.into()], ..report(name, state, None) };
    let mut board = Board::new(LIMITS);
    board.join(
        1,
        &many(vec![
            with("a-damaged", ModelState::Failed, "chat"),
            with("embedder", ModelState::Ready, "embedding"),
            with("z", ModelState::Ready, "chat"),
            with("b", ModelState::Ready, "chat"),
        ]),
    );
    assert_eq!(board.models(), ["b", "z"]);
    assert_eq!(submit(&mut board, "1", None), Some((1, Some("z".into()))));
    assert_eq!(board.other_task("embedder", PathTask::Chat), Some(vec!["embedding".to_owned()]));
    assert_eq!((board.other_task("z", PathTask::Chat), board.other_task("nothing", PathTask::Chat)), (None, None));
}

#[test]
fn names_with_control_characters_or_without_bound_are_not_listed() {
    let mut board = Board::new(LIMITS);
    let long = "x".repeat(1 << 20);
    board.join(1, &many(vec![report("a\nb", ModelState::Ready, None), report(&long, ModelState::Ready, None)]));
    board.join(2, &worker("c\u{1b}[2J", 1));
    assert_eq!(board.models(), [""; 0]);
}

#[derive(Debug, Clone)]
enum BoardStep {
    Join(u32),
    Leave(usize),
    Silent(usize),
    Beat(usize),
    Submit,
    Finish(usize),
    Remove(usize),
}

fn step() -> impl Strategy<Value = BoardStep> {
    prop_oneof![
        (1u32..4).prop_map(BoardStep::Join),
        (0usize..4).prop_map(BoardStep::Leave),
        (0usize..4).prop_map(BoardStep::Silent),
        (0usize..4).prop_map(BoardStep::Beat),
        Just(BoardStep::Submit),
        (0usize..6).prop_map(BoardStep::Finish),
        (0usize..6).prop_map(BoardStep::Remove),
    ]
}

/// The state as it follows from the effects alone.
#[derive(Default)]
struct ExpectedState {
    slots: HashMap<WorkerId, u32>,
    silent: HashSet<WorkerId>,
    open: Vec<JobId>,
    at: HashMap<JobId, WorkerId>,
}

impl ExpectedState {
    fn apply(&mut self, effects: Vec<BoardEffect>) {
        for effect in effects {
            match effect {
                BoardEffect::Dispatch { worker, job, .. } => {
                    assert!(self.slots.contains_key(&worker) && !self.silent.contains(&worker));
                    assert!(self.open.contains(&job), "a job that ended is dispatched");
                    assert_eq!(self.at.insert(job, worker), None, "a job runs in two places");
                    let load = self.at.values().filter(|&&at| at == worker).count();
                    assert!(load <= self.slots[&worker] as usize, "more jobs than slots");
                }
                BoardEffect::Cancel { worker, .. } => assert!(self.slots.contains_key(&worker)),
                BoardEffect::Provide { .. } | BoardEffect::Refuse { .. } => panic!("there are only workers"),
                BoardEffect::GiveUp { job, .. } => {
                    assert!(self.open.contains(&job), "given up twice");
                    self.open.retain(|open| *open != job);
                }
            }
        }
    }
}

fn nth<T: Copy + Ord>(items: impl Iterator<Item = T>, index: usize) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    (!items.is_empty()).then(|| items[index % items.len()])
}

proptest! {
    #[test]
    fn no_job_is_lost_or_runs_twice_and_no_slot_is_idle_while_jobs_wait(steps in proptest::collection::vec(step(), 1..60)) {
        let mut board = Board::new(LIMITS);
        let mut expected = ExpectedState::default();
        let mut next = 0u64;
        for step in steps {
            next += 1;
            match step {
                BoardStep::Join(slots) => {
                    expected.slots.insert(next, slots);
                    board.join(next, &worker("m", slots));
                }
                BoardStep::Leave(n) => if let Some(id) = nth(expected.slots.keys().copied(), n) {
                    expected.slots.remove(&id);
                    expected.silent.remove(&id);
                    expected.at.retain(|_, at| *at != id);
                    board.leave(id);
                },
                BoardStep::Silent(n) => if let Some(id) = nth(expected.slots.keys().copied(), n) {
                    expected.silent.insert(id);
                    expected.at.retain(|_, at| *at != id);
                    board.mark_silent(id);
                },
                BoardStep::Beat(n) => if let Some(id) = nth(expected.slots.keys().copied(), n) {
                    let revived = board.heartbeat(id, Heartbeat::default());
                    prop_assert_eq!(revived, expected.silent.remove(&id));
                },
                BoardStep::Submit => {
                    let job: JobId = format!("j{next}").into();
                    expected.open.push(job.clone());
                    board.submit(job, needs(Some("m")), Conversation::default(), None);
                }
                BoardStep::Finish(n) | BoardStep::Remove(n) if expected.open.is_empty() || n > 100 => {}
                BoardStep::Finish(n) => {
                    let job = expected.open[n % expected.open.len()].clone();
                    if let Some(at) = expected.at.remove(&job) {
                        expected.open.retain(|open| *open != job);
                        prop_assert!(board.finish(at, &job, true));
                    }
                }
                BoardStep::Remove(n) => {
                    let job = expected.open.remove(n % expected.open.len());
                    expected.at.remove(&job);
                    board.remove(&job);
                }
            }
            expected.apply(board.effects());
            let room: usize = expected.slots.iter().filter(|(id, _)| !expected.silent.contains(id)).map(|(_, slots)| *slots as usize).sum();
            let running = expected.open.len().min(room);
            prop_assert_eq!(expected.at.len(), running, "free slots and waiting jobs at once");
            let summary = board.summary();
            prop_assert_eq!((summary.waiting, summary.active_jobs as usize), (expected.open.len() - running, running));
            let silent = expected.slots.keys().filter(|id| expected.silent.contains(id)).count();
            prop_assert_eq!((summary.workers, summary.silent), (expected.slots.len() - silent, silent));
            prop_assert_eq!(summary.total_slots as usize, room);
            expect_ranks(&board);
        }
    }
}
