//! One llama-server process per model, from its command line to its reaped exit.
//!
//! # Theory of operation
//!
//! A [`Host`] is opened once. It finds the llama-server program and learns its version, flags and devices, makes a private
//! directory for sockets, kills the processes that dead workers left, and starts the thread that spawns every child.
//! [`Host::create`] makes a stopped engine from a [`Spec`]: an [`EngineHandle`], which is cheap to clone, and a driver, a
//! future that its owner runs in a `JoinSet`.
//!
//! ```text
//!  EngineHandle ──commands──▶ Driver ──event──▶ state_machine::step(phase, event, now) ──▶ (phase, effects)
//!       ▲                     │   ▲                                                            │
//!       └──────status─────────┘   └──process events, deadlines── ServerProcess ◀──spawn, signal, probe
//!
//!  Stopped ──▶ Starting ──▶ Ready ──▶ Terminating ──▶ Killing ──▶ Unkillable
//!     ▲            ▲          │            │             │            │
//!     │            │          ▼            ▼             ▼            ▼
//!     │            └─── Backoff ◀── exit, by its cause: ─┴──────▶ Failed
//!     └──────────────────────────── exit after a stop
//! ```
//!
//! The **driver** (`supervisor`) owns the process. It turns commands, process events and deadlines into events, passes them
//! to the pure `state_machine`, and applies the effects. The full drawing of the states is in `state_machine`.
//!
//! The **handle** sends the commands `start`, `stop`, `kill` and `reset`, and `stopped` waits for the end of the process.
//! The commands of one handle arrive in their order. A claim marks the engine as in use, which decides how `liveness` checks
//! it. The [`Status`] is published on a `watch` channel. The [`EngineLog`] of a model has the newest lines of all its
//! processes, also after they have ended. The owner of the handles drains an engine before it stops it.
//!
//! A **run** is one process: `command_line` computes its arguments, `spawner` starts it, `output` reads all that it prints,
//! `probe` watches its load and `liveness` its service, and `exit_reason` classifies its exit. The events of a run carry its
//! number, so a late event is never taken for one of the next run.
//!
//! No process outlives the worker: each is in a process group of its own, so a signal reaches all its children; Linux kills
//! it when the spawner thread ends; its standard input ends with the worker, at which a loaded engine exits; and its identity
//! is recorded beside its socket, for the next worker to kill it if all of that failed. macOS has no signal for the death of
//! a parent: an engine that hangs when its worker is killed stays until the next worker starts.
//!
//! ```no_run
//! use auxot_engine::{Config, Host, Spec, State, Task};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::open(Config::default()).await?;
//! let spec = Spec {
//!     model: "tiny".into(),
//!     file: "/models/tiny.gguf".into(),
//!     files: Vec::new(),
//!     mmproj: None,
//!     task: Task::Chat,
//!     slots: 1,
//!     ctx_per_slot: 4096,
//!     checkpoint_step: 8192,
//!     layout: Vec::new(),
//!     kv_type: None,
//!     extra_args: Vec::new(),
//!     env: Vec::new(),
//! };
//! let (engine, driver) = host.create(spec);
//! let mut tasks = tokio::task::JoinSet::new();
//! tasks.spawn(driver);
//! engine.start();
//! engine.status().wait_for(|status| matches!(status.state, State::Ready(_) | State::Failed { .. })).await?;
//! engine.stop();
//! engine.stopped().await;
//! # Ok(())
//! # }
//! ```
//!
//! To read on: `state_machine`, then `supervisor`, then `process`.

mod binary;
mod command_line;
mod config;
mod engine_log;
mod exit_reason;
mod file_id;
mod handle;
mod host;
mod launcher;
pub mod metrics;
mod process;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;
mod spawner;
mod spec;
mod state_machine;
mod status;
mod supervisor;
mod usage;

pub use auxot_llama::Endpoint;
pub use binary::dry_run::{DryRunError, MemoryEstimate, MemoryParts};
pub use binary::listed_device::ListedDevice;
pub use binary::run_and_capture::CaptureError;
pub use binary::{BinaryError, EngineBinary};
pub use config::{Config, GpuLayers};
pub use engine_log::{EngineLog, LogLine};
pub use exit_reason::{Blame, ExitClass, ExitReport};
pub use file_id::FileId;
pub use handle::EngineHandle;
pub use host::descendants::{adopt_orphans, end_descendants};
pub use host::open_files::raise_open_files;
pub use host::runtime_dir::{RuntimeDirError, runtime_bases};
pub use launcher::{Host, HostError};
pub use spec::{Spec, Task};
pub use state_machine::{Ready, RunId};
pub use status::{State, Status};
pub use usage::{Awaiting, Claim};
