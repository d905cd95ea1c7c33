//! What a model is for, and which one a job without a name means: chats go to models that chat, and others are started as what they are.

use auxot_catalog::Task;

use super::test_fleet::{TestFleet, put_pooling};
use crate::{FleetSettings, Refusal};

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
    let task = if let Refusal::NotForChat { task, .. } = &refusal { Some(*task) } else { None };
    (refusal.to_string(), task)
}

#[tokio::test(start_paused = true)]
async fn an_embedding_or_rerank_model_is_started_as_such_and_refuses_chats() {
    let test_fleet = test_fleet();
    test_fleet.settle().await;
    assert_eq!(test_fleet.spec("a-embed-q8_0").task, auxot_engine::Task::Embedding { pooling: "last" });
    assert_eq!(test_fleet.spec("a-rerank-q8_0").task, auxot_engine::Task::Rerank);
    test_fleet.serve("a-embed-q8_0").await;
    test_fleet.serve("a-rerank-q8_0").await;
    for (name, word, task) in
        [("a-embed", "an embedding model", Task::Embedding), ("a-rerank", "a rerank model", Task::Rerank)]
    {
        let (told, of) = refused(test_fleet.acquire(Some(name)).await);
        assert_eq!((of, told.contains(word)), (Some(task), true), "{told}");
    }
    let (told, _) = refused(test_fleet.acquire(None).await);
    assert_eq!(told, "no model on this worker can chat; it serves a-embed-q8_0 (embedding), a-rerank-q8_0 (rerank)");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_has_the_first_that_chats_loaded_where_jobs_may_name_any() {
    let mut test_fleet = test_fleet();
    test_fleet.put("z-chat-q8_0");
    test_fleet.settle().await;
    test_fleet.serve("a-embed-q8_0").await;
    let answer = test_fleet.waiting(None).await;
    let mut changes = test_fleet.fleet.changes();
    while test_fleet.state("z-chat-q8_0") == "away" {
        changes.changed().await.unwrap();
    }
    test_fleet.settle().await;
    test_fleet.serve("z-chat-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-chat-q8_0".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn what_keeps_a_worker_from_serving_is_told_by_what_the_folders_hold() {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "bge-q8_0", LAST);
    let test_fleet = TestFleet::with(folder, FleetSettings::default(), None);
    assert!(!test_fleet.fleet.serve_any_model());
    let told = test_fleet.fleet.nothing_to_serve();
    assert!(told.contains("can chat: bge-q8_0 (embedding)"), "{told}");
    assert_eq!(TestFleet::new(&[], &[], None).fleet.nothing_to_serve(), "there is no model in the models folders");
    let named = TestFleet::new(&["own-q8_0"], &["gone-q8_0"], None).fleet.nothing_to_serve();
    assert!(named.contains("cannot find model gone-q8_0"), "{named}");
    let closed = TestFleet::new(&["own-q8_0"], &[], None).fleet.nothing_to_serve();
    assert!(closed.contains("no model is named"), "{closed}");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_name_means_a_model_that_chats() {
    let mut test_fleet = test_fleet();
    test_fleet.put("z-chat-q8_0");
    test_fleet.settle().await;
    // Named by nobody, so it is loaded for the first job that names it.
    let answer = test_fleet.waiting(Some("z-chat")).await;
    test_fleet.serve("z-chat-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-chat-q8_0".to_owned())));
    test_fleet.serve("a-embed-q8_0").await;
    assert_eq!(test_fleet.acquire(None).await.unwrap().model(), "z-chat-q8_0");
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-chat-q8_0");
}

#[tokio::test(start_paused = true)]
async fn the_first_of_the_list_is_meant_also_when_a_later_one_is_ready_first() {
    let mut test_fleet = TestFleet::new(&["z-first-q8_0", "a-second-q8_0"], &["z-first-q8_0", "a-second-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("a-second-q8_0").await;
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-first-q8_0");
    let answer = test_fleet.waiting(None).await;
    assert_eq!(*answer.borrow(), None, "it waits for the first one");
    test_fleet.serve("z-first-q8_0").await;
    assert_eq!(*answer.borrow(), Some(Ok("z-first-q8_0".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_no_engine_can_fulfil_unloads_nothing_and_is_told() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    let desired = crate::DesiredModel { model: "one-q8_0".into(), ctx_size: None, slots: Some(u32::MAX) };
    let gaps = test_fleet.fleet.set_desired(desired).await;
    assert!(gaps[0].contains("at most 256"), "{gaps:?}");
    assert_eq!((test_fleet.state("one-q8_0"), test_fleet.stages("one-q8_0").len()), ("ready", 1));
}

#[tokio::test(start_paused = true)]
async fn numbers_that_the_engine_made_its_own_of_are_told() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    let ctx = test_fleet.spec("one-q8_0").ctx_per_slot.unwrap();
    // As `-c 32k` among the arguments that are added.
    test_fleet.stage("one-q8_0").become_ready(4, 256);
    test_fleet.settle().await;
    let told = test_fleet.fleet.report().unmet.join(" ");
    assert!(told.contains(&format!("4 slots of {ctx} tokens, its engine runs 4 of 256")), "{told}");
    let whole = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    whole.settle().await;
    whole.serve("one-q8_0").await;
    assert!(whole.fleet.report().unmet.is_empty(), "{:?}", whole.fleet.report().unmet);
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_is_being_closed_is_none() {
    let test_fleet = TestFleet::new(&["one-q8_0"], &["one-q8_0"], None);
    test_fleet.settle().await;
    test_fleet.serve("one-q8_0").await;
    assert_eq!(test_fleet.fleet.set_desired(super::test_fleet::desired("one-q8_0", 2)).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn any_model_of_the_folders_is_one_that_chats() {
    let folder = tempfile::tempdir().unwrap();
    put_pooling(folder.path(), "a-embed-q8_0", LAST);
    super::test_fleet::put(folder.path(), "z-chat-q8_0");
    let test_fleet = TestFleet::with(folder, FleetSettings::default(), None);
    assert!(test_fleet.fleet.serve_any_model());
    assert_eq!(test_fleet.fleet.report().models[0].model.name, "z-chat-q8_0");
}
