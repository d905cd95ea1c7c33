//! Jobs that return to the queue or leave it.

use super::*;
use crate::resolver::Resolution;

#[test]
fn lost_jobs_wait_in_order_of_arrival_before_later_jobs() {
    let mut board = Board::new(LIMITS);
    let names: Vec<String> = (1..=7).map(|number| format!("j{number}")).collect();
    board.join(1, &worker("m", 6));
    names.iter().for_each(|name| _ = submit(&mut board, name, Some("m")));
    board.mark_silent(1);
    board.join(2, &worker("m", 7));
    let dispatched_jobs = board.effects().into_iter().filter_map(|effect| match effect {
        BoardEffect::Dispatch { job, .. } => Some(job.to_string()),
        _ => None,
    });
    assert_eq!(dispatched_jobs.collect::<Vec<_>>(), names);
}

#[test]
fn a_removed_job_frees_its_place_in_the_queue() {
    let mut board = Board::new(BoardLimits { max_waiting: 1, ..LIMITS });
    submit(&mut board, "first", Some("m"));
    assert_eq!(board.has_room(), Err(1));
    board.remove("first");
    assert_eq!(board.has_room(), Ok(()));
}

#[test]
fn a_job_that_is_given_up_is_cancelled_on_its_silent_worker() {
    let mut board = Board::new(BoardLimits { max_attempts: 1, ..LIMITS });
    board.join(1, &worker("m", 1));
    submit(&mut board, "j", Some("m"));
    board.mark_silent(1);
    let cancel = BoardEffect::Cancel { worker: 1, job: "j".into() };
    assert_eq!(board.effects(), [cancel, BoardEffect::GiveUp { job: "j".into(), attempts: 1 }]);
    assert_eq!(board.state("j"), None);
}

#[test]
fn slots_of_zero_or_none_leave_the_number_unchanged() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 4));
    board.update_capabilities(1, &worker("m", 0));
    assert_eq!(board.summary().total_slots, 4);
    board.update_capabilities(1, &Capabilities { total_slots: None, ..worker("m", 4) });
    assert_eq!(board.summary().total_slots, 4);
}

#[test]
fn a_worker_that_returns_a_job_gets_none_until_it_reports_that_it_accepts_jobs() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 2));
    submit(&mut board, "j", Some("m"));
    assert!(board.return_job(1, "j"));
    assert_eq!((board.effects(), submit(&mut board, "k", Some("m"))), (Vec::new(), None));
    board.update_capabilities(1, &worker("m", 2));
    assert_eq!(dispatched(&mut board, "j"), Some((1, None)));
}

#[test]
fn only_names_of_current_models_are_resolved() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("a", 1));
    board.update_capabilities(1, &worker("b", 1));
    assert_eq!(submit(&mut board, "1", Some("b")), Some((1, None)));
    assert_eq!(board.resolve("a"), Resolution::Unknown);
    board.leave(1);
    assert_eq!(board.resolve("b"), Resolution::Unknown);
}
