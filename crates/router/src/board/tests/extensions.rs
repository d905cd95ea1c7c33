//! Jobs that need an extension of the protocol.

use auxot_llama::PathTask;
use auxot_protocol::{Capabilities, ModelReport, ModelState};

use super::{LIMITS, dispatched, many, needs, report, worker};
use crate::board::{Availability, Board, Conversation, JobRequirements, RequiredExtension};

fn lacks(board: &Board, model: Option<&str>) -> bool {
    board.lacks(RequiredExtension::Parameters, model, PathTask::Chat)
}

#[test]
fn a_job_with_parameters_goes_only_to_workers_with_the_extension() {
    let mut board = Board::new(LIMITS);
    board.join(1, &worker("m", 9));
    assert!(lacks(&board, Some("m")) && lacks(&board, None) && !lacks(&board, Some("x")));
    board.submit(
        "j".into(),
        JobRequirements { extension: RequiredExtension::Parameters, ..needs(Some("m")) },
        Conversation::default(),
        None,
    );
    assert_eq!(board.effects(), []);
    board.join(2, &Capabilities { extensions: vec!["parameters".into()], ..worker("m", 1) });
    assert_eq!(dispatched(&mut board, "j").map(|(worker, _)| worker), Some(2));
    assert!(!lacks(&board, Some("M")) && !lacks(&board, None));
}

#[test]
fn a_whole_request_goes_to_a_model_of_its_task_on_a_worker_with_the_extension() {
    let embedder = || ModelReport { capabilities: vec!["embedding".into()], ..report("e", ModelState::Ready, None) };
    let models = || many(vec![report("c", ModelState::Ready, None), embedder()]);
    let request =
        |model: Option<&str>, task| JobRequirements { task, extension: RequiredExtension::Requests, ..needs(model) };
    let mut board = Board::new(LIMITS);
    board.join(1, &models());
    assert!(board.lacks(RequiredExtension::Requests, None, PathTask::Embedding));
    board.submit("j".into(), request(None, PathTask::Embedding), Conversation::default(), None);
    assert_eq!(board.effects(), []);
    assert_eq!(board.models(), ["c"], "without the extension it serves chats only");
    board.join(2, &Capabilities { extensions: vec!["requests".into()], ..models() });
    assert_eq!(dispatched(&mut board, "j"), Some((2, Some("e".into()))));
    assert_eq!(board.models(), ["c", "e"]);
    assert_eq!(board.other_task("c", PathTask::Embedding), Some(Vec::new()));
    assert_eq!(
        board.availability(PathTask::Rerank),
        Availability::OtherTasks(vec!["c ()".into(), "e (embedding)".into()])
    );
}
