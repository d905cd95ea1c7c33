//! A client that leaves, in each phase: the slot and the engine's connection are free.

use std::path::PathBuf;

use auxot_tests::{DEADLINE, Scratch, http, leftovers, real};

use super::client::Client;
use super::{MODEL, Setup, Stage, body, command, open, started};

async fn idle(stage: &Stage) {
    let labels = [&*format!("model=\"{MODEL}\""), "ending=\"cancelled\"", "door=\"gateway\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 1.0).await;
    stage.worker.metric_until("auxot_worker_slots_busy", &[], |busy| busy == 0.0).await;
}

#[tokio::test]
async fn while_its_stream_comes() {
    let mut stage = Stage::ready("--tokens 1000000 --token-us 1000", &[]).await;
    let mut client = stage.chat(&body("hi", r#","stream":true"#)).await;
    assert!(client.until("data: ").await);
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_it_waits_for_an_answer_that_is_no_stream() {
    let mut stage = Stage::ready("--tokens 1000000 --token-us 1000", &[]).await;
    let client = stage.chat(&body("hi", "")).await;
    stage.report("slot").await;
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_its_prompt_is_read() {
    let mut stage = Stage::ready("--prompt-ms 3600000", &[]).await;
    let client = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.report("slot").await;
    drop(client);
    stage.report("released").await;
    idle(&stage).await;
}

#[tokio::test]
async fn while_the_model_loads_or_all_slots_are_busy() {
    let setup = Setup::new();
    let gate = setup.gate();
    setup.put("slow-q8_0.gguf", &format!("--hold load:{}", gate.display()));
    let stage = setup.ready("--tokens 1000000 --token-us 1000", &[("AUXOT_MAX_PARALLEL", "1")]).await;
    let _busy = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.worker.metric_until("auxot_worker_slots_busy", &[], |busy| busy == 1.0).await;
    let waiting = async |count: f64| {
        stage.worker.metric_until("auxot_worker_jobs_waiting", &[], |now| now == count).await;
    };
    for more in [r#","stream":true"#, "", r#","model":"slow-q8_0""#] {
        let client = stage.chat(&body("hi", more)).await;
        if more.contains("slow") {
            let labels = ["model=\"slow-q8_0\""];
            stage.worker.metric_until("auxot_worker_jobs_waiting", &labels, |now| now == 1.0).await;
            drop(client);
            stage.worker.metric_until("auxot_worker_jobs_waiting", &labels, |now| now == 0.0).await;
        } else {
            waiting(1.0).await;
            drop(client);
            waiting(0.0).await;
        }
    }
    open(&gate);
}

#[tokio::test]
async fn while_its_body_is_not_sent_yet() {
    let stage = Stage::ready("--text here", &[("AUXOT_GATEWAY__MAX_CONNECTIONS", "1")]).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{\"mess";
    drop(Client::raw(&stage.address, head.as_bytes()).await);
    let answer = stage.chat(&body("hi", "")).await.whole().await;
    assert_eq!(answer.status, 200, "the one connection is free again");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_after_its_time() {
    let settings = [("AUXOT_GATEWAY__WRITE_TIMEOUT", "500ms")];
    let mut stage = Stage::ready("--tokens 100000000 --batch-writes", &settings).await;
    let _client = stage.chat(&body("hi", r#","stream":true"#)).await;
    stage.report("released").await;
    let labels = ["ending=\"client_too_slow\""];
    stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count == 1.0).await;
}

/// The engine's socket.
fn socket(scratch: &Scratch) -> PathBuf {
    fn walk(folder: PathBuf) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.flat_map(|path| if path.is_dir() { walk(path) } else { vec![path] }).collect()
    }
    walk(scratch.path().to_owned()).into_iter().find(|path| leftovers::is_engine_socket(path)).unwrap()
}

/// Waits until so many slots of the engine itself generate.
async fn generating(socket: &std::path::Path, count: usize) {
    let looking = async {
        loop {
            let slots = http::get_unix(socket, "/slots").await.unwrap().body;
            if slots.matches("\"is_processing\":true").count() == count {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("{count} slots never generate"));
}

#[tokio::test]
async fn the_engine_stops_an_answer_that_is_no_stream_although_another_client_streams() {
    let scratch = Scratch::new();
    std::os::unix::fs::symlink(real::model(), scratch.models().join("gemma-f16.gguf")).unwrap();
    let mut command = command(&scratch);
    command.env("AUXOT_LLAMA_BINARY", real::engine()).env("AUXOT_GPU_AUTOLOAD_MODELS", "gemma-f16");
    // An answer that is not cancelled takes longer than any deadline.
    command.env("AUXOT_MAX_PARALLEL", "3").env("AUXOT_CTX_SIZE", "16384");
    let (mut worker, address) = started(command).await;
    worker.line("model is loaded").await;
    let socket = socket(&scratch);
    let endless = r#","ignore_eos":true"#;
    let streams = body("hi", &format!(r#"{endless},"stream":true"#));
    let mut busy = Client::post(&address, "/v1/chat/completions", &streams).await;
    assert!(busy.until("data: ").await);
    let prompt = |more: &str| format!(r#"{{"prompt":"hi"{endless}{more}}}"#);
    let two = body("hi", &format!(r#"{endless},"n":2"#));
    for (path, text) in [
        ("/v1/chat/completions", two),
        ("/v1/chat/completions", body("hi", endless)),
        ("/v1/completions", prompt("")),
        ("/v1/completions", prompt(r#","logprobs":1"#)),
        ("/completion", prompt(r#","n_probs":1"#)),
        ("/v1/messages", body("hi", &format!(r#"{endless},"max_tokens":16000"#))),
        ("/v1/responses", format!(r#"{{"input":"hi"{endless}}}"#)),
    ] {
        let client = Client::post(&address, path, &text).await;
        generating(&socket, if text.contains(r#""n":2"#) { 3 } else { 2 }).await;
        drop(client);
        generating(&socket, 1).await;
    }
}
