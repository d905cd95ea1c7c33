//! The quirks of llama-server, each with a test that it is avoided, or that it does no harm.
//!
//! | quirk | what the engine does | where it is handled |
//! | --- | --- | --- |
//! | 1 | a TERM waits for the engine's clients | the relay closes its sockets first; then the steps of a stop (`engine::state_machine`) |
//! | 2 | a TERM can be lost | a stop sends it again |
//! | 3 | a second TERM is `exit(1)`, also one to pid and group | one signal for each step, to the group alone (`engine::process`) |
//! | 4 | a disconnected client is not noticed while results arrive | every request streams; `/slots` two seconds apart (`engine::process::liveness`) |
//! | 5 | a conversation id turns cancelling off | no header is passed on (`llama::exchange`) |
//! | 6 | slots share one pool of context | `--parallel --ctx-size --no-kv-unified` (`engine::command_line`) |
//! | 7 | slots without a context change its meaning | the same |
//! | 8 | `--fit` does not fail when nothing fits | `--fit off`; a smaller size is searched for (`fleet::model`) |
//! | 9 | no thread is left to answer `/health` | spare threads; processor time is a sign of life (`engine::process::liveness`) |
//! | 10 | an unread pipe stops inference | both are pumped (`engine::process::output`) |
//! | 11 | settings of the host leak in | a scrubbed environment, an empty configuration (`engine::command_line`) |
//! | 12 | flags that newer builds refuse | only flags of `--help`, and none of those |
//! | 13 | encoders abort without `--embeddings` | the task of a model comes from its header (`catalog::kind`) |
//! | 14 | 8 GiB of host memory for prompts | `--cache-ram`, `--ctx-checkpoints` |
//! | 15 | a socket file stays and stops the next start | a new path for each run, removed before it (`engine::spawner`) |
//! | 16 | engines outlive their parent process | see the crate `engine`: death signal, stdin, record and cleanup |
//! | 17 | of several names the first in the alphabet is reported | exactly one `--alias` |
//! | 18 | a model file that is truncated while loaded is a SIGBUS | a crash like any other, reported as its signal (`engine::exit_reason`) |

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod starts;
mod streams;

use auxot_tests::DEADLINE;

use auxot_tests::scripted_router::{Link, policy};
use auxot_tests::{Stage, Start, Worker};

const MODEL: &str = "tiny-chat-q4_k_m";
const MODEL_FILE: &str = "tiny-chat-q4_k_m.gguf";

/// A worker with a ready model, and how its engine was started.
struct Served {
    stage: Stage,
    worker: Worker,
    link: Link,
    start: Start,
}

async fn served(switches: &str, settings: &[(&str, &str)]) -> Served {
    let mut stage = Stage::new();
    stage.put(MODEL_FILE, switches);
    let mut all = vec![("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)];
    all.extend(settings);
    let worker = stage.worker(&all).await;
    let start = stage.next_start().await;
    stage.reports.next("ready", DEADLINE).await;
    let link = stage.greeted(&policy("tiny-chat", "Q4_K_M", 2048, 2)).await;
    Served { stage, worker, link, start }
}
