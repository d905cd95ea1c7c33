//! `fleet.pull`: a running worker downloads the missing models of its list and of the router's policy.

use std::process::Command;

use auxot_tests::gguf::ModelFile;
use auxot_tests::scripted_router::policy;
use auxot_tests::{DEADLINE, Stage, Worker, binaries};
use serde_json::{Value, json};

use crate::TestHub;

const NAME: &str = "m-q4_k_m";
/// The same as a policy names it.
const OF_POLICY: &str = "m-Q4_K_M";

/// A worker that downloads, and the hub that it downloads from.
struct Downloading {
    hub: TestHub,
    stage: Stage,
}

impl Downloading {
    /// A hub whose model is in the operator's table under two names.
    fn new() -> Self {
        let hub = TestHub::new();
        let entry = |name: &str| format!("[[model]]\nname = \"{name}\"\nrepository = \"owner/m-GGUF\"\n");
        std::fs::write(hub.scratch.join("models.toml"), entry("m") + &entry("house-model")).unwrap();
        Self { hub, stage: Stage::new() }
    }

    async fn worker(&self, settings: &[(&str, &str)]) -> Worker {
        let table = self.hub.scratch.join("models.toml");
        let own = [
            ("AUXOT_FLEET__PULL", "true"),
            ("AUXOT_FLEET__FAILED_RETRY", "50ms"),
            ("AUXOT_HUB__MODELS_FILE", table.to_str().unwrap()),
            ("AUXOT_HUB__RETRY_DELAY", "1ms"),
            ("AUXOT_HUB__RETRY_MAX_DELAY", "2ms"),
            ("HF_ENDPOINT", &self.hub.endpoint),
        ];
        self.stage.worker(&[&own, settings].concat()).await
    }

    /// What a command to the worker prints.
    async fn ask(&self, command: &str) -> Vec<u8> {
        let mut ask = Command::new(binaries::program("auxot-worker"));
        ask.args([command, "--json"]).env_clear().env("HOME", "/nonexistent");
        ask.env("AUXOT_RUNTIME_DIR", self.stage.scratch.join("run"));
        tokio::process::Command::from(ask).output().await.unwrap().stdout
    }

    /// Asks for the status until something holds.
    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                // Nothing while it does not answer yet.
                let status: Value = serde_json::from_slice(&self.ask("status").await).unwrap_or_default();
                if status.is_object() && holds(&status) {
                    return status;
                }
            }
        };
        tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("{what} does not happen"))
    }

    /// The download states among the events so far, each once in a row.
    async fn states(&self, model: &str) -> Vec<String> {
        let events = String::from_utf8(self.ask("events").await).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_model = events.filter(|event| event["kind"] == "download" && event["model"] == model);
        let mut states: Vec<String> = of_model.map(|event| event["to"].as_str().unwrap().to_owned()).collect();
        states.dedup();
        states
    }
}

fn is_ready(status: &Value, model: &str) -> bool {
    status["models"].as_array().unwrap().iter().any(|view| view["name"] == model && view["state"] == "ready")
}

fn download<'s>(status: &'s Value, model: &str) -> Option<&'s Value> {
    status["downloads"].as_array().unwrap().iter().find(|download| download["model"] == model)
}

#[tokio::test]
async fn the_model_of_a_policy_is_downloaded_and_served() {
    let mut test = Downloading::new();
    test.hub.switch("stall 1 2000000");
    let worker = test.worker(&[("AUXOT_HUB__STALL_TIMEOUT", "1s")]).await;
    let _link = test.stage.greeted(&policy("m", "Q4_K_M", 2048, 2)).await;
    let status = test.until("the download", |status| !status["downloads"].as_array().unwrap().is_empty()).await;
    let unmet = status["unmet"].to_string();
    assert!(unmet.contains("cannot find model m-Q4_K_M") && unmet.contains("download"), "{unmet}");
    let status = test.until("the load", |status| is_ready(status, NAME)).await;
    assert_eq!((&status["downloads"], &status["unmet"]), (&json!([]), &json!([])));
    let states = test.states(OF_POLICY).await;
    assert_eq!(states.last().map(String::as_str), Some("complete"), "{states:?}");
    assert!(states.contains(&"receiving".to_owned()), "{states:?}");
    assert!(test.stage.scratch.models().join("owner_m-GGUF/mmproj-F16.gguf").exists());
    assert_eq!(worker.lines_with("a missing model is downloaded and found").len(), 1);
}

