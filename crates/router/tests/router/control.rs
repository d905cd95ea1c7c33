//! The control socket: what an operator sees of workers, providers and keys, and what the commands print.

use std::path::Path;
use std::time::Duration;

use auxot_router::control::api::{Breaker, Health, KeyUse, ModelState, NewKey, Status};
use auxot_router::control::client::{ControlError, RouterClient};
use auxot_router::keys::{KeyFile, NewKeys};
use auxot_router::{CloudApi, Config, ControlConfig, Keys, Router};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cloud::ask;
use crate::cloud_server::CloudServer;
use crate::support::{Client, ScriptedWorker, config, one_model, start, within_deadline};

/// A router with a control socket, and the client of that.
async fn with_socket(config: Config) -> (Router, RouterClient, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let control = ControlConfig { folder: folder.path().join("control"), page_port: 0 };
    let router = start(Config { control: Some(control.clone()), ..config }).await;
    let client = RouterClient::find(Some(&control.folder), |_| None).await.unwrap();
    (router, client, folder)
}

async fn status(client: &RouterClient) -> Status {
    within_deadline("a status", client.status()).await.unwrap()
}

/// Capabilities with two models and a device.
fn two_models() -> Value {
    json!({
        "backend": "llama.cpp", "model": "a-q4_0", "ctx_size": 4096, "total_slots": 3,
        "models": [
            { "name": "a-q4_0", "state": "ready", "slots": 2, "capabilities": ["chat"], "memory_bytes": 77, "restarts": 1 },
            { "name": "b-q4_0", "state": "stopped", "slots": 1, "capabilities": ["embedding"], "load_ms": 2500.0 },
        ],
        "devices": [{ "id": "GPU-1", "name": "A card", "total_bytes": 1000, "used_bytes": 400, "free_bytes": 600 }],
    })
}

#[tokio::test]
async fn a_worker_is_shown_with_its_devices_models_slots_and_heartbeat() {
    let (router, client, _folder) = with_socket(config()).await;
    let empty = status(&client).await;
    assert!(empty.workers.is_empty() && empty.faults[0].starts_with("no worker is connected"), "{:?}", empty.faults);
    assert_eq!(empty.router.address, router.addr().to_string());

    let mut worker = ScriptedWorker::join(&router, &two_models()).await;
    router.wait_for(|now| now.workers == 1).await;
    let before = status(&client).await;
    assert_eq!((before.workers[0].health, before.workers[0].heartbeat_seconds), (Health::Alive, None));
    assert_eq!(before.faults, [""; 0]);
    worker
        .send(json!({ "type": "heartbeat", "devices": [{ "id": "GPU-1", "name": "A card", "total_bytes": 1000, "used_bytes": 900 }] }))
        .await;
    assert_eq!(worker.receive().await["type"], "heartbeat_ack");
    let asked =
        Client::new(&router).chat(&json!({ "model": "a-q4_0", "messages": [{ "role": "user", "content": "hi" }] }));
    let job = worker.job().await;

    let shown = status(&client).await;
    let seen = &shown.workers[0];
    assert!(seen.heartbeat_seconds.is_some() && seen.id.starts_with("gpu_") && seen.address == "127.0.0.1");
    assert_eq!((seen.slots_used, seen.slots, seen.backend.as_str()), (1, 2, "llama.cpp"));
    let device = &seen.devices[0];
    assert_eq!((device.name.as_str(), device.used_bytes, device.free_bytes), ("A card", Some(900), None));
    let models: Vec<_> = seen.models.iter().map(|model| (model.name.as_str(), model.state, model.slots_used)).collect();
    assert_eq!(models, [("a-q4_0", Some(ModelState::Ready), 1), ("b-q4_0", Some(ModelState::Stopped), 0)]);
    assert_eq!((seen.models[0].memory_bytes, seen.models[0].restarts), (Some(77), 1));
    assert_eq!((seen.models[1].load_seconds, seen.models[1].memory_bytes), (Some(2.5), None));
    assert_eq!((shown.queue.running, shown.queue.slots, shown.queue.waiting), (1, 2, 0));
    assert_eq!(seen.times.jobs, 0);

    worker.complete(&job, "done").await;
    assert_eq!(asked.json().await.0, 200);
    let times = status(&client).await.workers[0].times;
    assert!(times.jobs == 1 && times.total.p50.is_some() && times.total.p50 == times.total.p99, "{times:?}");
}

#[tokio::test]
async fn a_worker_of_the_classic_protocol_is_shown_without_what_it_does_not_report() {
    let (router, client, _folder) = with_socket(config()).await;
    let _worker = ScriptedWorker::join(&router, &one_model(2)).await;
    router.wait_for(|now| now.workers == 1).await;
    let shown = status(&client).await;
    let models = &shown.workers[0].models;
    assert_eq!((models[0].name.as_str(), models[0].state, models[0].slots), ("gemma-3-4b-it", None, Some(2)));
    assert!(models.len() == 1 && shown.workers[0].devices.is_empty());
}

