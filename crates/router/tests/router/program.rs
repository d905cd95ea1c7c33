//! The program: keys, settings, the log, signals.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{one_model, within_deadline};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auxot-router"));
    command.env_clear().args(arguments);
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Creates a pair in `file` and returns it as printed.
fn create(file: &Path) -> Value {
    let output = run(&["keys", "create", "--json", "--file", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn keys_are_printed_once_and_stored_as_hashes_in_a_private_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auxot/router-keys.toml");
    let pair = create(&file);
    let stored = std::fs::read_to_string(&file).unwrap();
    for key in ["worker_key", "api_key"] {
        let key = pair[key].as_str().unwrap();
        assert_eq!(key.len(), 47);
        assert!(!stored.contains(&key[12..]), "no more than the beginning is stored");
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(stored.matches("\"sha256:").count(), 2);

    let again = run(&["keys", "create", "--file", file.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(64));
    assert!(text(&again.stderr).contains("`default`"), "{}", text(&again.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), stored);
}

#[test]
fn unusable_arguments_exit_with_64_and_a_reason() {
    for (arguments, word) in [
        (&["--prot", "1"][..], "--prot"),
        (&["--port", "x"], "--port"),
        (&["serve", "--job-timeout", "5 parsecs"], "--job-timeout"),
        (&["--port", "0"], "keys create"),
        (&["--port", "0", "--keys-file", "/nonexistent/keys"], "/nonexistent/keys"),
        (&["keys", "list"], "--file"),
        (&["keys", "list", "--file", "/nonexistent/keys"], "keys create"),
        (&["serv"], "'serve'"),
        (&["keys", "craete"], "'create'"),
        (
            &["keys", "create", "--kind", "worker", "--max-parallel", "2", "--file", "/nonexistent/keys"],
            "--max-parallel",
        ),
        (&["keys", "create", "--expires", "2001-01-01", "--file", "/nonexistent/keys"], "--expires"),
        (&["keys", "rotate", "a", "--keep-old-for", "long", "--file", "/nonexistent/keys"], "--keep-old-for"),
        (&["keys", "revoke", "a", "--file", "/nonexistent/keys"], "/nonexistent/keys"),
    ] {
        let output = run(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {message}");
        assert!(message.contains(word), "{message}");
    }
    assert!(!Path::new("/nonexistent").exists(), "a command that fails makes a folder");
    let version = text(&run(&["--version"]).stdout);
    assert!(version.starts_with(concat!("auxot-router ", env!("CARGO_PKG_VERSION"))), "{version}");
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("Exit codes: 0"), "{}", text(&help.stdout));
}

/// A running router and its log so far.
struct RouterProcess {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl RouterProcess {
    fn start(file: &Path) -> Self {
        let mut child = program(&["--port", "0", "--log-level", "trace", "--log-format", "json"])
            .env("AUXOT_ROUTER_KEYS_FILE", file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log, seen: String::new() }
    }

    /// The first log line that has `message`.
    fn line(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "no line `{message}` in:\n{}", self.seen);
            self.seen.push_str(&line);
            let value: Value = serde_json::from_str(&line).unwrap();
            if value["message"] == message {
                return value;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Resident memory in bytes.
    fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Ends it with SIGTERM; returns the exit code and the whole log.
    fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::SIGTERM);
        self.log.read_to_string(&mut self.seen).unwrap();
        (self.child.wait().unwrap().code(), self.seen)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_has_one_line_for_each_job_and_neither_keys_nor_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let pair = create(&file);
    let (worker_key, api_key) = (pair["worker_key"].as_str().unwrap(), pair["api_key"].as_str().unwrap());
    let mut router = RouterProcess::start(&file);
    let addr = router.line("router listens")["addr"].as_str().unwrap().to_owned();

    let socket = format!("ws://{addr}/ws");
    let hello = |key: &str| json!({ "type": "hello", "gpu_key": key, "capabilities": one_model(1) }).to_string();
    let talk = async |key: &str| {
        use futures_util::{SinkExt, StreamExt};
        let (mut link, _) = tokio_tungstenite::connect_async(&socket).await.unwrap();
        link.send(Message::text(hello(key))).await.unwrap();
        let first = within_deadline("a greeting", link.next()).await.unwrap().unwrap();
        (link, first.to_string())
    };
    let wrong = "adm_wrong-and-never-to-be-seen";
    assert!(talk(wrong).await.1.contains("invalid GPU key"));
    let (mut link, ack) = talk(worker_key).await;
    assert!(ack.contains("\"success\":true"), "{ack}");

    let client = crate::support::Client::at(&addr);
    let asking = client.get("/v1/models").bearer_auth("rtr_wrong-and-never-to-be-seen").send();
    assert_eq!(within_deadline("a refusal", asking).await.unwrap().status(), 401);
    let body = json!({ "messages": [{ "role": "user", "content": "a private prompt" }] });
    let asking = client.post("/v1/chat/completions").bearer_auth(api_key).json(&body).send();
    let answering = async {
        use futures_util::{SinkExt, StreamExt};
        let job = within_deadline("a job", link.next()).await.unwrap().unwrap().to_string();
        let job: Value = serde_json::from_str(&job).unwrap();
        let complete = json!({ "type": "complete", "job_id": job["job_id"], "full_response": "a private answer", "input_tokens": 5 });
        link.send(Message::text(complete.to_string())).await.unwrap();
    };
    let (response, ()) = within_deadline("an answer", async { tokio::join!(asking, answering) }).await;
    assert_eq!(response.unwrap().status(), 200);

    let line = router.line("job ended");
    assert_eq!(
        (&line["ending"], &line["input_tokens"], &line["attempts"], &line["key_name"]),
        (&json!("completed"), &json!(5), &json!(1), &json!("default"))
    );
    let (code, log) = router.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("router stopped"));
    for secret in [worker_key, api_key, "never-to-be-seen", "private", "argon2"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_ends_nothing_and_core_dumps_are_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let pair = create(&file);
    let mut router = RouterProcess::start(&file);
    let addr = router.line("router listens")["addr"].as_str().unwrap().to_owned();
    router.signal(Signal::SIGHUP);
    router.line("SIGHUP: nothing to read again; the key file is read when it changes");
    let client = crate::support::Client::at(&addr);
    let asking = client.get("/v1/models").bearer_auth(pair["api_key"].as_str().unwrap()).send();
    assert_eq!(within_deadline("an answer", asking).await.unwrap().status(), 200);
    if cfg!(target_os = "linux") {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", router.child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let soft = core.split_whitespace().nth(4).unwrap();
        assert!(matches!(soft, "0" | "1"), "{core}");
    }
    assert_eq!(router.stop().0, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_bodies_is_freed_when_their_clients_disconnect() {
    use std::io::Write;
    use std::time::{Duration, Instant};
    const LARGE: usize = 20 << 20;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let pair = create(&file);
    let mut router = RouterProcess::start(&file);
    let addr = router.line("router listens")["addr"].as_str().unwrap().to_owned();
    let before = router.memory();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = std::net::TcpStream::connect(&addr).unwrap();
        let key = pair["api_key"].as_str().unwrap();
        write!(client, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {LARGE}\r\n\r\n")
            .unwrap();
        client.write_all(&vec![b' '; LARGE - 1]).unwrap();
        clients.push(client);
    }
    let until = |holds: &dyn Fn(usize) -> bool| {
        let began = Instant::now();
        while !holds(router.memory()) {
            assert!(began.elapsed() < Duration::from_secs(60), "{} of {before}", router.memory());
            std::thread::yield_now();
        }
    };
    until(&|memory| memory > before + 4 * LARGE);
    drop(clients);
    until(&|memory| memory < before + LARGE);
    assert_eq!(router.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_key_was_last_used_is_listed_and_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let pair = create(&file);
    let listed = || {
        let output = run(&["keys", "list", "--json", "--file", file.to_str().unwrap()]);
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!((&listed()[0]["last_used"], &listed()[1]["last_used"]), (&Value::Null, &Value::Null));
    let mut router = RouterProcess::start(&file);
    let addr = router.line("router listens")["addr"].as_str().unwrap().to_owned();
    let client = crate::support::Client::at(&addr);
    let asking = client.get("/v1/models").bearer_auth(pair["api_key"].as_str().unwrap()).send();
    assert_eq!(within_deadline("an answer", asking).await.unwrap().status(), 200);
    assert_eq!(router.stop().0, Some(0));
    let after = listed();
    assert_eq!((&after[0]["last_used"], after[1]["last_used"].is_string()), (&Value::Null, true), "{after}");
    let table = text(&run(&["keys", "list", "--file", file.to_str().unwrap()]).stdout);
    assert_eq!(table.matches("last used 2").count(), 1, "{table}");
    let mut router = RouterProcess::start(&file);
    router.line("router listens");
    assert_eq!(router.stop().0, Some(0));
    assert_eq!(listed(), after);
}
