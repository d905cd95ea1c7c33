//! Answers byte for byte: through the gateway and from the engine itself.

use auxot_tests::{DEADLINE, Program, Scratch, Worker, real as engines};
use tokio::net::UnixStream;

use super::client::{Answer, Client, request};
use super::{command, started};

/// A worker with the real engine and these tiny models, all loaded.
pub(crate) async fn real(models: &[&str], settings: &[(&str, &str)]) -> (Scratch, Worker, String) {
    let scratch = Scratch::new();
    let mut command = command(&scratch);
    command.env("AUXOT_LLAMA_BINARY", engines::engine()).env("AUXOT_MODELS_DIR", engines::tiny_models());
    command.env("AUXOT_GPU_AUTOLOAD_MODELS", models.join(",")).env("AUXOT_THREADS", "1");
    command.envs(settings.iter().copied());
    let (mut worker, address) = started(command).await;
    for model in models {
        worker.line(&format!("model is loaded model=\"{model}\"")).await;
    }
    (scratch, worker, address)
}

/// The engine by itself, started with the arguments that the worker gave to its own.
pub(crate) async fn direct(scratch: &Scratch, worker: &Worker) -> (Program, std::path::PathBuf) {
    let line = worker.lines_with("engine process started").pop().unwrap();
    let pid = line.split("pid=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let arguments = arguments.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0);
    let arguments: Vec<String> = arguments.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let socket = scratch.join("direct.sock");
    let mut engine = std::process::Command::new(&arguments[0]);
    let mut is_host = false;
    for argument in &arguments[1..] {
        let own = if is_host { socket.display().to_string() } else { argument.clone() };
        is_host = argument == "--host";
        engine.arg(own);
    }
    engine.env_clear().env("XDG_CONFIG_HOME", scratch.path()).env("LLAMA_SERVER_ROUTER_PORT", "1");
    let mut program = Program::start_held(engine);
    program.line(r#""state":"ready""#, DEADLINE).await;
    (program, socket)
}

/// What differs between two runs of the same request: ids, times, and how fast it went.
pub(crate) fn constant(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut text = String::from_utf8_lossy(&answer.body).into_owned();
    for name in ["\"timings\":{", "\"usage\":{"] {
        while let Some(from) = text.find(name) {
            let mut depth = 0;
            let end = text[from..].find(|letter| {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                letter == '}' && depth == 0
            });
            text.replace_range(from..from + end.unwrap() + 1, "");
        }
    }
    let volatile = [
        "\"time_ms\":",
        "\"media_marker\":\"",
        "\"created\":",
        "\"created_at\":",
        "\"completed_at\":",
        "\"id\":\"",
        "_id\":\"",
        "\"id_task\":",
        "\"t_",
        "\"id_slot\":",
    ];
    for name in volatile {
        let mut at = 0;
        while let Some(found) = text[at..].find(name) {
            let from = at + found + name.len();
            let stop = |letter: char| if name.ends_with('"') { letter == '"' } else { !letter.is_ascii_digit() };
            let end = text[from..].find(stop).unwrap_or(0);
            text.replace_range(from..from + end, "");
            at = from;
        }
    }
    // Where an answer is cut into chunks, or whether it has a length, is of the connection.
    let own = |line: &&String| {
        // Which pages may read the answer is for the gateway to say.
        !["keep-alive: ", "connection: ", "content-length: ", "transfer-encoding: ", "access-control-allow-origin: "]
            .iter()
            .any(|name| line.starts_with(name))
    };
    (answer.status, answer.fields.iter().filter(own).cloned().collect(), text)
}

const CHAT: &str = r#"{"messages":[{"role":"user","content":"hello"}]"#;
/// Without chance: the grammar of the tools lets a tiny model write other arguments each time.
const TOOLS: &str = r#","temperature":0,"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]"#;

/// The same in the words of the other APIs.
const MESSAGE_TOOLS: &str = r#","temperature":0,"tools":[{"name":"get_weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}]"#;
const RESPONSE_TOOLS: &str = r#","temperature":0,"tools":[{"type":"function","name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}]"#;

/// Chats of every kind, right and wrong: path and body.
fn chats() -> Vec<(&'static str, String)> {
    let chat = |more: &str| ("/v1/chat/completions", format!("{CHAT}{more}}}"));
    let of = |path: &'static str, body: &str| (path, body.to_owned());
    vec![
        chat(""),
        chat(r#","stream":true"#),
        chat(r#","stream":true,"stream_options":{"include_usage":true}"#),
        chat(r#","max_tokens":3"#),
        chat(r#","max_tokens":3,"stream":true"#),
        chat(r#","max_tokens":0"#),
        chat(r#","stop":["tiny"]"#),
        chat(r#","stop":["tiny"],"stream":true"#),
        chat(r#","logprobs":true,"top_logprobs":2,"max_tokens":2"#),
        chat(r#","n":2,"max_tokens":2"#),
        chat(r#","n":2,"stop":["tiny"]"#),
        chat(r#","n":3,"logprobs":true"#),
        chat(r#","verbose":true,"max_tokens":2"#),
        chat(r#","stop":["a tiny thing"],"max_tokens":4"#),
        chat(r#","max_tokens":5,"grammar":"root ::= \"a\" \"𓀀𓀀𓀀\"+""#),
        chat(r#","temperature":0,"seed":7"#),
        chat(r#","stream":false"#),
        chat(r#","stream":null,"stream_options":{"include_usage":false},"n":1,"logprobs":false"#),
        chat(r#","return_progress":true,"timings_per_token":true"#),
        chat(r#","temperature":"hot""#),
        chat(r#","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"foo"}}}"#),
        chat(r#","id_slot":1"#),
        chat(r#","id_slot":7"#),
        chat(r#","model":"MODEL""#),
        chat(TOOLS),
        chat(&format!(r#"{TOOLS},"stream":true"#)),
        chat(r#","return_progress":true,"stream":true"#),
        chat(r#","timings_per_token":true,"stream":true"#),
        chat(r#","chat_template_kwargs":{"a":1}"#),
        chat(r#","reasoning_format":"none""#),
        of("/v1/chat/completions", "{}"),
        of("/v1/chat/completions", r#"{"messages":"x"}"#),
        of(
            "/v1/chat/completions",
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}"#,
        ),
        of(
            "/v1/chat/completions",
            &format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "a b c ".repeat(2000)),
        ),
    ]
}

/// Completions of both kinds.
fn completions() -> Vec<(&'static str, String)> {
    let of = |path: &'static str, body: &str| (path, body.to_owned());
    vec![
        of("/v1/completions", r#"{"prompt":"hello","max_tokens":3}"#),
        of("/v1/completions", r#"{"prompt":"hello","max_tokens":3,"stream":true}"#),
        of("/v1/completions", r#"{"prompt":"hello","stop":["tiny"],"stream":false}"#),
        of("/v1/completions", r#"{"prompt":"hello","max_tokens":2,"logprobs":1}"#),
        of("/v1/completions", r#"{"prompt":["a","b"],"max_tokens":1}"#),
        of("/v1/completions", r#"{"prompt":["a","b"],"max_tokens":2,"n":2,"logprobs":2}"#),
        of("/v1/completions", r#"{"prompt":"hello","max_tokens":9,"logprobs":1,"stop":["tiny"]}"#),
        of("/v1/completions", r#"{"prompt":"hello","max_tokens":0}"#),
        of("/v1/completions", r#"{"prompt":"hello","verbose":true,"max_tokens":2}"#),
        of("/v1/completions", &cut_character(5)),
        of("/v1/completions", &cut_character(6)),
        of("/v1/completions", "{}"),
        of("/completion", r#"{"prompt":"hello","n_predict":3}"#),
        of("/completion", r#"{"prompt":"hello","n_predict":3,"stream":true}"#),
        of("/completion", r#"{"prompt":"hello","n_predict":3,"n_probs":2}"#),
        of("/completion", r#"{"prompt":"hello","n_predict":9,"n_probs":2,"stop":["tiny"]}"#),
        of("/completion", r#"{"prompt":"hello","stop":["tiny"],"return_tokens":true}"#),
        of(
            "/completion",
            r#"{"prompt":"hello","n_predict":3,"response_fields":["content","generation_settings/stream"]}"#,
        ),
        of("/completions", r#"{"prompt":["a",[300,301]],"n_predict":2,"n_cmpl":2}"#),
        of("/completion", &cut_character(5)),
        of("/completion", &cut_character(6)),
        of("/completion", "{}"),
    ]
}

/// A completion that ends within a character of several tokens, for one of these limits at least.
fn cut_character(tokens: u32) -> String {
    format!(r#"{{"prompt":"hello","max_tokens":{tokens},"temperature":0,"grammar":"root ::= \"a\" \"𓀀𓀀𓀀\"+"}}"#)
}

/// The same for the other endpoints.
fn other_shapes() -> Vec<(&'static str, String)> {
    let message = |more: &str| ("/v1/messages", format!("{CHAT}{more}}}"));
    let of = |path: &'static str, body: &str| (path, body.to_owned());
    vec![
        of("/v1/responses", r#"{"input":"hello"}"#),
        of("/v1/responses", r#"{"input":"hello","stream":true}"#),
        of("/v1/responses", "{}"),
        of("/v1/responses", r#"{"input":"hello","max_output_tokens":4}"#),
        of("/v1/responses", &format!(r#"{{"input":"hello"{RESPONSE_TOOLS}}}"#)),
        message(r#","max_tokens":30"#),
        message(r#","max_tokens":30,"stream":true"#),
        message(r#","max_tokens":2"#),
        message(r#","max_tokens":0"#),
        message(r#","max_tokens":30,"stop_sequences":["tiny"]"#),
        message(r#","max_tokens":3,"stop_sequences":["a tiny thing"]"#),
        message(&format!(r#","max_tokens":300{MESSAGE_TOOLS}"#)),
        of("/v1/messages", "{}"),
        of("/v1/messages/count_tokens", r#"{"messages":[{"role":"user","content":"hello there"}]}"#),
        of("/infill", r#"{"input_prefix":"a","input_suffix":"b","n_predict":2}"#),
        of("/tokenize", r#"{"content":"hello there","with_pieces":true}"#),
        of("/detokenize", r#"{"tokens":[300,301]}"#),
        of("/apply-template", r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        of("/v1/audio/transcriptions", r#"{"file":"x"}"#),
        of("/lora-adapters", "[]"),
    ]
}

/// All requests, for this model.
pub(crate) fn shapes(model: &str) -> impl Iterator<Item = (&'static str, String)> {
    let all = chats().into_iter().chain(completions()).chain(other_shapes());
    all.map(move |(path, body)| (path, body.replace("MODEL", model)))
}

#[tokio::test]
async fn what_the_engine_answers_is_what_the_client_gets() {
    same_as_the_engine("tiny-script-f16").await;
}

#[tokio::test]
async fn reasoning_is_what_the_engine_makes_of_it() {
    same_as_the_engine("tiny-think-f16").await;
}

#[tokio::test]
async fn tool_calls_are_what_the_engine_makes_of_them() {
    same_as_the_engine("tiny-tool-f16").await;
}

/// Sends every request to the gateway and to an engine, and compares the answers.
async fn same_as_the_engine(model: &str) {
    let (scratch, worker, address) = real(&[model], &[]).await;
    let (_engine, socket) = direct(&scratch, &worker).await;
    let kind = "Content-Type: application/json\r\n";
    // The slots first: they show the last request as the engine got it.
    let read = ["/slots", "/props", "/lora-adapters"].map(|path| (format!("GET {path}"), request("GET", path, "", "")));
    let requests =
        shapes(model).map(|(path, body)| (format!("POST {path} {body}"), request("POST", path, kind, &body)));
    for (name, text) in read.into_iter().chain(requests) {
        let through = Client::raw(&address, text.as_bytes()).await.whole().await;
        let stream = Box::new(UnixStream::connect(&socket).await.unwrap());
        let from_engine = Client::on(stream, text.as_bytes()).await.whole().await;
        let (through, from_engine) = (constant(&through), constant(&from_engine));
        let cut = |text: &str| text.replace(&socket.display().to_string(), "SOCKET");
        assert_eq!(through.0, from_engine.0, "{name}: {} / {}", through.2, from_engine.2);
        assert_eq!(through.1, from_engine.1, "{name}");
        assert_eq!(cut(&through.2), cut(&from_engine.2), "{name}");
    }
}

#[tokio::test]
async fn a_stream_comes_event_by_event() {
    let (_scratch, _worker, address) = real(&["tiny-loop-f16"], &[]).await;
    let body = format!(r#"{CHAT},"stream":true}}"#);
    let mut client = Client::post(&address, "/v1/chat/completions", &body).await;
    // It never ends by itself, so what comes is not what was collected.
    assert!(client.until("Round").await);
}
