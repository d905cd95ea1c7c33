//! One run of the engine: bind, load, serve, and its exits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arguments::{Arguments, GRANDCHILD};
use crate::child_mode::{self, Order};
use crate::engine::{Engine, Phase};
use crate::hold::Place;
use crate::report::Report;
use crate::server::{self, Listener};
use crate::switches::Switches;
use crate::{api, cards, exits, log, model};

/// The engine reports its progress at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Runs once and returns the exit code.
pub(crate) async fn run(arguments: Arguments, words: Vec<String>) -> u8 {
    let mut switches = match Switches::gather(&arguments.model) {
        Ok(switches) => switches,
        Err(error) => {
            eprintln!("error: {error}");
            return 1;
        }
    };
    if let Err(error) = count_start(&arguments, &mut switches) {
        eprintln!("error: {error}");
        return 1;
    }
    let report = Report::open(switches.report.as_deref());
    if report.wanted() {
        let environment: std::collections::BTreeMap<String, String> = std::env::vars().collect();
        report.say("start", json!({"arguments": words, "environment": environment}));
    }
    wait_at(Place::Start, &switches, &report).await;
    let listener = match Listener::bind(&arguments).await {
        Ok(listener) => listener,
        Err(line) => {
            log::line('E', "srv", &line);
            log::line('E', "srv", "llama_server: exiting due to HTTP server error");
            return 1;
        }
    };
    let shown = listener.shown(&arguments);
    let engine = Arc::new(Engine::new(arguments, switches, report));
    let ignored = if engine.switches.ignore_sigterm { ignore_signals() } else { Ok(None) };
    let mut serving = JoinSet::new();
    serving.spawn(server::serve(engine.clone(), listener));
    let ballast = match load(&engine).await {
        Ok(ballast) => ballast,
        Err(code) => return code,
    };
    let code = tokio::select! {
        code = serve(&engine, serving, &shown) => code,
        code = exits::on_lost_card(&engine) => code,
    };
    // The resident memory is held until now.
    drop((ballast, ignored));
    code
}

async fn wait_at(place: Place, switches: &Switches, report: &Report) {
    if let Some(hold) = switches.holds.iter().find(|hold| hold.place == place) {
        hold.wait(report).await;
    }
}

async fn load(engine: &Engine) -> Result<Vec<u8>, u8> {
    let (arguments, switches) = (&engine.arguments, &engine.switches);
    let child = child_mode::is_requested() && !switches.silent_load;
    log::line('I', "srv", &format!("load_model: loading model '{}'", arguments.model.display()));
    if child {
        child_mode::loading(0.0);
    }
    if let Err(line) = model::check(&arguments.model) {
        return Err(fail(engine, &[line], 1));
    }
    let start = Instant::now();
    let ballast = vec![1_u8; switches.memory_mib << 20];
    let progress = async {
        let mut tick = tokio::time::interval(PROGRESS_EVERY);
        loop {
            tick.tick().await;
            if child {
                child_mode::loading(0.5);
            }
        }
    };
    tokio::select! {
        () = wait_at(Place::Load, switches, &engine.report) => {}
        () = progress => {}
    }
    while start.elapsed() < switches.load {
        tokio::time::sleep_until((start + switches.load).min(Instant::now() + PROGRESS_EVERY)).await;
        if child {
            child_mode::loading((start.elapsed().as_secs_f64() / switches.load.as_secs_f64()).min(1.0));
        }
    }
    if switches.fork_grandchild {
        fork_grandchild(engine);
    }
    if switches.hang_load {
        std::future::pending::<()>().await;
    }
    if switches.talk {
        talk_for_ever().await;
    }
    if switches.abort_at_load {
        eprintln!("/llama.cpp/src/llama-context.cpp:1: GGML_ASSERT(n_outputs_max <= cparams.n_outputs_max) failed");
        std::process::abort();
    }
    if switches.oom || switches.device_tokens.is_some_and(|most| arguments.ctx_size > most) {
        return Err(fail(engine, &cards::out_of_memory(0, 1 << 30), 1));
    }
    // Late in the load, so that no test can count on seeing it early.
    cards::take(engine).map_err(|lines| fail(engine, &lines, 1))?;
    wait_at(Place::Taken, switches, &engine.report).await;
    if let Some((code, message)) = &switches.exit_at_load {
        return Err(fail(engine, std::slice::from_ref(message), *code));
    }
    Ok(ballast)
}

async fn talk_for_ever() {
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tick.tick().await;
        log::line('I', "srv", "load_model: still at it");
    }
}

fn fail(engine: &Engine, lines: &[String], code: u8) -> u8 {
    for line in lines {
        log::line('E', "", line);
    }
    let model = engine.arguments.model.display();
    log::line('E', "srv", &format!("load_model: failed to load model, '{model}'"));
    log::line('E', "srv", "llama_server: exiting due to model loading error");
    code
}

