//! One llama-server process per model, from its command line to its reaped exit.
//!
//! # Theory of operation
//!
//! A [`Host`] is opened once: it finds the engine and asks it what it can do, makes a private directory for sockets,
//! ends what an earlier worker left running, and starts the one thread that spawns every child. From it come instances:
//! a [`Spec`] gives an [`InstanceHandle`], which anybody may clone, and a driver, a future that its owner runs in a
//! `JoinSet`.
//!
//! The **driver** alone owns the child. It turns verbs, news and deadlines into events, asks the pure machine in
//! `lifecycle` what each means, and carries out the effects. So there is one place that knows where an instance is, one
//! that decides, and one that acts; the drawing of the machine is in `lifecycle`.
//!
//! The **handle** sends verbs: `start`, `ready`, `stop`, `stopped`, `kill`, `reset`. Those of one handle arrive in their
//! order, so `start` and then `ready` waits for that very start. `claim` says "in use": a stop waits for the last claim
//! for as long as its drain time lasts. The state for showing goes out on a `watch`; nobody decides by it.
//!
//! A **life** is one process: `command` says how it is run, `spawner` starts it, `output` takes in all it prints,
//! `probe` watches its load and `liveness` its service from outside, `exit` names the reason of its end. All of these stand
//! below `process`. News of a life carry its number, so a late one can never be taken for news of the next.
//!
//! What the **engine** can do is asked of the program itself: its flags, the devices that it reaches, and before a load the
//! memory that it would take (`dry_run`), where it can tell.
//!
//! No process outlives us: each is alone in its group, so that a signal reaches all it started; Linux kills it when the
//! spawner thread ends; its standard input ends with us, at which an engine ends by itself once it has loaded; and its
//! identity is written down beside its socket, for the next worker to end it if all of that failed. On macOS, where the
//! kernel does not see to it, an engine that is stuck when its worker is killed stays until the next worker starts.
//!
//! Read on in `lifecycle`, then `driver`, then `process`.

mod config;
mod driver;
mod engine;
mod file_id;
mod handle;
mod host;
mod lifecycle;
pub mod metrics;
mod process;
#[cfg(any(test, feature = "scripted"))]
pub mod scripted;
mod spec;

pub use auxot_llama::Endpoint;
pub use config::{Config, GpuLayers};
pub use engine::dry_run::{DryRunError, Outlay, Part};
pub use engine::listed::Listed;
pub use engine::question::Unanswered;
pub use engine::{Engine, EngineError};
pub use file_id::FileId;
pub use handle::InstanceHandle;
pub use handle::status::{NotReady, Ready, State, Status};
pub use handle::usage::{Awaiting, Claim};
pub use host::open_files::raise_open_files;
pub use host::runtime_dir::RuntimeDirError;
pub use host::{Host, HostError};
pub use lifecycle::RunId;
pub use process::descendants::{adopt_orphans, end_descendants};
pub use process::exit::{Blame, ExitClass, ExitReport};
pub use spec::{Spec, Task};