#[tokio::test]
async fn a_worker_that_drains_is_no_fault() {
    let (router, client, _folder) = with_socket(config()).await;
    let mut worker = ScriptedWorker::join(&router, &one_model(1)).await;
    worker.send(json!({ "type": "heartbeat", "draining": true })).await;
    assert_eq!(worker.receive().await["type"], "heartbeat_ack");
    let draining = status(&client).await;
    assert_eq!((draining.workers[0].health, draining.faults.len()), (Health::Draining, 0), "{:?}", draining.faults);
}

#[tokio::test]
async fn a_silent_worker_is_dead_and_a_fault() {
    let threshold = Duration::from_millis(500);
    let (router, client, _folder) = with_socket(Config { dead_threshold: threshold, ..config() }).await;
    let _worker = ScriptedWorker::join(&router, &one_model(1)).await;
    router.wait_for(|now| now.silent == 1).await;
    let dead = status(&client).await;
    assert_eq!(dead.workers[0].health, Health::Dead);
    assert!(dead.faults.iter().any(|fault| fault.contains("has sent no heartbeat for")), "{:?}", dead.faults);
}

#[tokio::test]
async fn a_failed_model_is_a_fault_and_no_text_of_a_worker_controls_a_terminal() {
    let (router, client, _folder) = with_socket(config()).await;
    let mut capabilities = two_models();
    capabilities["models"][1]["state"] = "failed".into();
    capabilities["devices"][0]["name"] = "a\u{1b}[2Jb".into();
    capabilities["unmet"] = json!(["no model `c`\n here"]);
    let _worker = ScriptedWorker::join(&router, &capabilities).await;
    router.wait_for(|now| now.workers == 1).await;
    let shown = status(&client).await;
    assert!(shown.faults[0].starts_with("b-q4_0 has failed on worker gpu_"), "{:?}", shown.faults);
    assert!(shown.faults[1].ends_with("no model `c`\\n here"), "{:?}", shown.faults);
    assert_eq!(shown.workers[0].devices[0].name, "a\\u{1b}[2Jb");
}

#[tokio::test]
async fn a_provider_is_shown_with_its_breaker_and_why_it_is_open() {
    let cloud = CloudServer::start().await;
    let (router, client, _folder) =
        with_socket(Config { providers: vec![cloud.provider("far", CloudApi::OpenAi)], ..config() }).await;
    let closed = status(&client).await;
    assert_eq!((closed.providers[0].name.as_str(), closed.providers[0].breaker), ("far", Breaker::Closed));
    assert_eq!(closed.faults, [""; 0]);
    let requester = Client::new(&router);
    for _ in 0..3 {
        let asked = ask(&requester, false);
        cloud.request().await.json(401, "{}").await;
        assert_ne!(asked.response().await.status(), 200);
    }
    let open = status(&client).await;
    assert_eq!(open.providers[0].breaker, Breaker::Open);
    assert_eq!(open.providers[0].last_refusal.as_deref(), Some("key"));
    assert!(open.providers[0].reopens_seconds.is_some());
    assert!(open.faults[0].starts_with("provider `far` gets no requests for"), "{:?}", open.faults);
}

#[tokio::test]
async fn keys_are_created_once_shown_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    let terms = auxot_router::keys::KeyTerms::default();
    let pair = file.create("first", &NewKeys::Pair(terms), None).unwrap();
    let (router, client, _folder) = with_socket(Config { keys: Keys::file(file.path().to_owned()), ..config() }).await;
    let new = NewKey { name: "box".into(), kind: KeyUse::Worker };
    let made = client.create_key(&new).await.unwrap();
    assert!(made.key.starts_with("adm_") && !format!("{made:?}").contains(&made.key));
    let taken = client.create_key(&new).await.unwrap_err();
    assert!(matches!(&taken, ControlError::Refused(why) if why.contains("`box`")), "{taken}");
    let wrong = client.create_key(&NewKey { name: "a b".into(), kind: KeyUse::Api }).await.unwrap_err();
    assert!(wrong.to_string().contains("`a b`"), "{wrong}");

    let mut worker = ScriptedWorker::raw(&router).await;
    worker.send(json!({ "type": "hello", "gpu_key": made.key, "capabilities": one_model(1) })).await;
    assert_eq!(worker.receive().await["success"], true);
    router.wait_for(|now| now.workers == 1).await;
    let shown = status(&client).await;
    let keys: Vec<_> = shown.keys.iter().map(|key| (key.name.as_str(), key.kind, key.workers)).collect();
    assert_eq!(keys, [("first", KeyUse::Worker, 0), ("first", KeyUse::Api, 0), ("box", KeyUse::Worker, 1)]);
    assert_eq!(shown.workers[0].key, "box");
    assert!(shown.keys[2].last_used.is_some() && shown.keys[0].last_used.is_none());
    assert_eq!(shown.keys[1].providers, None);
    let text = serde_json::to_string(&shown).unwrap();
    assert!(!text.contains(&made.key) && !text.contains(&pair.worker.unwrap_or_default()), "{text}");

    let api = client.create_key(&NewKey { name: "app".into(), kind: KeyUse::Api }).await.unwrap();
    assert!(api.key.starts_with("rtr_"));
    let of_app = client.keys().await.unwrap().keys.pop().unwrap();
    assert_eq!(of_app.providers.as_deref(), Some(&["gpu".to_owned()][..]), "nothing leaves this host for others");
    assert_eq!(client.revoke_key("app").await.unwrap().keys, 1);
    assert_eq!(client.revoke_key("box").await.unwrap().keys, 1);
    router.wait_for(|now| now.workers == 0).await;
    assert!(worker.close_code().await.is_none(), "its link is cut");
    assert_eq!(client.keys().await.unwrap().keys.len(), 2);
    assert!(client.revoke_key("box").await.unwrap_err().to_string().contains("`box`"));
}

