//! The same bytes by the other way: from a router and a worker, and from the engine itself.

use std::process::Command;

use auxot_tests::{DEADLINE, Program, Scratch, binaries, http};
use tokio::net::UnixStream;

use super::bytes::{constant, direct, real, shapes};
use super::client::{Client, request};

/// A router with its keys, and the settings of a worker for it.
async fn router(scratch: &Scratch) -> (Program, String, String, [(&'static str, String); 2]) {
    let file = scratch.join("keys.toml");
    let made = Command::new(binaries::program("auxot-router"))
        .args(["keys", "create", "--json", "--file"])
        .arg(&file)
        .env_clear()
        .output()
        .unwrap();
    let keys: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = |name: &str| keys[name].as_str().unwrap().to_owned();
    let mut command = Command::new(binaries::program("auxot-router"));
    command.args(["serve", "--port", "0", "--keys-file"]).arg(&file).env_clear().env("NO_COLOR", "1");
    let mut router = Program::start(command);
    let line = router.line("router listens", DEADLINE).await;
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("addr=")).unwrap().to_owned();
    let settings = [("AUXOT_ROUTER_URL", format!("http://{address}")), ("AUXOT_GPU_KEY", key("worker_key"))];
    (router, address, key("api_key"), settings)
}

#[tokio::test]
async fn a_router_and_a_worker_pass_on_what_the_engine_answers() {
    let of_router = Scratch::new();
    let (_router, address, key, settings) = router(&of_router).await;
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (scratch, worker, _) = real(&["tiny-script-f16"], &settings).await;
    let (_engine, socket) = direct(&scratch, &worker).await;
    http::until(&address, "/health", DEADLINE, |answer| answer.body.contains(r#""workers":1"#)).await;
    let fields = format!("Content-Type: application/json\r\nAuthorization: Bearer {key}\r\n");
    for (path, body) in shapes("tiny-script-f16") {
        if path == "/lora-adapters" && body == "[]" {
            continue;
        }
        let text = request("POST", path, &fields, &body);
        let through = Client::raw(&address, text.as_bytes()).await.whole().await;
        let stream = Box::new(UnixStream::connect(&socket).await.unwrap());
        let from_engine = Client::on(stream, text.as_bytes()).await.whole().await;
        let (through, from_engine) = (constant(&through), constant(&from_engine));
        assert_eq!(through.0, from_engine.0, "{path} {body}: {} / {}", through.2, from_engine.2);
        assert_eq!(through.2, from_engine.2, "{path} {body}");
        let kind = |fields: &[String]| fields.iter().find(|field| field.starts_with("content-type: ")).cloned();
        assert_eq!(kind(&through.1), kind(&from_engine.1), "{path} {body}");
    }
}
