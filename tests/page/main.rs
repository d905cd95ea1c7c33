//! The page in a real browser: `make page-test`, which has the browser and its driver. Without them there is nothing to run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use auxot_tests::scripted_router::{job, policy};
use auxot_tests::{DEADLINE, Host, Program, binaries, processes};
use serde_json::json;

/// The longest run of the browser.
const BROWSER_TIME: Duration = Duration::from_secs(600);
/// Jobs that fill the plots.
const JOBS: u64 = 36;
const CARDS: [(u64, u64, &str); 2] = [(24_564, 900, "NVIDIA RTX 4090"), (24_564, 3_300, "NVIDIA RTX 4090")];

#[tokio::test]
#[ignore = "needs a browser: make page-test"]
async fn the_page_works_in_a_browser() {
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
    let url = login_url("auxot-worker", ("AUXOT_RUNTIME_DIR", &run)).await;
    browse("page.test.mjs", &url, &[&worker.program.pid().to_string()]).await;
    assert!(processes::alive(worker.program.pid()));
}

#[tokio::test]
#[ignore = "needs a browser: make page-test"]
async fn the_routers_page_works_in_a_browser() {
    let host = Host::with_cards(&[24_564, 24_564]);
    host.cards.cards(&CARDS);
    host.model("qwen3-14b", 9_100, "");
    host.model("phi-4-mini", 2_600, "--abort-at-load");
    host.model("mistral-small-24b", 13_900, "");
    let keys = host.stage.scratch.join("keys");
    let folder = host.stage.scratch.join("router");
    let providers = host.stage.scratch.join("providers.toml");
    let text = "[[providers]]\nkind = \"cli\"\nname = \"tool\"\ncommand = [\"/bin/cat\"]\nmodels = { a = \"a\" }\n";
    std::fs::write(&providers, text).unwrap();
    let command = || {
        let mut command = std::process::Command::new(binaries::program("auxot-router"));
        command.env_clear().env("AUXOT_ROUTER_KEYS_FILE", &keys).env("AUXOT_ROUTER_RUNTIME_DIR", &folder);
        command
    };
    let pair = command().args(["keys", "create", "--json"]).output().unwrap();
    let pair: serde_json::Value = serde_json::from_slice(&pair.stdout).unwrap();
    let mut serve = command();
    serve.args(["serve", "--port", "0", "--providers-file"]).arg(&providers).env("NO_COLOR", "1");
    let mut router = Program::start(serve);
    let line = router.line("router listens", DEADLINE).await;
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("addr=")).unwrap();
    let _worker = host
        .worker(&[
            ("AUXOT_ROUTER_URL", &format!("http://{address}")),
            ("AUXOT_GPU_KEY", pair["worker_key"].as_str().unwrap()),
            ("AUXOT_GPU_AUTOLOAD_MODELS", "qwen3-14b-q4_0,phi-4-mini-q4_0,mistral-small-24b-q4_0"),
        ])
        .await;
    let url = login_url("auxot-router", ("AUXOT_ROUTER_RUNTIME_DIR", &folder)).await;
    browse("router.test.mjs", &url, &[]).await;
}

/// The link that `page` of a program prints.
async fn login_url(program: &str, folder: (&str, &Path)) -> String {
    let mut command = tokio::process::Command::new(binaries::program(program));
    let output = command.arg("page").env_clear().env(folder.0, folder.1).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs a script with the browser.
async fn browse(script: &str, url: &str, arguments: &[&str]) {
    let modules = std::env::var("PAGE_TEST").unwrap_or_else(|_| panic!("PAGE_TEST is not set: run make page-test"));
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut browser = tokio::process::Command::new("node");
    browser.arg(script).arg(url).arg(pictures).args(arguments).current_dir(&modules).kill_on_drop(true);
    let ended = tokio::time::timeout(BROWSER_TIME, browser.status()).await.unwrap().unwrap();
    assert!(ended.success(), "the page has faults, see above");
}