#[tokio::test]
async fn a_listed_model_is_downloaded_after_a_failure_that_is_shown() {
    let mut test = Downloading::new();
    test.hub.switch("gated");
    let settings = [("AUXOT_GPU_AUTOLOAD_MODELS", "m-q4_k_m,nowhere-q8_0"), ("AUXOT_HUB__ATTEMPTS", "1")];
    let _worker = test.worker(&settings).await;
    let _link = test.stage.greeted(&policy("", "", 2048, 2)).await;
    let is_gated = |status: &Value| {
        download(status, NAME).is_some_and(|one| one["reason"].as_str().is_some_and(|text| text.contains("is gated")))
    };
    let status = test.until("the refusal", is_gated).await;
    assert!(status["unmet"].to_string().contains("is gated; accept its terms on"), "{status}");
    let unknown = |status: &Value| download(status, "nowhere-q8_0").is_some_and(|one| one["state"] == "failed");
    let status = test.until("the other one's refusal", unknown).await;
    let reason = download(&status, "nowhere-q8_0").unwrap()["reason"].as_str().unwrap();
    assert!(reason.contains("the table of models does not have nowhere-q8_0"), "{reason}");
    test.hub.switch("");
    test.until("the load", |status| is_ready(status, NAME)).await;
}

#[tokio::test]
async fn a_download_ends_with_its_policy_and_another_begins() {
    let mut test = Downloading::new();
    // Without a model of its own the worker leaves the router once it has the policy.
    test.stage.put("own-q8_0.gguf", "");
    test.hub.switch("stall 1 1000000");
    let settings = [("AUXOT_HUB__STALL_TIMEOUT", "10m"), ("AUXOT_GPU_AUTOLOAD_MODELS", "own-q8_0")];
    let mut worker = test.worker(&settings).await;
    let mut link = test.stage.greeted(&policy("m", "Q8_0", 2048, 2)).await;
    let receives = |status: &Value| download(status, "m-Q8_0").is_some_and(|one| one["bytes"].as_u64() > Some(0));
    test.until("the stall", receives).await;
    link.send(&json!({"type": "policy_update", "policy": policy("m", "Q4_K_M", 2048, 2)})).await;
    worker.line("the download is ended: its model is no longer wanted").await;
    test.until("the load", |status| is_ready(status, NAME)).await;
}

#[tokio::test]
async fn a_full_disk_and_a_name_that_no_file_has_are_reasons() {
    let mut test = Downloading::new();
    let list = ("AUXOT_GPU_AUTOLOAD_MODELS", "m-q4_k_m");
    let worker = test.worker(&[list, ("AUXOT_HUB__KEEP_FREE", "900TiB")]).await;
    let _link = test.stage.greeted(&policy("", "", 2048, 2)).await;
    let because = |model: &'static str, text: &'static str| {
        move |status: &Value| download(status, model).is_some_and(|one| one["reason"].to_string().contains(text))
    };
    test.until("the refusal", because(NAME, "900.0 TiB stay free (hub.keep_free)")).await;
    drop(worker);
    let _worker = test.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", "house-model-q4_k_m")]).await;
    test.until("the reason", because("house-model-q4_k_m", "add one to catalog.aliases")).await;
}

#[tokio::test]
async fn nothing_is_downloaded_without_the_setting_or_for_a_damaged_file() {
    let mut test = Downloading::new();
    let damaged = ModelFile::named("m").write(&test.stage.scratch.models(), "m-q4_k_m.gguf");
    std::fs::OpenOptions::new().write(true).open(&damaged).unwrap().set_len(20).unwrap();
    let worker = test.worker(&[]).await;
    let link = test.stage.greeted(&policy("m", "Q4_K_M", 2048, 2)).await;
    let status = test.until("the policy", |status| !status["unmet"].as_array().unwrap().is_empty()).await;
    assert_eq!(status["downloads"], json!([]), "{status}");
    drop((link, worker));
    let _worker = test.worker(&[("AUXOT_FLEET__PULL", "false")]).await;
    let _link = test.stage.greeted(&policy("m", "Q8_0", 2048, 2)).await;
    let status = test.until("the policy", |status| status["unmet"].to_string().contains("m-Q8_0")).await;
    assert_eq!(status["downloads"], json!([]), "{status}");
    assert_eq!(test.hub.requests("GET").len(), 0);
}
