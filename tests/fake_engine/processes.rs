//! Processes of the engine: loads, signals, exits, and their leftovers.

use std::os::unix::process::ExitStatusExt;

use auxot_tests::{Program, Reports, Scratch, http, processes};
use nix::sys::signal::Signal;

use crate::{DEADLINE, ask, engine, ready};

#[tokio::test]
async fn loading_answers_503_and_a_term_meanwhile_kills() {
    let scratch = Scratch::new();
    let mut program = Program::start(engine(&scratch, "--hang-load"));
    program.line("loading model", DEADLINE).await;
    let answer = http::get_unix(&scratch.join("engine.sock"), "/health").await.unwrap();
    assert_eq!((answer.status, answer.body.contains("Loading model")), (503, true));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.ended(DEADLINE).await.signal(), Some(15));
}

#[tokio::test]
async fn child_mode_prints_its_states_and_exits_with_its_stdin() {
    let scratch = Scratch::new();
    let mut command = engine(&scratch, "--load-ms 30");
    command.env("LLAMA_SERVER_ROUTER_PORT", "1");
    // The harness gives an empty stdin, which ends at once; the engine acts on it when the load is done.
    let mut program = Program::start(command);
    program.line(r#"cmd_child_to_router:state:{"state":"loading""#, DEADLINE).await;
    program.line(r#"cmd_child_to_router:state:{"state":"ready""#, DEADLINE).await;
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
}

#[tokio::test]
async fn in_child_mode_a_term_alone_leaves_the_process_and_the_order_to_exit_ends_it() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let mut command = engine(&scratch, &format!("--report {}", reports.path().display()));
    command.env("LLAMA_SERVER_ROUTER_PORT", "1");
    let mut program = Program::start_held(command);
    reports.next("ready", DEADLINE).await;
    program.signal(Signal::SIGTERM);
    reports.next("term", DEADLINE).await;
    reports.next("served", DEADLINE).await;
    assert!(processes::alive(program.pid()), "it serves no request, and stays");
    program.write_line("cmd_router_to_child:exit").await;
    assert_eq!(program.ended(DEADLINE).await.code(), Some(0));
}

#[tokio::test]
async fn a_load_that_fails_says_why_and_only_as_often_as_it_should() {
    let scratch = Scratch::new();
    let mut program = Program::start(engine(&scratch, "--oom --only-starts 1"));
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    program.line("cudaMalloc failed: out of memory", DEADLINE).await;
    std::fs::remove_file(scratch.join("engine.sock")).unwrap();
    let mut again = Program::start(engine(&scratch, "--oom --only-starts 1"));
    again.line("listening on", DEADLINE).await;
}

#[tokio::test]
async fn a_stale_socket_file_stops_the_start() {
    let scratch = Scratch::new();
    std::fs::write(scratch.join("engine.sock"), "").unwrap();
    let mut program = Program::start(engine(&scratch, ""));
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    program.line("couldn't bind HTTP server socket", DEADLINE).await;
}

#[tokio::test]
async fn an_argument_the_engine_does_not_list_is_refused() {
    let scratch = Scratch::new();
    let mut command = engine(&scratch, "");
    command.arg("--no-such-thing");
    let mut program = Program::start(command);
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    program.line("error: invalid argument: --no-such-thing", DEADLINE).await;
}

#[tokio::test]
async fn term_ends_an_idle_engine_and_waits_for_a_busy_one() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let mut program = ready(&scratch, &format!("--report {}", reports.path().display())).await;
    let socket = scratch.join("engine.sock");
    let mut clients = tokio::task::JoinSet::new();
    let client = clients.spawn(async move { ask(&socket, "fake: --tokens 100000 --token-us 1000", true).await });
    reports.next("slot", DEADLINE).await;
    program.signal(Signal::SIGTERM);
    reports.next("term", DEADLINE).await;
    assert!(processes::alive(program.pid()), "an active client holds the engine");
    client.abort();
    assert_eq!(program.ended(DEADLINE).await.code(), Some(0));
    reports.next_of(program.pid(), "end", DEADLINE).await;
}

#[tokio::test]
async fn a_second_term_ends_at_once_and_a_first_may_be_lost() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let switches = format!("--lose-first-term --report {}", reports.path().display());
    let mut program = ready(&scratch, &switches).await;
    program.signal(Signal::SIGTERM);
    reports.next("term", DEADLINE).await;
    assert!(processes::alive(program.pid()));
    program.signal(Signal::SIGTERM);
    assert_eq!(program.ended(DEADLINE).await.code(), Some(0));
}

#[tokio::test]
async fn a_crash_aborts_and_an_ignored_term_needs_a_kill() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let switches = format!("--ignore-sigterm --fork-grandchild --report {}", reports.path().display());
    let mut program = ready(&scratch, &switches).await;
    let grandchild = reports.next("grandchild", DEADLINE).await.detail["grandchild"].as_u64().unwrap();
    let grandchild = u32::try_from(grandchild).unwrap();
    program.signal(Signal::SIGTERM);
    reports.next("term", DEADLINE).await;
    assert_eq!(processes::descendants(program.pid()), vec![grandchild]);
    let socket = scratch.join("engine.sock");
    let body = crate::chat("fake: --crash-after 3", true);
    assert!(http::post_unix(&socket, "/v1/chat/completions", &body).await.is_err());
    assert_eq!(program.ended(DEADLINE).await.signal(), Some(6));
    assert_eq!(processes::of_group(program.pid()), vec![grandchild], "a grandchild outlives the engine");
    let group = nix::unistd::Pid::from_raw(i32::try_from(program.pid()).unwrap());
    nix::sys::signal::killpg(group, Signal::SIGKILL).unwrap();
    processes::ended(&[grandchild], DEADLINE).await;
}

#[tokio::test]
async fn it_waits_where_it_is_held_until_the_file_is_there() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let (start, load) = (scratch.join("start"), scratch.join("load"));
    let report = reports.path().display();
    let switches = format!("--report {report} --hold start:{} --hold load:{}", start.display(), load.display());
    let mut program = Program::start(engine(&scratch, &switches));
    let socket = scratch.join("engine.sock");
    assert_eq!(reports.next("held", DEADLINE).await.detail["at"], "start");
    assert!(!socket.exists(), "it does not listen yet");
    std::fs::write(start, "").unwrap();
    assert_eq!(reports.next("held", DEADLINE).await.detail["at"], "load");
    assert_eq!(http::get_unix(&socket, "/health").await.unwrap().status, 503);
    std::fs::write(load, "").unwrap();
    program.line("listening on", DEADLINE).await;
}

#[tokio::test]
async fn a_signal_ends_it_at_any_moment() {
    let scratch = Scratch::new();
    let mut reports = Reports::listen(scratch.path());
    let gate = scratch.join("gate");
    let held = format!("--report {} --hold start:{}", reports.path().display(), gate.display());
    let mut program = Program::start(engine(&scratch, &held));
    reports.next("held", DEADLINE).await;
    program.signal(Signal::SIGUSR1);
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    assert_eq!(program.lines(), [""; 0], "without a word");
    let mut program = ready(&scratch, "").await;
    program.signal(Signal::SIGUSR2);
    assert_eq!(program.ended(DEADLINE).await.code(), Some(1));
    program.line("cudaMalloc failed: out of memory", DEADLINE).await;
}
