//! Two models on a card that has room for one, and jobs of a router in the same queues.

use auxot_tests::scripted_router::{job_for, policy};
use auxot_tests::{Host, Worker};

use super::body;
use super::client::Client;

/// A worker with a router and a gateway, whose models may be evicted at once.
async fn open(host: &Host) -> (Worker, String) {
    let settings = [
        ("AUXOT_GATEWAY_ADDR", "127.0.0.1:0"),
        ("AUXOT_GPU_AUTOLOAD_MODELS", "alpha-q4_0"),
        ("AUXOT_FLEET__MIN_LOADED_TIME", "0s"),
        ("AUXOT_ROUTER_CONNECTIONS", "1"),
    ];
    let mut worker = host.worker(&settings).await;
    let line = worker.line("gateway listens").await;
    let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    (worker, address)
}

#[tokio::test]
async fn a_request_for_another_model_waits_for_the_answers_of_the_first_and_swaps_it() {
    let mut host = Host::with_cards(&[12_000]);
    host.model("alpha", 8000, "--tokens 20 --token-us 5000");
    host.model("beta", 8000, "--text 'from beta'");
    let (_worker, address) = open(&host).await;
    let alpha = host.ready("alpha").await;
    let mut first = Client::post(&address, "/v1/chat/completions", &body("hi", r#","stream":true"#)).await;
    assert!(first.until("data: ").await);
    let asks = body("hi", r#","model":"beta""#);
    let mut second = Client::post(&address, "/v1/chat/completions", &asks).await;
    assert!(first.whole().await.text().ends_with("data: [DONE]\n\n"), "the answer under way is finished");
    let answer = second.whole().await;
    assert!(answer.status == 200 && answer.text().contains("from beta"), "{answer:?}");
    host.ended(&alpha).await;
}

#[tokio::test]
async fn a_job_of_the_router_and_a_local_request_share_one_queue() {
    let mut host = Host::with_cards(&[12_000]);
    host.model("alpha", 8000, "--tokens 1000000 --token-us 1000");
    let (worker, address) = open(&host).await;
    let mut link = host.greeted(&policy("alpha", "Q4_0", 2048, 2)).await;
    host.ready("alpha").await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = Client::post(&address, "/v1/chat/completions", &body("hi", r#","stream":true"#)).await;
        assert!(client.until("data: ").await);
        busy.push(client);
    }
    link.send(&job_for("j", "alpha-q4_0", "fake: --text 'for the router'")).await;
    let labels = ["model=\"alpha-q4_0\""];
    worker.metric_until("auxot_worker_jobs_waiting", &labels, |waiting| waiting == 1.0).await;
    let asks = body("fake: --text 'for the local one'", "");
    let mut local = Client::post(&address, "/v1/chat/completions", &asks).await;
    worker.metric_until("auxot_worker_jobs_waiting", &labels, |waiting| waiting == 2.0).await;
    busy.pop();
    assert_eq!(link.outcome("j").await.completed().trim(), "for the router", "it came first");
    assert!(local.whole().await.text().contains("for the local one"));
}
