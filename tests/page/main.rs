//! The page in a real browser: `make page-test`, which has the browser and its driver. Without them there is nothing to run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use auxot_tests::scripted_router::{job, policy};
use auxot_tests::{Host, binaries, processes};
use serde_json::json;

/// The longest run of the browser.
const BROWSER_TIME: Duration = Duration::from_secs(600);
/// Jobs that fill the plots.
const JOBS: u64 = 36;
const CARDS: [(u64, u64, &str); 2] = [(24_564, 900, "NVIDIA RTX 4090"), (24_564, 3_300, "NVIDIA RTX 4090")];

#[tokio::test]
#[ignore = "needs a browser: make page-test"]
async fn the_page_works_in_a_browser() {
    let modules = std::env::var("PAGE_TEST").unwrap_or_else(|_| panic!("PAGE_TEST is not set: run make page-test"));
    let mut host = Host::with_cards(&[24_564, 24_564]);
    host.cards.cards(&CARDS);
    let text =
        "--text 'Hello! I am a small language model that runs on a GPU of this host.' --tokens 16 --token-us 30000";
    host.model("llama-3.1-8b-instruct", 5_200, text);
    host.model("qwen3-14b", 9_100, text);
    host.model("mistral-small-24b", 13_900, text);
    host.model("phi-4-mini", 2_600, &format!("{text} --abort-at-load"));
    let names = "llama-3.1-8b-instruct-q4_0,qwen3-14b-q4_0";
    let worker = host.worker(&[("AUXOT_GPU_AUTOLOAD_MODELS", names)]).await;
    let mut link = host.greeted(&policy("llama-3.1-8b-instruct", "Q4_0", 2048, 2)).await;
    host.ready("llama-3.1-8b-instruct").await;
    host.ready("qwen3-14b").await;
    for number in 0..JOBS {
        let (id, model) =
            (format!("job-{number}"), if number % 3 == 0 { "qwen3-14b-q4_0" } else { "llama-3.1-8b-instruct-q4_0" });
        let mut wanted =
            job(&id, &format!("fake: --tokens {} --token-us {}", 20 + 7 * (number % 9), 2_500 + 900 * (number % 4)));
        wanted["model"] = json!(model);
        link.send(&wanted).await;
        link.outcome(&id).await.completed();
    }
    let run = host.stage.scratch.join("run");
    let output = tokio::process::Command::new(binaries::program("auxot-worker"))
        .arg("page")
        .env_clear()
        .env("AUXOT_RUNTIME_DIR", &run)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let url = String::from_utf8(output.stdout).unwrap();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut browser = tokio::process::Command::new("node");
    browser.arg("page.test.mjs").arg(url.trim()).arg(pictures).arg(worker.program.pid().to_string());
    browser.current_dir(&modules).kill_on_drop(true);
    let ended = tokio::time::timeout(BROWSER_TIME, browser.status()).await.unwrap().unwrap();
    assert!(ended.success(), "the page has faults, see above");
    assert!(processes::alive(worker.program.pid()));
}
