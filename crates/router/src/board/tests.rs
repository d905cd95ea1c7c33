//! The board's rules, one by one, and then against random orders of events.

mod waiting;

use std::collections::{HashMap, HashSet};

use auxot_protocol::{Capabilities, Heartbeat, ModelReport, ModelState};
use proptest::prelude::*;

use super::{Board, Effect, JobId, Place, Rules, Wanted, WorkerId};

const RULES: Rules = Rules { max_waiting: 100, max_attempts: 3, default_slots: 2 };

fn worker(model: &str, slots: u32) -> Capabilities {
    Capabilities { model: model.into(), total_slots: Some(slots), ..Capabilities::default() }
}

fn report(name: &str, state: ModelState, slots: Option<u32>) -> ModelReport {
    serde_json::from_value(serde_json::json!({ "name": name, "state": state, "slots": slots })).unwrap()
}

fn many(models: Vec<ModelReport>) -> Capabilities {
    Capabilities { model: models[0].name.clone(), total_slots: Some(1), models, ..Capabilities::default() }
}

fn want(model: Option<&str>) -> Wanted {
    Wanted { model: model.map(str::to_owned), parameters: false }
}

/// Submits a job and says who got it.
fn submit(board: &mut Board, job: &str, wanted: Option<&str>) -> Option<(WorkerId, Option<String>)> {
    board.submit(job.into(), want(wanted));
    dispatched(board, job)
}

fn dispatched(board: &mut Board, wanted: &str) -> Option<(WorkerId, Option<String>)> {
    board.effects().into_iter().find_map(|effect| match effect {
        Effect::Dispatch { worker, job, model, .. } if &*job == wanted => Some((worker, model)),
        _ => None,
    })
}

#[test]
fn the_least_loaded_worker_by_share_of_its_slots_gets_the_job() {
    let mut board = Board::new(RULES);
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
    let mut board = Board::new(RULES);
    board.join(1, &many(vec![report("a", ModelState::Ready, Some(1)), report("b", ModelState::Ready, Some(2))]));
    assert_eq!(submit(&mut board, "1", Some("A")), Some((1, Some("a".into()))));
    assert_eq!(submit(&mut board, "2", None), None, "no model named means the primary one, which is full");
    assert_eq!(submit(&mut board, "3", Some("b")), Some((1, Some("b".into()))));
    assert_eq!(submit(&mut board, "4", Some("b")), Some((1, Some("b".into()))));
    assert_eq!(board.summary().total_slots, 3);
}

#[test]
fn a_model_ready_elsewhere_is_waited_for_and_one_ready_nowhere_is_loaded() {
    let mut board = Board::new(RULES);
    board.join(1, &many(vec![report("a", ModelState::Stopped, None)]));
    board.join(2, &many(vec![report("a", ModelState::Ready, Some(1))]));
    assert_eq!(submit(&mut board, "1", Some("a")), Some((2, Some("a".into()))));
    assert_eq!(submit(&mut board, "2", Some("a")), None);
    board.leave(2);
    assert!(dispatched(&mut board, "1").is_some(), "now the stopped one is the nearest");
}

#[test]
fn a_model_that_failed_everywhere_is_hopeless() {
    let mut board = Board::new(RULES);
    board.join(1, &many(vec![report("a", ModelState::Failed, None), report("b", ModelState::Ready, None)]));
    assert!(board.is_hopeless("a") && !board.is_hopeless("b") && !board.is_hopeless("unheard-of"));
    board.beat(1, Heartbeat { models: vec![report("a", ModelState::Ready, None)], ..Heartbeat::default() });
    assert!(!board.is_hopeless("a"));
}

#[test]
fn a_silent_worker_loses_its_jobs_to_another_and_is_told() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.silent(1);
    assert_eq!(board.place("j"), Some(Place::Waiting));
    assert_eq!((board.summary().workers, board.summary().silent), (0, 1));
    assert!(!board.may_speak(1, "j"));
    board.join(2, &worker("m", 1));
    let effects = board.effects();
    assert_eq!(effects[0], Effect::Cancel { worker: 1, job: "j".into() });
    assert_eq!(
        effects[1],
        Effect::Dispatch { worker: 2, job: "j".into(), model: None, called: "m".into(), attempt: 2 }
    );
}

