//! The fake engine and the harness, tested with each other: the behaviour that the other suites rely on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod cards;
mod processes;

use auxot_tests::DEADLINE;
use std::path::Path;
use std::process::Command;

use auxot_tests::{Program, Scratch, binaries};

/// A command for the fake with a model of these switches, on `engine.sock` in the scratch folder.
fn engine(scratch: &Scratch, switches: &str) -> Command {
    let model = scratch.fake_model("tiny-q4_0.gguf", switches);
    let mut command = Command::new(binaries::fake_engine());
    command.args(["--alias", "tiny-q4_0", "-c", "8192", "-np", "2", "--no-kv-unified", "--metrics", "--no-ui"]);
    command.arg("--model").arg(model).arg("--host").arg(scratch.join("engine.sock"));
    command
}

async fn ready(scratch: &Scratch, switches: &str) -> Program {
    let mut program = Program::start(engine(scratch, switches));
    program.line("listening on", DEADLINE).await;
    program
}

/// A chat body whose user message is `text`.
fn chat(text: &str, stream: bool) -> String {
    serde_json::json!({"stream": stream, "messages": [{"role": "user", "content": text}]}).to_string()
}

async fn ask(socket: &Path, text: &str, stream: bool) -> auxot_tests::http::Answer {
    auxot_tests::http::post_unix(socket, "/v1/chat/completions", &chat(text, stream)).await.unwrap()
}
