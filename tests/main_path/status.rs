//! What the router's operator sees of a real worker.

use auxot_tests::{Scratch, binaries};
use serde_json::json;

use crate::chain::Chain;
use crate::client::ask;

#[tokio::test]
async fn the_status_of_the_router_shows_the_worker_with_devices_models_and_state() {
    let scratch = Scratch::new();
    scratch.fake_model("tiny-q8_0.gguf", "--text done");
    scratch.fake_model("other-q8_0.gguf", "");
    let chain = Chain::start(&scratch, &binaries::fake_engine(), "tiny-q8_0,other-q8_0").await;
    chain.loaded("tiny-q8_0", true).await;
    assert_eq!(ask(&chain, "tiny-q8_0", "hello").await.text.trim(), "done");
    let status = chain.status(&scratch).await;
    let worker = &status["workers"][0];
    assert_eq!((&worker["health"], &worker["address"]), (&json!("alive"), &json!("127.0.0.1")), "{status}");
    assert_eq!(worker["program"], concat!("auxot-worker/", env!("CARGO_PKG_VERSION")), "{status}");
    assert_eq!((&worker["key"], &status["keys"][0]["workers"]), (&json!("default"), &json!(1)), "{status}");
    let host = worker["devices"].as_array().unwrap().iter().find(|device| device["id"] == "host");
    assert!(host.is_some_and(|host| host["total_bytes"].as_u64() > host["used_bytes"].as_u64()), "{status}");
    let names: Vec<_> = worker["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, [&json!("tiny-q8_0"), &json!("other-q8_0")], "{status}");
    let model = &worker["models"][0];
    assert_eq!((&model["state"], &model["slots_used"]), (&json!("ready"), &json!(0)), "{status}");
    assert!(worker["slots"].as_u64() > Some(0) && worker["times"]["jobs"] == 1, "{status}");
    assert!(worker["times"]["first_byte"]["p50"].as_f64() <= worker["times"]["total"]["p50"].as_f64(), "{status}");
    assert_eq!(status["router"]["address"], json!(chain.address));
}