#[test]
fn a_silent_worker_comes_back_and_keeps_its_job_when_nobody_else_took_it() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.silent(1);
    assert!(board.beat(1, Heartbeat::default()));
    assert_eq!(
        board.effects(),
        [Effect::Dispatch { worker: 1, job: "j".into(), model: None, called: "m".into(), attempt: 2 }]
    );
    assert!(!board.beat(1, Heartbeat::default()), "it is alive already");
}

#[test]
fn a_whole_answer_is_taken_while_the_job_waits_and_an_error_is_not() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.silent(1);
    assert!(!board.finish(1, "j", false));
    assert!(board.finish(1, "j", true));
    assert!(!board.finish(1, "j", true), "once");
}

#[test]
fn a_job_that_loses_every_worker_is_given_up() {
    let mut board = Board::new(RULES);
    board.submit("j".into(), want(None));
    for id in 1..=3 {
        board.join(id, &worker("m", 1));
        board.leave(id);
    }
    assert_eq!(board.effects().last(), Some(&Effect::GiveUp { job: "j".into(), attempts: 3 }));
    assert_eq!(board.place("j"), None);
}

#[test]
fn a_worker_without_a_model_gets_no_job() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("pending", 4));
    assert_eq!(submit(&mut board, "j", None), None);
}

#[test]
fn a_worker_that_ends_gets_no_job_and_what_it_gives_back_goes_to_another_in_order() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 3));
    for job in ["a", "b", "c"] {
        assert!(submit(&mut board, job, Some("m")).is_some());
    }
    board.beat(1, Heartbeat { draining: true, ..Heartbeat::default() });
    assert_eq!((submit(&mut board, "d", Some("m")), board.summary().total_slots), (None, 0));
    assert!(board.hand_back(1, "b") && board.hand_back(1, "a"));
    assert!(!board.hand_back(1, "a") && !board.hand_back(1, "d") && !board.hand_back(2, "c"), "not its own");
    assert_eq!((board.place("a"), board.place("c")), (Some(Place::Waiting), Some(Place::Running(1))));
    board.join(2, &worker("m", 9));
    let given: Vec<_> = board.effects();
    let next = |job: &str| Effect::Dispatch { worker: 2, job: job.into(), model: None, called: "m".into(), attempt: 1 };
    assert_eq!(given, [next("a"), next("b"), next("d")], "none counts as a try, nobody is told to stop");
    board.leave(2);
    board.effects();
    board.beat(1, Heartbeat::default());
    assert_eq!(dispatched(&mut board, "a").map(|(worker, _)| worker), Some(1), "it takes jobs again once it says so");
}

#[test]
fn no_worker_speaks_of_anothers_job_and_who_had_one_is_told_when_nobody_wants_it() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.join(2, &worker("x", 1));
    assert!(board.may_speak(1, "j") && !board.may_speak(2, "j"));
    assert!(!board.finish(2, "j", true) && !board.finish(2, "j", false));
    board.silent(1);
    board.effects();
    board.remove("j");
    assert_eq!(board.effects(), [Effect::Cancel { worker: 1, job: "j".into() }]);
}

#[test]
fn among_equals_it_is_the_turn_of_the_one_that_waited_longest() {
    let mut board = Board::new(RULES);
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
    let mut board = Board::new(RULES);
    for state in [ModelState::Draining, ModelState::Stopping, ModelState::BackingOff] {
        board.join(1, &many(vec![report("a", state, None)]));
        assert_eq!(submit(&mut board, &format!("{state:?}"), Some("a")), None, "{state:?}");
    }
}

#[test]
fn as_many_jobs_wait_as_may() {
    let mut board = Board::new(Rules { max_waiting: 2, ..RULES });
    for (job, room) in [("a", Ok(())), ("b", Err(2))] {
        submit(&mut board, job, Some("m"));
        assert_eq!(board.has_room(), room);
    }
}

#[test]
fn a_job_with_parameters_goes_only_where_they_are_understood() {
    let mut board = Board::new(RULES);
    board.join(1, &worker("m", 9));
    assert!(board.lacks_parameters(Some("m")) && board.lacks_parameters(None) && !board.lacks_parameters(Some("x")));
    board.submit("j".into(), Wanted { model: Some("m".into()), parameters: true });
    assert_eq!(board.effects(), []);
    board.join(2, &Capabilities { extensions: vec!["parameters".into()], ..worker("m", 1) });
    assert_eq!(dispatched(&mut board, "j").map(|(worker, _)| worker), Some(2));
    assert!(!board.lacks_parameters(Some("M")) && !board.lacks_parameters(None));
}

