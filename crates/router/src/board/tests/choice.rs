//! Which of several workers gets a job: the one that had its conversation, and else the one that loads the model soonest.

use super::*;

fn turn(board: &mut Board, job: &str, messages: &str) -> Option<WorkerId> {
    board.submit(job.into(), needs(Some("m")), Conversation::of(Some("m"), messages.as_bytes()), None);
    expect_ranks(board);
    dispatched(board, job).map(|(worker, _)| worker)
}

/// A model that is not loaded: how long its load took, and whether it evicts others.
fn stopped(load_ms: Option<f64>, load_evicts: Option<bool>) -> Capabilities {
    many(vec![ModelReport { load_ms, load_evicts, ..report("m", ModelState::Stopped, Some(2)) }])
}

#[test]
fn a_conversation_stays_with_its_worker_while_that_has_a_free_slot() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 2));
    board.join(2, &worker("m", 2));
    let first = turn(&mut board, "a", "[1]").unwrap();
    let other = 3 - first;
    assert!(board.finish(first, "a", true));
    assert_eq!(turn(&mut board, "b", "[2]"), Some(other), "a new one goes to the worker without a job for longest");
    assert!(board.finish(other, "b", true));
    assert_eq!(turn(&mut board, "c", "[2,3,4]"), Some(other), "its second turn does not");
    assert_eq!(turn(&mut board, "d", "[2,3,5]"), Some(other), "nor does a branch of it, though this worker has a job");
    assert_eq!(turn(&mut board, "e", "[2,3,4,5,6]"), Some(first), "it does not wait for a slot");
    assert!(board.finish(other, "c", true) && board.finish(other, "d", true));
    assert_eq!(turn(&mut board, "f", "[2,3,4,5,6,7,8]"), Some(first), "its last worker counts");
}

#[test]
fn a_conversation_leaves_a_worker_that_is_gone_silent_or_has_unloaded_the_model() {
    let mut board = Board::new(LIMITS);
    for id in [1, 2] {
        board.join(id, &many(vec![report("m", ModelState::Ready, Some(2))]));
    }
    let first = turn(&mut board, "a", "[1]").unwrap();
    let other = 3 - first;
    assert!(board.finish(first, "a", true));
    board.update_capabilities(first, &stopped(None, None));
    assert_eq!(turn(&mut board, "b", "[1,2,3]"), Some(other), "the other one has it loaded");
    board.mark_silent(other);
    board.effects();
    assert_eq!(turn(&mut board, "c", "[1,2,3,4,5]"), Some(first), "the only one that lives");
    board.leave(other);
    assert!(board.finish(first, "b", true) && board.finish(first, "c", true));
    assert_eq!(turn(&mut board, "d", "[1,2,3]"), Some(first));
}

#[test]
fn a_model_is_loaded_where_that_is_soonest() {
    let soonest = [
        stopped(Some(4_000.0), Some(false)),
        stopped(Some(60_000.0), Some(false)),
        stopped(None, Some(false)),
        stopped(Some(1.0), Some(true)),
        stopped(Some(2.0), None),
        stopped(Some(f64::NAN), Some(true)),
    ];
    let mut board = Board::new(LIMITS);
    for (id, capabilities) in soonest.iter().enumerate().rev() {
        board.join(id as WorkerId, capabilities);
        assert_eq!(turn(&mut board, "j", "[]"), Some(id as WorkerId));
        board.remove("j");
        board.effects();
    }
}

#[test]
fn a_load_that_is_under_way_is_waited_for_before_another_begins() {
    let mut board = Board::new(LIMITS);
    board.join(1, &stopped(Some(1.0), Some(false)));
    board.join(2, &many(vec![report("m", ModelState::Starting, Some(2))]));
    assert_eq!(turn(&mut board, "a", "[1]"), Some(2));
}

#[test]
fn the_ranks_of_a_worker_follow_its_models_and_leave_with_it() {
    let mut board = Board::new(LIMITS);
    let models = |names: &[&str]| many(names.iter().map(|name| report(name, ModelState::Ready, Some(1))).collect());
    board.join(1, &models(&["a", "b", "a"]));
    board.join(2, &models(&["b"]));
    expect_ranks(&board);
    assert_eq!(submit(&mut board, "j", None).unwrap().0, 1, "the first model for the task");
    board.update_capabilities(1, &models(&["b", "c"]));
    board.heartbeat(2, Heartbeat { models: vec![report("c", ModelState::Stopped, None)], ..Heartbeat::default() });
    expect_ranks(&board);
    assert_eq!(submit(&mut board, "k", Some("c")).unwrap().0, 1, "the other one would load it");
    board.join(1, &models(&["d"]));
    board.leave(2);
    expect_ranks(&board);
    board.leave(1);
    assert_eq!(board.ranking, Ranking::default());
}

#[test]
fn a_report_that_changes_no_name_keeps_the_order_of_equal_workers() {
    let mut board = Board::new(LIMITS);
    let ready = || many(vec![report("m", ModelState::Ready, Some(1))]);
    board.join(1, &ready());
    board.join(2, &ready());
    for (job, expected) in [("a", 1), ("b", 2), ("c", 1)] {
        assert_eq!(turn(&mut board, job, "[]"), Some(expected));
        assert!(board.finish(expected, job, true));
        board.update_capabilities(expected, &ready());
    }
}
