//! Rows of local clients: faults during a request of a program of this host, in each phase of the request.
//!
//! The rules of every cell: the request ends as the row says, a new one gets its whole answer, no slot stays busy, and of all
//! processes the worker and one engine are left, or none where the worker has ended.

use std::path::PathBuf;

use auxot_tests::{DEADLINE, Reports, Scratch, Worker, binaries, http, leftovers, processes, set_switches};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MODEL: &str = "tiny-chat-q4_k_m";
/// Words of an answer, and the word before which it is held.
const WORDS: usize = 60;
const MIDDLE: usize = 30;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalFault {
    /// The client closes its connection.
    ClientGone,
    /// The client reads nothing until its answer could be complete.
    ClientSlow,
    /// SIGKILL to the engine.
    EngineKilled,
    /// The operator unloads the model.
    Unloaded,
    /// SIGTERM to the worker.
    WorkerTerm,
}

/// The phase of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its model loads.
    Loading,
    /// All slots are busy.
    Queued,
    /// The engine works on its prompt.
    Prompt,
    /// Half of its answer has come.
    Streaming,
}

const PHASES: [Phase; 4] = [Phase::Loading, Phase::Queued, Phase::Prompt, Phase::Streaming];

impl LocalFault {
    /// The rows.
    pub(crate) const ALL: [LocalFault; 5] =
        [Self::ClientGone, Self::ClientSlow, Self::EngineKilled, Self::Unloaded, Self::WorkerTerm];

    /// The row's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClientGone => "local, client gone",
            Self::ClientSlow => "local, client slow",
            Self::EngineKilled => "local, child killed",
            Self::Unloaded => "local, model unloaded",
            Self::WorkerTerm => "local, worker SIGTERM",
        }
    }
}

/// Plays a row.
pub(crate) fn play(fault: LocalFault) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        for phase in PHASES {
            // A model that loads has no answer to drain: unloading it is a refusal of the load, not of an answer.
            if (fault, phase) != (LocalFault::Unloaded, Phase::Loading) {
                println!("{} × {phase:?}", fault.name());
                cell(fault, phase).await;
            }
        }
    });
    Ok(())
}

/// A worker without a router, and what its engine waits for.
struct Stage {
    scratch: Scratch,
    reports: Reports,
    worker: Worker,
    address: String,
}

impl Stage {
    async fn open(phase: Phase) -> Stage {
        let scratch = Scratch::new();
        let reports = Reports::listen(scratch.path());
        let file = format!("{MODEL}.gguf");
        scratch.fake_model(&file, "");
        let hold =
            if phase == Phase::Loading { format!("--hold load:{}", gate(&scratch).display()) } else { String::new() };
        let report = reports.path().display().to_string();
        set_switches(&scratch.models().join(&file), &format!("--report {report} {hold}"));
        let mut command = Worker::short_limits_command(&scratch, "");
        for name in ["AUXOT_ROUTER_URL", "AUXOT_GPU_KEY"] {
            command.env_remove(name);
        }
        command.env("AUXOT_GATEWAY_ADDR", "127.0.0.1:0").env("AUXOT_GPU_AUTOLOAD_MODELS", MODEL);
        command.env("AUXOT_MAX_PARALLEL", "1").env("AUXOT_GATEWAY__EARLY_HEAD", "1h");
        let mut worker = Worker::start(command).await;
        let line = worker.line("gateway listens").await;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.unwrap().trim_matches('"').to_owned();
        if phase != Phase::Loading {
            worker.line("model is loaded").await;
        }
        let mut stage = Stage { scratch, reports, worker, address };
        stage.reports.next("start", DEADLINE).await;
        stage
    }

    /// A request whose answer is held here.
    async fn ask(&self, hold: &str) -> Client {
        let prompt = format!(
            "fake: --count w --tokens {WORDS} {}",
            hold.replace("GATE", &gate(&self.scratch).display().to_string())
        );
        Client::post(&self.address, &prompt).await
    }

    async fn waiting(&self, count: f64) {
        self.worker.metric_until("auxot_worker_jobs_waiting", &[], |now| now >= count).await;
    }

    fn release(&self) {
        std::fs::write(gate(&self.scratch), "").unwrap();
    }

    fn engine(&mut self) -> u32 {
        self.reports.newest("start").unwrap().pid
    }
}

fn gate(scratch: &Scratch) -> PathBuf {
    scratch.join("gate")
}