#[tokio::test]
async fn without_a_key_file_or_a_router_a_command_says_what_to_do() {
    let (router, client, folder) = with_socket(config()).await;
    let refused = client.create_key(&NewKey { name: "a".into(), kind: KeyUse::Api }).await.unwrap_err();
    assert!(refused.to_string().contains("AUXOT_ROUTER_KEYS_FILE"), "{refused}");
    router.shutdown().await;
    let gone = RouterClient::find(Some(&folder.path().join("control")), |_| None).await.unwrap_err().to_string();
    assert!(gone.contains("cannot find a running router") && gone.contains("AUXOT_ROUTER_RUNTIME_DIR"), "{gone}");
}

#[tokio::test]
async fn the_page_answers_a_session_of_its_own_or_a_token_and_no_other_page() {
    let (_router, client, _folder) = with_socket(config()).await;
    let link = client.page().await.unwrap().url;
    let (base, _) = link.split_once("/login").unwrap();
    // A second call in one process finds a provider installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let status = format!("{base}/v1/status");
    let code = async |request: reqwest::RequestBuilder| {
        within_deadline("an answer of the page", request.send()).await.unwrap().status().as_u16()
    };
    assert_eq!(code(browser.get(&status)).await, 401);
    let opened = within_deadline("a login", browser.get(&link).send()).await.unwrap();
    assert_eq!((opened.status().as_u16(), opened.headers()["location"].to_str().unwrap()), (303, "/"));
    let cookie = opened.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(code(browser.get(&link)).await, 403, "it is good once");
    assert_eq!(code(browser.get(&status).header("cookie", &cookie)).await, 200);
    assert_eq!(code(browser.get(&status).header("cookie", &cookie).header("host", "evil.example")).await, 421);
    let foreign = browser.get(&status).header("cookie", &cookie).header("origin", "http://evil.example");
    assert_eq!(code(foreign).await, 403);
    let revoke = || browser.post(format!("{base}/v1/keys/none/revoke")).header("cookie", &cookie);
    assert_eq!(code(revoke()).await, 403, "the token of the session is missing");
    let session = browser.get(format!("{base}/session")).header("cookie", &cookie).send();
    let session: Value = within_deadline("a session", session).await.unwrap().json().await.unwrap();
    assert_eq!(code(revoke().header("x-csrf-token", session["csrf"].as_str().unwrap())).await, 409);
    let token = browser.post(format!("{base}/v1/token")).header("cookie", &cookie);
    assert_eq!(code(token).await, 404, "only the socket gives access to others");

    let token = client.token().await.unwrap();
    assert_eq!(code(browser.get(&status).bearer_auth(&token.token)).await, 200);
    assert_eq!(code(browser.get(&status).bearer_auth("wrong")).await, 401);
    let page = within_deadline("the page", browser.get(base).send()).await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

fn run(arguments: &[&str], folder: &Path) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_auxot-router"));
    command.env_clear().env("AUXOT_ROUTER_RUNTIME_DIR", folder).args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_prints_a_status_for_people_and_for_programs() {
    let (router, _client, folder) = with_socket(config()).await;
    let _worker = ScriptedWorker::join(&router, &two_models()).await;
    router.wait_for(|now| now.workers == 1).await;
    let place = folder.path().join("control");
    let (printed, shown, missing) = tokio::task::spawn_blocking(move || {
        (run(&["status", "--json"], &place), run(&["status"], &place), run(&["status"], Path::new("/nonexistent")))
    })
    .await
    .unwrap();
    let status: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(status["workers"][0]["models"][0]["state"], "ready");
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.starts_with("router   v") && text.contains("alive") && text.contains("a-q4_0"), "{text}");
    assert_eq!(missing.status.code(), Some(69));
    assert!(String::from_utf8(missing.stderr).unwrap().starts_with("auxot-router: cannot find a running router"));
}
