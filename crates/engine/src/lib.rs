//! One llama-server process per model, from its command line to its reaped exit.
//!
//! # Theory of operation
//!
//! A [`Host`] is opened once: it finds the engine and asks it what it can do, makes a private directory for sockets,
//! ends what an earlier worker left running, and starts the one thread that spawns every child. From it come engines:
//! a [`Spec`] gives an [`EngineHandle`], which anybody may clone, and a driver, a future that its owner runs in a
//! `JoinSet`.
//!
//! The **driver** (in `supervisor`) alone owns the child. It turns verbs, news and deadlines into events, asks the pure machine in
//! `state_machine` what each means, and carries out the effects. So there is one place that knows where an engine is, one
//! that decides, and one that acts; the drawing of the machine is in `state_machine`.
//!
//! The **handle** sends verbs: `start`, `ready`, `stop`, `stopped`, `kill`, `reset`. Those of one handle arrive in their
//! order, so `start` and then `ready` waits for that very start. `claim` says "in use": a stop waits for the last claim
//! for as long as its drain time lasts. The state for showing goes out on a `watch`; nobody decides by it.
//!
//! A **life** is one process: `command_line` says how it is run, `spawner` starts it, `output` takes in all it prints,
//! `probe` watches its load and `liveness` its service from outside, `exit_reason` names the reason of its end. News of a life carry its number, so a late one can never be taken for news of the next.
//!
//! What the **engine** can do is asked of the program itself: its flags, the devices that it reaches, and before a load the
//! memory that it would take (`dry_run`), where it can tell.
//!
//! No process outlives us: each is alone in its group, so that a signal reaches all it started; Linux kills it when the
//! spawner thread ends; its standard input ends with us, at which an engine ends by itself once it has loaded; and its
//! identity is written down beside its socket, for the next worker to end it if all of that failed. On macOS, where the
//! kernel does not see to it, an engine that is stuck when its worker is killed stays until the next worker starts.
//!
//! Read on in `state_machine`, then `supervisor`, then `process`.

mod binary;
mod command_line;
mod config;
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
pub use exit_reason::{Blame, ExitClass, ExitReport};
pub use file_id::FileId;
pub use handle::EngineHandle;
pub use host::descendants::{adopt_orphans, end_descendants};
pub use host::open_files::raise_open_files;
pub use host::runtime_dir::RuntimeDirError;
pub use launcher::{Host, HostError};
pub use spec::{Spec, Task};
pub use state_machine::{Ready, RunId};
pub use status::{State, Status};
pub use usage::{Awaiting, Claim};