async fn serve(engine: &Arc<Engine>, mut serving: JoinSet<()>, shown: &str) -> u8 {
    // Only now, as in the engine: a TERM before this line has the default effect.
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        log::line('E', "srv", "llama_server: cannot handle signals");
        return 1;
    };
    let mut orders = child_mode::is_requested().then(child_mode::watch_stdin);
    engine.phase.send_replace(Phase::Ready);
    if child_mode::is_requested() && !engine.switches.silent_load {
        child_mode::ready(&api::model_entry(engine));
    }
    log::line('I', "srv", "llama_server: model loaded");
    log::line('I', "srv", &format!("llama_server: listening on {shown}"));
    engine.report.say("ready", json!({}));
    let mut ending = Ending::new(engine, orders.is_none());
    loop {
        if ending.served && ending.exit_ordered {
            return 0;
        }
        let ordered = tokio::select! {
            _ = term.recv() => false,
            _ = int.recv() => false,
            order = next_order(&mut orders) => match order {
                Order::Exit => {
                    ending.exit_ordered = true;
                    if engine.switches.lose_order {
                        continue;
                    }
                    true
                }
                Order::End => return 1,
            },
            Some(_) = serving.join_next() => {
                ending.served = true;
                engine.report.say("served", json!({}));
                continue;
            }
        };
        if let Some(code) = ending.on_signal(ordered) {
            return code;
        }
    }
}

/// The progress of an exit.
struct Ending<'a> {
    engine: &'a Engine,
    /// A first signal was lost, or none has to be.
    lost: bool,
    /// In child mode the engine waits for the thread that reads stdin, and only the order to exit ends that thread: a
    /// TERM alone leaves a process that serves no request and stays.
    exit_ordered: bool,
    /// The last connection is gone.
    served: bool,
    signalled: bool,
}

impl<'a> Ending<'a> {
    fn new(engine: &'a Engine, exit_ordered: bool) -> Self {
        Self { engine, lost: !engine.switches.lose_first_term, exit_ordered, served: false, signalled: false }
    }

    /// Handles a signal or an order to exit; returns the exit code if the exit is immediate.
    fn on_signal(&mut self, ordered: bool) -> Option<u8> {
        self.engine.report.say("term", json!({}));
        if self.engine.switches.ignore_sigterm {
            return None;
        }
        if self.served {
            // The order for which the last thread waited, or the second signal.
            if !ordered {
                return Some(1);
            }
        } else if !self.lost {
            self.lost = true;
        } else if self.engine.phase.send_replace(Phase::Stopping) == Phase::Stopping && self.signalled && !ordered {
            log::line('W', "srv", "Received second interrupt, terminating immediately.");
            return Some(1);
        }
        // A TERM after an order counts as the first one: both arrive together, in any order.
        self.signalled |= !ordered;
        None
    }
}

async fn next_order(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    let next = match orders {
        Some(orders) => orders.recv().await,
        None => None,
    };
    match next {
        Some(order) => order,
        None => std::future::pending().await,
    }
}

fn ignore_signals() -> std::io::Result<Option<(Signal, Signal)>> {
    Ok(Some((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)))
}

/// With `--only-starts N` the faults of the load are for the first N runs, which a file beside the model counts.
fn count_start(arguments: &Arguments, switches: &mut Switches) -> Result<(), String> {
    let Some(limit) = switches.only_starts else { return Ok(()) };
    let mut path = arguments.model.as_os_str().to_owned();
    path.push(".starts");
    let before = std::fs::read(&path).map_or(0, |bytes| bytes.len() as u64);
    if before >= limit {
        switches.drop_load_faults();
    }
    std::fs::write(&path, vec![b'.'; usize::try_from(before).unwrap_or(0) + 1])
        .map_err(|error| format!("cannot count this start in {}: {error}", path.display()))
}

/// A process of the same group that holds our output pipes and survives unless the group is killed.
fn fork_grandchild(engine: &Engine) {
    let started = std::env::current_exe()
        .and_then(|me| std::process::Command::new(me).arg(GRANDCHILD).stdin(std::process::Stdio::null()).spawn());
    match started {
        // It is not waited for on purpose.
        Ok(child) => engine.report.say("grandchild", json!({"grandchild": child.id()})),
        Err(error) => log::line('E', "srv", &format!("cannot start a grandchild: {error}")),
    }
}

/// Marks the second program as the one that serves.
const DAEMON: &str = "FAKE_LLAMA_DAEMON";

/// Starts another program of another group in its place, if a switch says so.
pub(crate) fn daemonises(arguments: &Arguments, words: &[String]) -> bool {
    use std::os::unix::process::CommandExt;
    let wanted = Switches::gather(&arguments.model).is_ok_and(|switches| switches.daemon);
    if !wanted || std::env::var_os(DAEMON).is_some() {
        return false;
    }
    let started = std::env::current_exe()
        .and_then(|me| std::process::Command::new(me).args(words).env(DAEMON, "1").process_group(0).spawn());
    started.is_ok()
}

/// Runs longer than every deadline of a test, and not forever: a test may leave it behind by mistake.
const GRANDCHILD_LIFE: Duration = Duration::from_secs(300);

/// Does nothing until it is killed.
pub(crate) fn idle() {
    let start = Instant::now();
    while let Some(left) = GRANDCHILD_LIFE.checked_sub(start.elapsed()) {
        std::thread::park_timeout(left);
    }
}
