//! Providers beside the workers: a job's way through them.

use super::super::{Cascade, ProviderId, WorkersTurn};
use super::*;

const FIRST: ProviderId = ProviderId(0);
const SECOND: ProviderId = ProviderId(1);

/// A board with two providers of so many jobs at once.
fn board(limits: [u32; 2]) -> Board {
    let mut board = Board::new(LIMITS);
    for (at, limit) in limits.into_iter().enumerate() {
        board.limit_provider(ProviderId(at), limit);
    }
    board
}

fn submit_for(board: &mut Board, job: &str, others: &[ProviderId]) {
    let cascade = Cascade { workers: WorkersTurn::First, others: others.to_vec() };
    board.submit(job.into(), needs(Some("m")), Conversation::default(), Some(cascade));
}

fn provided(provider: ProviderId, job: &str, attempt: u32) -> BoardEffect {
    BoardEffect::Provide { provider, job: job.into(), attempt }
}

#[test]
fn without_a_worker_a_job_goes_from_one_provider_to_the_next_and_ends_once() {
    let mut board = board([1, 1]);
    submit_for(&mut board, "j", &[FIRST, SECOND]);
    assert_eq!(board.effects(), [provided(FIRST, "j", 1)]);
    assert_eq!((board.summary().provided, board.has_alternative("j")), (1, true));
    board.refuse("j", false);
    assert_eq!(board.effects(), [provided(SECOND, "j", 2)]);
    assert!(!board.has_alternative("j") && !board.finish_provided(FIRST, "j"));
    board.refuse("j", false);
    assert_eq!(board.effects(), [BoardEffect::Refuse { job: "j".into() }]);
    board.refuse("j", false);
    assert!(!board.finish_provided(SECOND, "j"));
    assert_eq!((board.effects(), board.summary().provided, board.summary().waiting), (vec![], 0, 0));
}

#[test]
fn a_worker_that_appears_gets_the_next_job() {
    let mut board = board([9, 9]);
    submit_for(&mut board, "a", &[FIRST]);
    board.join(1, &worker("m", 1));
    assert_eq!(board.effects(), [provided(FIRST, "a", 1)]);
    submit_for(&mut board, "b", &[FIRST]);
    assert!(board.is_running_on(1, "b"));
    submit_for(&mut board, "c", &[FIRST]);
    assert_eq!(board.state("c"), Some(JobState::Waiting), "a busy worker is waited for");
    board.finish(1, "b", true);
    assert!(board.is_running_on(1, "c"));
    board.leave(1);
    assert_eq!(board.state("c"), Some(JobState::Provided(FIRST)), "and a lost one is not");
}

#[test]
fn a_provider_takes_no_more_than_its_limit_and_nothing_while_it_is_closed() {
    let mut board = board([1, 0]);
    for job in ["a", "b"] {
        submit_for(&mut board, job, &[FIRST, SECOND]);
    }
    assert_eq!(board.effects(), [provided(FIRST, "a", 1)]);
    assert_eq!(board.summary().waiting, 1);
    assert!(board.finish_provided(FIRST, "a"));
    assert_eq!(board.effects(), [provided(FIRST, "b", 1)]);
    board.limit_provider(FIRST, 0);
    submit_for(&mut board, "c", &[FIRST, SECOND]);
    assert_eq!(board.effects(), [BoardEffect::Refuse { job: "c".into() }]);
    board.remove("b");
    assert_eq!((board.effects(), board.summary().provided), (vec![], 0), "its client has left");
}

#[test]
fn a_load_is_waited_for_and_given_up_for_another_provider() {
    let mut board = board([1, 1]);
    board.join(1, &many(vec![report("m", ModelState::Stopped, Some(1))]));
    submit_for(&mut board, "j", &[FIRST]);
    assert!(board.is_running_on(1, "j") && board.awaits_load("j"));
    board.effects();
    board.end_load_wait("j");
    let cancelled = BoardEffect::Cancel { worker: 1, job: "j".into() };
    assert_eq!(board.effects(), [cancelled, provided(FIRST, "j", 2)]);
    assert!(!board.awaits_load("j"));
    // The provider refuses: better a load than no answer.
    board.refuse("j", false);
    assert!(board.is_running_on(1, "j"));
}

#[test]
fn a_job_stays_on_a_worker_that_has_the_model_loaded_when_the_wait_ends() {
    let mut board = board([1, 1]);
    board.join(1, &many(vec![report("m", ModelState::Starting, Some(1))]));
    submit_for(&mut board, "j", &[FIRST]);
    board.heartbeat(1, Heartbeat { models: vec![report("m", ModelState::Ready, Some(1))], ..Heartbeat::default() });
    board.effects();
    board.end_load_wait("j");
    assert!(board.is_running_on(1, "j") && board.effects().is_empty());
}

#[test]
fn a_job_that_its_worker_refuses_goes_to_no_other_worker() {
    let mut board = board([1, 1]);
    board.join(1, &worker("m", 1));
    board.join(2, &worker("m", 1));
    submit_for(&mut board, "j", &[FIRST]);
    board.effects();
    board.refuse("j", true);
    assert!(matches!(board.effects().as_slice(), [BoardEffect::Cancel { .. }, BoardEffect::Provide { .. }]));
    board.refuse("j", false);
    assert_eq!(board.effects(), [BoardEffect::Refuse { job: "j".into() }]);
}

#[test]
fn a_job_that_loses_every_worker_goes_to_another_provider() {
    let mut board = board([1, 1]);
    board.limit_provider(FIRST, 0);
    submit_for(&mut board, "gone", &[FIRST]);
    board.effects();
    board.limit_provider(FIRST, 1);
    for id in 1..=LIMITS.max_attempts.into() {
        board.join(id, &worker("m", 1));
        if id == 1 {
            submit_for(&mut board, "j", &[FIRST]);
        }
        board.join(id + 100, &worker("m", 1));
        board.leave(id);
        board.leave(id + 100);
    }
    assert_eq!(board.state("j"), Some(JobState::Provided(FIRST)));
}

#[test]
fn a_job_whose_client_has_a_part_of_a_workers_answer_waits_for_a_worker() {
    let mut board = board([1, 1]);
    submit_for(&mut board, "j", &[FIRST]);
    board.keep_to_workers("j");
    assert_eq!((board.state("j"), board.summary().provided), (Some(JobState::Waiting), 0));
    board.effects();
    board.limit_provider(FIRST, 5);
    assert!(board.effects().is_empty());
    board.join(1, &worker("m", 1));
    assert!(board.is_running_on(1, "j"));
}
