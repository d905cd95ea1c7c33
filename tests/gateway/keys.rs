//! API keys: made, required, listed and revoked.

use std::process::Output;

use auxot_tests::binaries;
use serde_json::{Value, json};

use super::client::{Client, request};
use super::{MODEL, MODEL_FILE, Setup, body, command, started};

const STREAM: &str = r#","stream":true"#;

/// Runs `auxot-worker keys …` with the settings of the stage.
fn keys(setup: &Setup, words: &[&str]) -> Output {
    let mut command = command(&setup.scratch);
    command.env("AUXOT_GATEWAY__KEYS_FILE", setup.scratch.join("keys.toml")).arg("keys").args(words);
    // The flag of the worker's kind stands before the command.
    let mut plain = std::process::Command::new(binaries::program("auxot-worker"));
    plain.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    plain.arg("keys").args(words).output().unwrap()
}

fn answered(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_key_is_shown_once_required_of_every_request_and_bad_within_seconds_once_revoked() {
    let setup = Setup::new();
    setup.put(MODEL_FILE, "--text here");
    let made = answered(&keys(&setup, &["create", "laptop", "--json"]));
    let other = answered(&keys(&setup, &["create", "phone", "--json"]));
    let (key, other) = (made["api_key"].as_str().unwrap().to_owned(), other["api_key"].as_str().unwrap().to_owned());
    let stored = std::fs::read_to_string(setup.scratch.join("keys.toml")).unwrap();
    assert!(!stored.contains(&key[11..]) && stored.contains("sha256:"), "only the hash and the beginning are stored");
    let names: Vec<Value> = answered(&keys(&setup, &["list", "--json"]))
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, [json!("laptop"), json!("phone")]);

    let mut settings = command(&setup.scratch);
    settings.env("AUXOT_GATEWAY__KEYS_FILE", setup.scratch.join("keys.toml"));
    settings.env("AUXOT_GATEWAY_ADDR", "0.0.0.0:0");
    let (worker, address) = started(settings).await;
    let address = address.replace("0.0.0.0", "127.0.0.1");
    let ask = async |fields: &str| {
        let text = request("POST", "/v1/chat/completions", fields, &body("hi", ""));
        Client::raw(&address, text.as_bytes()).await.whole().await
    };
    for (fields, status, code) in [
        (String::new(), 401, json!("no_api_key")),
        (format!("Authorization: Bearer {key}x\r\n"), 401, json!("invalid_api_key")),
        (format!("Authorization: Bearer {key}\r\n"), 200, json!(null)),
        (format!("X-Api-Key: {other}\r\n"), 200, json!(null)),
    ] {
        let answer = ask(&fields).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code), "{}", answer.text());
    }
    assert_eq!(Client::get(&address, "/v1/models").await.whole().await.status, 401);
    assert_eq!(Client::get(&address, "/health").await.whole().await.status, 200);

    assert!(keys(&setup, &["revoke", "laptop"]).status.success());
    assert_eq!(keys(&setup, &["revoke", "laptop"]).status.code(), Some(1), "it is gone");
    let revoked = async {
        while ask(&format!("Authorization: Bearer {key}\r\n")).await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(auxot_tests::DEADLINE, revoked).await.unwrap();
    assert_eq!(ask(&format!("X-Api-Key: {other}\r\n")).await.status, 200, "the other one is as good as before");
    for line in worker.program.lines() {
        assert!(!line.contains(&key) && !line.contains(&other), "{line}");
    }
}

