//! Jobs that wait again, or no longer.

use super::*;
use crate::resolver::Resolution;

#[test]
fn lost_jobs_wait_in_the_order_in_which_they_came_before_those_that_came_later() {
    let mut board = Board::new(LIMITS);
    let names: Vec<String> = (1..=7).map(|number| format!("j{number}")).collect();
    board.join(1, &worker("m", 6));
    names.iter().for_each(|name| _ = submit(&mut board, name, Some("m")));
    board.mark_silent(1);
    board.join(2, &worker("m", 7));
    let given = board.effects().into_iter().filter_map(|effect| match effect {
        BoardEffect::Dispatch { job, .. } => Some(job.to_string()),
        _ => None,
    });
    assert_eq!(given.collect::<Vec<_>>(), names);
}

#[test]
fn a_job_that_nobody_waits_for_makes_room_for_another() {
    let mut board = Board::new(BoardLimits { max_waiting: 1, ..LIMITS });
    submit(&mut board, "first", Some("m"));
    assert_eq!(board.has_room(), Err(1));
    board.remove("first");
    assert_eq!(board.has_room(), Ok(()));
}

#[test]
fn a_worker_that_is_silent_too_often_is_told_that_its_job_is_given_up() {
    let mut board = Board::new(BoardLimits { max_attempts: 1, ..LIMITS });
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.mark_silent(1);
    let told = BoardEffect::Cancel { worker: 1, job: "j".into() };
    assert_eq!(board.effects(), [told, BoardEffect::GiveUp { job: "j".into(), attempts: 1 }]);
    assert_eq!(board.state("j"), None);
}

#[test]
fn no_slots_mean_as_many_as_before() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 4));
    board.update_capabilities(1, &worker("m", 0));
    assert_eq!(board.summary().total_slots, 4);
    board.update_capabilities(1, &Capabilities { total_slots: None, ..worker("m", 4) });
    assert_eq!(board.summary().total_slots, 4);
}

#[test]
fn a_worker_that_gives_a_job_back_gets_none_until_it_says_that_it_wants_some() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 2));
    submit(&mut board, "j", Some("m"));
    assert!(board.return_job(1, "j"));
    assert_eq!((board.effects(), submit(&mut board, "k", Some("m"))), (Vec::new(), None));
    board.update_capabilities(1, &worker("m", 2));
    assert_eq!(dispatched(&mut board, "j"), Some((1, None)));
}

#[test]
fn names_are_those_of_the_models_that_are_here_now() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("a", 1));
    board.update_capabilities(1, &worker("b", 1));
    assert_eq!(submit(&mut board, "1", Some("b")), Some((1, None)));
    assert_eq!(board.resolve("a"), Resolution::Unknown);
    board.leave(1);
    assert_eq!(board.resolve("b"), Resolution::Unknown);
}