/// A local client that sees every byte.
struct Client {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Client {
    async fn post(address: &str, prompt: &str) -> Client {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"{prompt}"}}],"stream":true}}"#);
        let length = body.len();
        let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close";
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
        Client { stream, seen: Vec::new() }
    }

    /// Reads until this text has come.
    async fn until(&mut self, text: &str) {
        let mut part = vec![0; 16 << 10];
        while memchr::memmem::find(&http::joined_so_far(&self.seen), text.as_bytes()).is_none() {
            let read = timeout(DEADLINE, self.stream.read(&mut part)).await.unwrap().unwrap_or(0);
            assert!(read > 0, "{text:?} never comes after {}", String::from_utf8_lossy(&self.seen));
            self.seen.extend_from_slice(&part[..read]);
        }
    }

    /// Reads to the end of the connection.
    async fn rest(mut self) -> String {
        let read = timeout(DEADLINE, self.stream.read_to_end(&mut self.seen)).await.unwrap();
        // A reset is an end too.
        let _ended = read;
        String::from_utf8_lossy(&http::joined_so_far(&self.seen)).into_owned()
    }
}

/// Whether an answer has every word once and its end.
#[track_caller]
fn is_whole(text: &str) {
    for word in 0..WORDS {
        assert_eq!(text.matches(&format!("\"w{word} \"")).count(), 1, "word {word} of {text}");
    }
    assert!(text.contains("data: [DONE]"), "{text}");
}

async fn cell(fault: LocalFault, phase: Phase) {
    let mut stage = Stage::open(phase).await;
    let before = match phase {
        Phase::Queued => Some(stage.ask(&format!("--hold {MIDDLE}:GATE")).await),
        _ => None,
    };
    if before.is_some() {
        stage.reports.next("slot", DEADLINE).await;
    }
    let mut client = match phase {
        Phase::Loading | Phase::Queued => stage.ask("").await,
        Phase::Prompt => stage.ask("--hold prompt:GATE").await,
        Phase::Streaming => stage.ask(&format!("--hold {MIDDLE}:GATE")).await,
    };
    match phase {
        Phase::Loading | Phase::Queued => stage.waiting(1.0).await,
        Phase::Prompt => drop(stage.reports.next("slot", DEADLINE).await),
        Phase::Streaming => client.until(&format!("\"w{} \"", MIDDLE - 1)).await,
    }
    let client = inject(fault, &mut stage, client).await;
    stage.release();
    if let Some(client) = client {
        let text = client.rest().await;
        match (fault, phase) {
            (LocalFault::EngineKilled, Phase::Streaming) => {
                assert!(text.contains("model_server_lost") && !text.contains("[DONE]"), "{text}");
            }
            _ => is_whole(&text),
        }
    }
    drop(before);
    leave_nothing(fault, stage).await;
}

/// Injects the fault; returns the client unless it is gone.
async fn inject(fault: LocalFault, stage: &mut Stage, client: Client) -> Option<Client> {
    match fault {
        LocalFault::ClientGone => {
            drop(client);
            let labels = ["ending=\"cancelled\""];
            stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count >= 1.0).await;
            return None;
        }
        LocalFault::ClientSlow => {
            stage.release();
            let labels = ["ending=\"completed\""];
            stage.worker.metric_until("auxot_worker_jobs_total", &labels, |count| count >= 1.0).await;
        }
        LocalFault::EngineKilled => {
            let engine = stage.engine();
            kill(Pid::from_raw(engine.cast_signed()), Signal::SIGKILL).unwrap();
            processes::ended(&[engine], DEADLINE).await;
        }
        LocalFault::Unloaded => {
            let mut command = tokio::process::Command::new(binaries::program("auxot-worker"));
            command.args(["unload", MODEL]).env_clear().env("HOME", stage.scratch.path());
            command.env("AUXOT_RUNTIME_DIR", stage.scratch.join("run"));
            let output = command.output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        LocalFault::WorkerTerm => {
            stage.worker.program.signal(Signal::SIGTERM);
            stage.worker.line("shutdown requested").await;
        }
    }
    Some(client)
}

/// A new request gets its answer, and nothing else is left.
async fn leave_nothing(fault: LocalFault, mut stage: Stage) {
    if fault == LocalFault::WorkerTerm {
        assert_eq!(stage.worker.exit_code().await, Some(0));
        leftovers::processes(stage.scratch.path(), &[], DEADLINE).await.unwrap();
        return;
    }
    is_whole(&stage.ask("").await.rest().await);
    stage.worker.metric_until("auxot_worker_slots_busy", &[], |busy| busy == 0.0).await;
    let (worker, engine) = (stage.worker.program.pid(), stage.engine());
    leftovers::processes(stage.scratch.path(), &[worker, engine], DEADLINE).await.unwrap();
}
