//! The order of providers: workers first, and when it is another one's turn.

use std::time::Duration;

use auxot_router::{CloudApi, Config};
use serde_json::{Value, json};

use crate::cloud::{ask, with};
use crate::cloud_server::CloudServer;
use crate::support::{Client, ScriptedWorker, config, start, within_deadline};

const ANSWER: &str = r#"{"choices":[{"message":{"content":"from the cloud"}}]}"#;

fn worker(slots: u32) -> Value {
    json!({ "backend": "llama.cpp", "model": "m", "ctx_size": 4096, "total_slots": slots, "extensions": ["parameters"] })
}

fn listed(state: &str, requests: bool) -> Value {
    let extensions = if requests { json!(["parameters", "requests"]) } else { json!(["parameters"]) };
    let models = json!([{ "name": "m", "state": state, "slots": 1 }]);
    json!({ "backend": "llama.cpp", "model": "m", "ctx_size": 4096, "models": models, "extensions": extensions })
}

async fn from_the_cloud(cloud: &CloudServer, asked: crate::support::PendingResponse) {
    cloud.request().await.json(200, ANSWER).await;
    let response = asked.response().await;
    assert_eq!((response.status().as_u16(), &response.headers()["x-auxot-provider"]), (200, &"far".parse().unwrap()));
}

#[tokio::test]
async fn a_worker_that_appears_comes_first_and_is_waited_for_while_it_is_busy() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    from_the_cloud(&cloud, ask(&client, false)).await;
    let mut worker = ScriptedWorker::join(&router, &worker(1)).await;
    let first = ask(&client, false);
    let job = worker.job().await;
    let second = ask(&client, false);
    within_deadline("a waiting job", router.wait_for(|summary| summary.waiting == 1)).await;
    worker.complete(&job, "from the worker").await;
    let response = first.response().await;
    assert_eq!(response.headers()["x-auxot-provider"], "gpu");
    let job = worker.job().await;
    worker.complete(&job, "from the worker").await;
    assert_eq!(second.json().await.1["choices"][0]["message"]["content"], "from the worker");
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_worker_that_is_lost_or_refuses_before_the_first_byte_is_followed_by_the_next_provider() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    for stream in [false, true] {
        let mut worker = ScriptedWorker::join(&router, &worker(1)).await;
        let asked = ask(&client, stream);
        let job = worker.job().await;
        worker.send(json!({ "type": "error", "job_id": job, "error": "engine gone" })).await;
        let mut request = cloud.request().await;
        worker.expect_no_message().await;
        if stream {
            request.events("data: {}\n\ndata: [DONE]\n\n").await;
        } else {
            request.json(200, ANSWER).await;
        }
        assert_eq!(asked.response().await.headers()["x-auxot-provider"], "far");

        let asked = ask(&client, false);
        worker.job().await;
        worker.drop_connection();
        from_the_cloud(&cloud, asked).await;
    }
    // What the client has asked for is at fault: no other provider hears of it.
    let mut worker = ScriptedWorker::join(&router, &worker(1)).await;
    let asked = ask(&client, false);
    let job = worker.job().await;
    worker.send(json!({ "type": "error", "job_id": job, "error": "too long", "status": 400 })).await;
    assert_eq!(asked.response().await.status(), 400);
    cloud.expect_no_request();
}

#[tokio::test]
async fn an_engine_that_answers_with_its_own_fault_is_followed_by_the_next_provider() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let mut worker = ScriptedWorker::join(&router, &listed("ready", true)).await;
    let asked = ask(&client, false);
    let (job, _) = worker.payload().await;
    let id = job["job_id"].as_str().unwrap();
    worker.head(id, "a", 503, "application/json").await;
    assert_eq!(worker.receive().await["type"], "cancel");
    from_the_cloud(&cloud, asked).await;
}

#[tokio::test]
async fn half_an_answer_of_a_worker_is_finished_by_no_other_provider() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let mut first = ScriptedWorker::join(&router, &worker(1)).await;
    let asked = ask(&client, true);
    let job = first.job().await;
    first.token(&job, "half").await;
    let mut events = asked.events().await;
    events.until("half").await;
    first.drop_connection();
    within_deadline("a waiting job", router.wait_for(|summary| summary.waiting == 1)).await;
    cloud.expect_no_request();
    let mut second = ScriptedWorker::join(&router, &worker(1)).await;
    let job = second.job().await;
    second.complete(&job, "half and half").await;
    assert_eq!(events.rest().await.0, " and half");
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_model_that_loads_is_waited_for_within_a_bound() {
    let cloud = CloudServer::start().await;
    let providers = vec![cloud.provider("far", CloudApi::OpenAi)];
    // A comment would keep the client to the worker.
    let (load_wait, keep_alive) = (Duration::from_millis(50), Duration::from_millis(5));
    let router = start(Config { providers: providers.clone(), load_wait, keep_alive, ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &listed("stopped", false)).await;
    let asked = ask(&client, true);
    let job = worker.job().await;
    let cancel = worker.receive().await;
    assert_eq!((&cancel["type"], &cancel["job_id"]), (&json!("cancel"), &json!(job)));
    cloud.request().await.events("data: {}\n\ndata: [DONE]\n\n").await;
    assert_eq!(asked.response().await.headers()["x-auxot-provider"], "far");

    // Within the bound the worker answers, and the stream of a client has no comment before that.
    let keep_alive = Duration::from_millis(20);
    let router = start(Config { providers, keep_alive, ..config() }).await;
    let client = Client::new(&router);
    let mut worker = ScriptedWorker::join(&router, &listed("stopped", false)).await;
    let asked = ask(&client, true);
    let job = worker.job().await;
    worker.send(json!({ "type": "heartbeat", "models": [{ "name": "m", "state": "ready", "slots": 1 }] })).await;
    assert_eq!(worker.receive().await["type"], "heartbeat_ack");
    let response = asked.response().await;
    assert_eq!(response.headers()["x-auxot-provider"], "gpu", "comments begin when the model is loaded");
    worker.complete(&job, "loaded").await;
    let text = within_deadline("the rest", response.text()).await.unwrap();
    assert!(text.contains("loaded") && text.ends_with("data: [DONE]\n\n"), "{text}");
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_name_that_means_several_models_of_the_workers_leaves_the_host_for_none() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let models = json!([{ "name": "m-q4_0", "state": "ready" }, { "name": "m-q8_0", "state": "ready" }]);
    let several = json!({ "backend": "llama.cpp", "model": "m-q4_0", "ctx_size": 4096, "models": models });
    let _worker = ScriptedWorker::join(&router, &several).await;
    let (status, answer) = ask(&client, false).json().await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("ambiguous_model")));
    cloud.expect_no_request();
}

#[tokio::test]
async fn a_router_that_stops_lets_a_provider_finish() {
    let cloud = CloudServer::start().await;
    let (router, client) = with(vec![cloud.provider("far", CloudApi::OpenAi)]).await;
    let asked = ask(&client, false);
    let request = cloud.request().await;
    let answering = async {
        request.json(200, ANSWER).await;
        assert_eq!(asked.response().await.status(), 200);
    };
    within_deadline("the end of the router", async { tokio::join!(router.shutdown(), answering) }).await;
}
