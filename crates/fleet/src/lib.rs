//! The fleet: every model of this host, the engine processes that run them, and the jobs that wait for a slot.
//!
//! # Theory of operation
//!
//! A [`Fleet`] holds the models that the operator's list, the router's policy or a job has named. A loaded model has one
//! **engine**: a supervised process (`auxot_engine`) on the devices that were planned for it. The **scheduler**
//! (`auxot_scheduler`) alone decides which model is loaded and where, which model is evicted, and which job waits or is
//! refused. The fleet gives the scheduler its inputs and carries out its actions.
//!
//! ```text
//!   job ────────────▶ requests ──────┐                                ┌─▶ a lease, or a refusal
//!   engine status ──▶ engine_status ─┼─▶ scheduler ─▶ actions ─▶ actions ─▶ an engine starts, drains or stops
//!   device sample ──▶ measure ───────┤                                └─▶ work for the tasks
//!   clock ──────────▶ tick ──────────┘
//! ```
//!
//! A front end has no access to engines. It calls [`Fleet::acquire`] and gets a [`Lease`] (one slot of one engine, freed
//! on drop) or a [`Refusal`] (an enum with the values in it). While the model loads, restarts or waits for memory, the call
//! waits; when the model has failed, the call returns the cause.
//!
//! # The states of a model
//!
//! [`ModelState`] of the scheduler is the one state of a model, from here to the router's report, the metrics and the
//! commands; its drawing is in `auxot_scheduler::state`. The state of an engine process (`auxot_engine::State`) is another
//! matter: one model has many processes in its life, and none most of the time.
//!
//! # Modules
//!
//! | module | content |
//! | --- | --- |
//! | `fleet` | the handle for front ends |
//! | `state` | the data that decisions use; `work`, the queue for the tasks; `scan`, the last scan of the models folders and what names mean in it |
//! | `owner` | the state behind its lock, and every change to it: `requests` for slots, `actions` of the scheduler, `engine_status`, `add_model`, `reconfigure`, `replace` of changed files, `retry` of failed models, `rescan` of the folders, `operator`'s commands |
//! | `model` | one model: the `managed` record, its `plan`, the `size_search` for the largest size that fits, its engine (`process`), the `history` of measurements and sizes, the `release` of its memory |
//! | `factory` | creates engines: those of this host, or scripted ones in tests |
//! | `job_task`; `lease`, `refusal` | what a job wants of its model; the two results of a request |
//! | `kept_connections` | connections to engines, for the next requests of any front end |
//! | `download` | how the downloads of missing models are reported |
//! | `job_log` | the jobs of all front ends, running and ended, for operators |
//! | `report` | a snapshot for front ends and metrics |
//! | `tasks` | owns every task: engine drivers, status listeners, file I/O |
//!
//! Modules depend one way: `fleet` and `tasks` on `owner`, `owner` on `state` and `report`, those on `model`.
//!
//! # Concurrency
//!
//! Every decision is made under one lock that is held for a short time and never across an await. Answers are sent after
//! the lock is released, and slow operations are queued as `work` for the tasks. The decisions themselves are pure: the
//! scheduler's, the meaning of an engine status in `model::managed`, sizes in `model::plan`, policy gaps in `model::desired`.
//!
//! [`Tasks`] owns the tasks; the program runs it beside everything else, and it alone joins them. A driver ends with the
//! last handle to its engine, and the listener ends with the driver. A panic in a task fails one model, and its waiters get
//! the error.
//!
//! # Memory
//!
//! The memory of a model is computed from the file's header. A measurement of an earlier load of the same kind replaces the
//! computed number; before the first load, the engine's own dry run corrects it. The memory stays reserved from the decision
//! until a device sample that began after the load shows what the engine holds. After the engine has exited, its memory
//! counts as used until a sample shows it free, or until `fleet.release_timeout` has passed. Where the memory of the host is
//! unknown, one model at a time is loaded.
//!
//! # Which models are loaded
//!
//! * The operator's list (`fleet.autoload`): each model if there is room.
//! * The router's model: idle models are evicted for it.
//! * Any other model of the folders: for the first job that names it (`fleet.on_demand`).
//!
//! `auxot_scheduler` documents evictions and the bounds on every wait. Once the model of a new policy is ready, the models of
//! earlier policies are unloaded; those of the operator's list stay. A desired or listed model that is missing is reported as
//! unmet, and the folders are scanned until it appears; with `fleet.pull` the program downloads it ([`Fleet::missing`]). Meanwhile, where it is the only one, any model of the folders serves
//! ([`Fleet::serve_any_model`]); the same holds where every named model has failed.
//!
//! A job without a model name gets the first ready or unloaded one of the router's model and the listed models; see `state`. A
//! job for embeddings or a ranking gets such a model; a model that is for something else refuses the job ([`JobTask`]).
//!
//! # Sizes
//!
//! A size is a number of slots and a context per slot. Where the operator sets neither, the router's policy does, also while
//! the model runs: its jobs drain, it is reloaded, and it goes back to the old size if the new one does not load. A size that
//! can never fit is replaced by the largest one whose estimate fits. When a load fails for lack of memory, smaller sizes are
//! tried, first fewer slots, then less context, until the largest that loads is known (`model::size_search`). No job is
//! served by an engine that was started as a trial. The report has the true size and what it falls short of. A size that
//! loads have proved is kept on disk for a day, for the same file, engine, arguments and devices.
//!
//! # Failures
//!
//! A failed model is retried when its file or the engine's changes, when the operator resets it, when the router desires
//! another size, or after `fleet.failed_retry`, unless its file or its arguments are the cause (`owner::retry`).
//!
//! # Shutdown
//!
//! Three steps: [`Fleet::freeze`] (nothing is started, jobs go on), [`Fleet::refuse`] (jobs are refused), [`Fleet::stop`].

mod config;
mod devices;
mod download;
mod factory;
mod fleet;
mod job_log;
mod job_task;
mod kept_connections;
mod lease;
mod model;
mod owner;
mod paths;
mod refusal;
mod report;
mod settings;
mod state;
mod tasks;
#[cfg(test)]
mod tests;
mod trace_context;

pub use auxot_engine::{Awaiting, Endpoint, EngineLog, ExitReport, LogLine, Ready, RunId};
pub use auxot_gpu::{Device, Sample};
pub use auxot_scheduler::ModelState;
pub use config::{Config, ModelConfig, device_warning, table_warnings, with_layers};
pub use devices::Devices;
pub use download::{Download, DownloadState};
pub use fleet::Fleet;
pub use job_log::{Job, JobEnd, JobLog, JobRecord};
pub use job_task::JobTask;
pub use lease::{EngineEnd, Lease, TextLimit};
pub use model::desired::{DesiredModel, MAX_SLOTS};
pub use model::history::measurements_file;
pub use model::plan::parameters;
pub use model::unknown_devices::unknown_devices;
pub use paths::Paths;
pub use refusal::Refusal;
pub use report::metrics::{HISTOGRAMS, describe as describe_metrics};
pub use report::{ModelView, OtherNames, Report, UnloadedModel};
pub use settings::FleetSettings;
pub use tasks::Tasks;
pub use trace_context::{JobTrace, TraceContext};