#[tokio::test]
async fn the_requests_of_a_revoked_key_end_with_an_error_and_those_of_others_go_on() {
    let setup = Setup::new();
    setup.put(MODEL_FILE, "--tokens 1000000 --token-us 20000 --write-each");
    let make = |name| answered(&keys(&setup, &["create", name, "--json"]))["api_key"].as_str().unwrap().to_owned();
    let (leaked, kept) = (make("leaked"), make("kept"));
    let mut settings = command(&setup.scratch);
    settings.env("AUXOT_GATEWAY__KEYS_FILE", setup.scratch.join("keys.toml"));
    settings.env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL).env("AUXOT_MAX_PARALLEL", "2");
    let (mut worker, address) = started(settings).await;
    worker.line("model is loaded").await;
    let ask = async |key: &str, path: &str, more: &str| {
        let fields = format!("Authorization: Bearer {key}\r\nContent-Type: application/json\r\n");
        let text = request("POST", path, &fields, &body("hi", more));
        Client::raw(&address, text.as_bytes()).await
    };
    let mut streamed = ask(&leaked, "/v1/chat/completions", STREAM).await;
    let mut other = ask(&kept, "/v1/chat/completions", STREAM).await;
    for client in [&mut streamed, &mut other] {
        assert!(client.until("data: ").await, "{}", client.shown());
    }
    let mut waiting = ask(&leaked, "/v1/chat/completions", "").await;
    let mut of_anthropic = ask(&leaked, "/v1/messages", r#","max_tokens":9"#).await;
    worker.metric_until("auxot_worker_jobs_waiting", &[], |count| count == 2.0).await;

    assert!(keys(&setup, &["revoke", "leaked"]).status.success());
    let answer = streamed.whole().await;
    let last = answer.text().rsplit("\n\n").nth(1).unwrap();
    assert!(last.starts_with("data: {\"error\":{") && last.contains("invalid_api_key"), "{last}");
    let answer = waiting.whole().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("invalid_api_key")), "{answer:?}");
    let answer = of_anthropic.whole().await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (401, &json!("authentication_error")), "{answer:?}");
    for (model, count) in [("unknown", 2.0), (MODEL, 1.0)] {
        let labels = ["ending=\"key_revoked\"", "door=\"gateway\"", &format!("model=\"{model}\"")];
        worker.metric_until("auxot_worker_jobs_total", &labels, |found| found == count).await;
    }
    other.seen.clear();
    assert!(other.until("data: ").await, "the key of this one is good");
}

#[tokio::test]
async fn an_address_of_other_hosts_needs_keys() {
    let setup = Setup::new();
    let refused = |settings: &[(&str, &str)]| {
        let mut command = command(&setup.scratch);
        command.envs(settings.iter().copied());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, text) = refused(&[("AUXOT_GATEWAY_ADDR", "0.0.0.0:0")]);
    assert!(code == Some(64) && text.contains("cannot listen on 0.0.0.0:0 without keys"), "{code:?} {text}");
    let empty = setup.scratch.join("empty.toml").display().to_string();
    std::fs::write(&empty, "").unwrap();
    let (code, text) = refused(&[("AUXOT_GATEWAY_ADDR", "0.0.0.0:0"), ("AUXOT_GATEWAY__KEYS_FILE", &empty)]);
    assert!(code == Some(69) && text.contains("has no key yet"), "{code:?} {text}");
}

#[tokio::test]
async fn other_hosts_are_served_with_tls_where_there_is_a_certificate() {
    use std::sync::Arc;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};

    let setup = Setup::new();
    setup.put(MODEL_FILE, "--text here");
    let key = answered(&keys(&setup, &["create", "laptop", "--json"]))["api_key"].as_str().unwrap().to_owned();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, private) = (setup.scratch.join("cert.pem"), setup.scratch.join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&private, certified.signing_key.serialize_pem()).unwrap();
    let mut settings = command(&setup.scratch);
    settings.env("AUXOT_GATEWAY__KEYS_FILE", setup.scratch.join("keys.toml")).env("AUXOT_GATEWAY_ADDR", "0.0.0.0:0");
    settings.env("AUXOT_GATEWAY__TLS_CERTIFICATE", certificate).env("AUXOT_GATEWAY__TLS_KEY", private);
    let (worker, address) = started(settings).await;
    assert_eq!(worker.lines_with("url=https://").len() + worker.lines_with("url=\"https://").len(), 1);
    let address = address.replace("0.0.0.0", "127.0.0.1");

    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config =
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tcp = tokio::net::TcpStream::connect(&address).await.unwrap();
    let tls = connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    let ask = |more: &str| {
        let fields = format!("Authorization: Bearer {key}\r\n");
        request("POST", "/v1/chat/completions", &fields, &body("hi", more))
    };
    let mut client = Client::on(Box::new(tls), ask("").as_bytes()).await;
    let answer = client.whole().await;
    assert!(answer.status == 200 && answer.text().contains("here"), "{answer:?}");
    client.send(ask(r#","stream":true"#).as_bytes()).await;
    assert!(client.whole().await.text().ends_with("data: [DONE]\n\n"), "a stream on the same connection");
    let mut plain = Client::get(&address, "/health").await;
    assert!(!plain.until("200 OK").await, "no answer without TLS");
}
