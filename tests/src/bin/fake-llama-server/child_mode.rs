//! The undocumented child protocol: state lines on stdout, and stdin whose end is our end.
//!
//! On when `LLAMA_SERVER_ROUTER_PORT` is set, as in the engine. stdin is watched only after the load, as there.

use std::io::{BufRead, Write};

use serde_json::json;
use tokio::sync::mpsc;

/// What comes over stdin.
#[derive(Debug)]
pub(crate) enum Order {
    /// `cmd_router_to_child:exit`: the stop of a SIGTERM, and the end of the reading of stdin.
    Exit,
    /// The parent is gone.
    End,
}

/// True when a supervisor requests the child protocol.
pub(crate) fn is_requested() -> bool {
    std::env::var_os("LLAMA_SERVER_ROUTER_PORT").is_some()
}

/// Says how far the load is.
pub(crate) fn loading(value: f64) {
    let payload = json!({"stages": ["text_model"], "current": "text_model", "value": value});
    say("loading", &payload);
}

/// Says that requests are welcome.
pub(crate) fn ready(payload: &serde_json::Value) {
    say("ready", payload);
}

fn say(state: &str, payload: &serde_json::Value) {
    let line = format!("cmd_child_to_router:state:{{\"state\":\"{state}\",\"payload\":{payload}}}\n");
    let mut out = std::io::stdout().lock();
    // A supervisor that died is noticed by stdin; a line it cannot read is no fault of ours.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

/// Reads stdin on its own thread until it ends. The channel has room for more orders than a run can use.
pub(crate) fn watch_stdin() -> mpsc::Receiver<Order> {
    let (sender, orders) = mpsc::channel(4);
    // Not joined: it may be blocked in a read when the program ends, and the process's end is its end.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) if line.trim() == "cmd_router_to_child:exit" => {
                    let _ = sender.blocking_send(Order::Exit);
                    return;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let _ = sender.blocking_send(Order::End);
    });
    orders
}