#[test]
fn only_what_can_chat_is_offered_and_the_primary_one_comes_first() {
    let with =
        |name: &str, state, task: &str| ModelReport { capabilities: vec![task.into()], ..report(name, state, None) };
    let mut board = Board::new(RULES);
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
    assert_eq!(board.other_task("embedder"), Some(vec!["embedding".to_owned()]));
    assert_eq!((board.other_task("z"), board.other_task("nothing")), (None, None));
}

#[test]
fn names_that_would_harm_a_table_are_not_offered() {
    let mut board = Board::new(RULES);
    let long = "x".repeat(1 << 20);
    board.join(1, &many(vec![report("a\nb", ModelState::Ready, None), report(&long, ModelState::Ready, None)]));
    board.join(2, &worker("c\u{1b}[2J", 1));
    assert_eq!(board.models(), [""; 0]);
}

#[derive(Debug, Clone)]
enum Step {
    Join(u32),
    Leave(usize),
    Silent(usize),
    Beat(usize),
    Submit,
    Finish(usize),
    Remove(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1u32..4).prop_map(Step::Join),
        (0usize..4).prop_map(Step::Leave),
        (0usize..4).prop_map(Step::Silent),
        (0usize..4).prop_map(Step::Beat),
        Just(Step::Submit),
        (0usize..6).prop_map(Step::Finish),
        (0usize..6).prop_map(Step::Remove),
    ]
}

/// What the world knows from effects alone.
#[derive(Default)]
struct World {
    slots: HashMap<WorkerId, u32>,
    silent: HashSet<WorkerId>,
    open: Vec<JobId>,
    at: HashMap<JobId, WorkerId>,
}

impl World {
    fn hear(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dispatch { worker, job, .. } => {
                    assert!(self.slots.contains_key(&worker) && !self.silent.contains(&worker));
                    assert!(self.open.contains(&job), "a job that ended is given out");
                    assert_eq!(self.at.insert(job, worker), None, "a job runs in two places");
                    let load = self.at.values().filter(|&&at| at == worker).count();
                    assert!(load <= self.slots[&worker] as usize, "more jobs than slots");
                }
                Effect::Cancel { worker, .. } => assert!(self.slots.contains_key(&worker)),
                Effect::GiveUp { job, .. } => {
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
    fn no_job_is_lost_or_runs_twice_and_nobody_idles(steps in proptest::collection::vec(step(), 1..60)) {
        let mut board = Board::new(RULES);
        let mut world = World::default();
        let mut next = 0u64;
        for step in steps {
            next += 1;
            match step {
                Step::Join(slots) => {
                    world.slots.insert(next, slots);
                    board.join(next, &worker("m", slots));
                }
                Step::Leave(n) => if let Some(id) = nth(world.slots.keys().copied(), n) {
                    world.slots.remove(&id);
                    world.silent.remove(&id);
                    world.at.retain(|_, at| *at != id);
                    board.leave(id);
                },
                Step::Silent(n) => if let Some(id) = nth(world.slots.keys().copied(), n) {
                    world.silent.insert(id);
                    world.at.retain(|_, at| *at != id);
                    board.silent(id);
                },
                Step::Beat(n) => if let Some(id) = nth(world.slots.keys().copied(), n) {
                    let revived = board.beat(id, Heartbeat::default());
                    prop_assert_eq!(revived, world.silent.remove(&id));
                },
                Step::Submit => {
                    let job: JobId = format!("j{next}").into();
                    world.open.push(job.clone());
                    board.submit(job, want(Some("m")));
                }
                Step::Finish(n) | Step::Remove(n) if world.open.is_empty() || n > 100 => {}
                Step::Finish(n) => {
                    let job = world.open[n % world.open.len()].clone();
                    if let Some(at) = world.at.remove(&job) {
                        world.open.retain(|open| *open != job);
                        prop_assert!(board.finish(at, &job, true));
                    }
                }
                Step::Remove(n) => {
                    let job = world.open.remove(n % world.open.len());
                    world.at.remove(&job);
                    board.remove(&job);
                }
            }
            world.hear(board.effects());
            let room: usize = world.slots.iter().filter(|(id, _)| !world.silent.contains(id)).map(|(_, slots)| *slots as usize).sum();
            let expected = world.open.len().min(room);
            prop_assert_eq!(world.at.len(), expected, "free slots and waiting jobs at once");
            prop_assert_eq!(board.summary().waiting, world.open.len() - expected);
        }
    }
}
