//! The task of a model: chats go to chat models, other models are started for their task, and a job without a name gets the
//! primary model.

use auxot_catalog::Task;

use super::test_fleet::{TestFleet, put, put_pooling};
use crate::{FleetSettings, JobTask, Refusal};

/// Pooling types of a header: the last token's vector, a ranking head.
const LAST: u32 = 3;
const RANK: u32 = 4;

fn test_fleet() -> TestFleet {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "a-embed-q8_0", LAST);
    put_pooling(folder.path(), "a-rerank-q8_0", RANK);
    let autoload = ["a-embed-q8_0", "a-rerank-q8_0"].map(String::from).to_vec();
    let fleet = crate::Config { autoload, ..crate::Config::default() };
    TestFleet::with(folder, FleetSettings { fleet, ..FleetSettings::default() }, None)
}

fn refused(answer: Result<crate::Lease, Refusal>) -> (String, Option<Task>) {
    let refusal = answer.unwrap_err();
    let task = if let Refusal::WrongTask { task, .. } = &refusal { Some(*task) } else { None };
    (refusal.to_string(), task)
}

#[tokio::test(start_paused = true)]
async fn an_embedding_or_rerank_model_is_started_for_its_task_and_refuses_chats() {
    let test_fleet = test_fleet();
    test_fleet.settle().await;
    assert_eq!(test_fleet.spec("a-embed-q8_0").task, auxot_engine::Task::Embedding { pooling: "last" });
    assert_eq!(test_fleet.spec("a-rerank-q8_0").task, auxot_engine::Task::Rerank);
    test_fleet.make_ready("a-embed-q8_0").await;
    test_fleet.make_ready("a-rerank-q8_0").await;
    for (name, word, task) in
        [("a-embed", "an embedding model", Task::Embedding), ("a-rerank", "a rerank model", Task::Rerank)]
    {
        let (text, of) = refused(test_fleet.acquire(Some(name)).await);
        assert_eq!((of, text.contains(word)), (Some(task), true), "{text}");
    }
    let (text, _) = refused(test_fleet.acquire(None).await);
    assert_eq!(text, "no model on this worker can chat; it serves a-embed-q8_0 (embedding), a-rerank-q8_0 (rerank)");
}

#[tokio::test(start_paused = true)]
async fn a_job_for_embeddings_or_a_ranking_gets_such_a_model_and_a_chat_model_refuses_it() {
    let mut test_fleet = test_fleet();
    test_fleet.put("z-chat-q8_0");
    test_fleet.settle().await;
    test_fleet.make_ready("a-embed-q8_0").await;
    test_fleet.make_ready("a-rerank-q8_0").await;
    let answer = test_fleet.waiting(Some("z-chat")).await;
    test_fleet.make_ready("z-chat-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-chat-q8_0".to_owned())));
    for (name, task, model) in [
        (Some("a-embed"), JobTask::Embedding, "a-embed-q8_0"),
        (None, JobTask::Embedding, "a-embed-q8_0"),
        (None, JobTask::Rerank, "a-rerank-q8_0"),
        (Some("a-rerank"), JobTask::Any, "a-rerank-q8_0"),
        (None, JobTask::Any, "z-chat-q8_0"),
    ] {
        assert_eq!(test_fleet.acquire_for(name, task).await.unwrap().model(), model, "{name:?} {task:?}");
    }
    let refused = test_fleet.acquire_for(Some("z-chat"), JobTask::Embedding).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot make embeddings with z-chat-q8_0: it is a chat model");
    let refused = test_fleet.acquire_for(Some("a-embed"), JobTask::Rerank).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot rerank with a-embed-q8_0: it is an embedding model");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_loads_the_first_model_for_its_task_or_says_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "b-embed-q8_0", LAST);
    put(folder.path(), "z-chat-q8_0");
    let mut test_fleet = TestFleet::with(folder, FleetSettings::default(), None);
    test_fleet.settle().await;
    let refused = test_fleet.acquire_for(None, JobTask::Rerank).await.unwrap_err();
    let there = "b-embed-q8_0 (embedding), z-chat-q8_0 (chat)";
    assert_eq!(refused.to_string(), format!("no model on this worker can rerank; it serves {there}"));
    let answer = test_fleet.waiting_for(None, JobTask::Embedding).await;
    test_fleet.make_ready("b-embed-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("b-embed-q8_0".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_loads_the_first_chat_model_of_the_folders() {
    let mut test_fleet = test_fleet();
    test_fleet.put("z-chat-q8_0");
    test_fleet.settle().await;
    test_fleet.make_ready("a-embed-q8_0").await;
    let answer = test_fleet.waiting(None).await;
    let mut changes = test_fleet.fleet.changes();
    while test_fleet.state("z-chat-q8_0") == "absent" {
        changes.changed().await.unwrap();
    }
    test_fleet.settle().await;
    test_fleet.make_ready("z-chat-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-chat-q8_0".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn nothing_to_serve_names_the_reason_by_the_content_of_the_folders() {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "bge-q8_0", LAST);
    let test_fleet = TestFleet::with(folder, FleetSettings::default(), None);
    assert!(!test_fleet.fleet.serve_any_model());
    let text = test_fleet.fleet.nothing_to_serve();
    assert!(text.contains("can chat: bge-q8_0 (embedding)"), "{text}");
    assert_eq!(TestFleet::new(&[], &[], None).fleet.nothing_to_serve(), "there is no model in the models folders");
    let named = TestFleet::new(&["own-q8_0"], &["gone-q8_0"], None).fleet.nothing_to_serve();
    assert!(named.contains("cannot find model gone-q8_0"), "{named}");
    let closed = TestFleet::new(&["own-q8_0"], &[], None).fleet.nothing_to_serve();
    assert!(closed.contains("no model is named"), "{closed}");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_gets_a_chat_model() {
    let mut test_fleet = test_fleet();
    test_fleet.put("z-chat-q8_0");
    test_fleet.settle().await;
    // No list and no policy names it, so it is loaded for the first job that does.
    let answer = test_fleet.waiting(Some("z-chat")).await;
    test_fleet.make_ready("z-chat-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-chat-q8_0".to_owned())));
    test_fleet.make_ready("a-embed-q8_0").await;
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "z-chat-q8_0");
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-chat-q8_0");
}

#[tokio::test(start_paused = true)]
async fn the_first_listed_model_is_primary_also_when_a_later_one_is_ready_first() {
    let mut test_fleet = TestFleet::new(&["z-first-q8_0", "a-second-q8_0"], &["z-first-q8_0", "a-second-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("a-second-q8_0").await;
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-first-q8_0");
    let answer = test_fleet.waiting(None).await;
    assert_eq!(*answer.borrow(), None, "it waits for the first one");
    test_fleet.make_ready("z-first-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-first-q8_0".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn slots_beyond_the_engine_limit_unload_nothing_and_are_reported() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    let desired = crate::DesiredModel { model: "one-q8_0".into(), ctx_size: None, slots: Some(u32::MAX) };
    let gaps = test_fleet.fleet.set_desired(desired).await;
    assert!(gaps[0].contains("at most 256"), "{gaps:?}");
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.scripts("one-q8_0").len()), ("ready", 1));
}

#[tokio::test(start_paused = true)]
async fn numbers_that_the_engine_changed_are_reported() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    let ctx = test_fleet.spec("one-q8_0").ctx_per_slot;
    // The action of `-c 32k` among the extra arguments.
    test_fleet.script("one-q8_0").become_ready(4, 256);
    test_fleet.settle().await;
    let text = test_fleet.fleet.report().unmet.join(" ");
    assert!(text.contains(&format!("4 slots of {ctx} tokens, its engine runs 4 of 256")), "{text}");
    let whole = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    whole.settle().await;
    whole.make_ready("one-q8_0").await;
    assert!(whole.fleet.report().unmet.is_empty(), "{:?}", whole.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_change_under_way_is_no_gap() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.make_ready("one-q8_0").await;
    assert_eq!(test_fleet.fleet.set_desired(super::test_fleet::desired("one-q8_0", 2)).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn serve_any_model_takes_a_chat_model() {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "a-embed-q8_0", LAST);
    super::test_fleet::put(folder.path(), "z-chat-q8_0");
    let test_fleet = TestFleet::with(folder, FleetSettings::default(), None);
    assert!(test_fleet.fleet.serve_any_model());
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-chat-q8_0");
}
