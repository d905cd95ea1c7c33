//! Which models run on this host, who may use them, and who waits: the one fleet state.
//!
//! # Theory of operation
//!
//! A [`Fleet`] has **models**: models of the catalog that the operator's list, the router's policy or a job has named. Each
//! has a scheduler id in the **admission** (`auxot_scheduler`), which alone decides, by bytes and by turns, who is loaded,
//! where, who makes room, who waits and who is sent away. From its load to its end a model has one **engine**: a process (an
//! `auxot_engine`), in a place that was planned for it.
//!
//! ```text
//!   a job ─▶ requests ───────────┐                           ┌─▶ a lease, or a refusal
//!   a process ─▶ engine_status ──┼─▶ scheduler ─ effects ─▶ actions ─▶ a process begins, or ends
//!   a reading of the devices, the time ─┘                   └─▶ work for the tasks: drive, release, remember, look
//! ```
//!
//! A front end never sees a process. It asks [`Fleet::acquire`] and gets a [`Lease`] (one slot of one engine,
//! freed when dropped) or a [`Refusal`] (a type with the numbers in it). While a model loads, restarts or waits for room its
//! askers wait; when it has failed for good they are told why.
//!
//! All decisions are made under one short lock by whoever brings the news. The lock is never held across an await;
//! answers are sent after it is gone, and what takes time is left as `work` for the one who owns tasks. The
//! decisions themselves are pure: those of the admission, what a process's news means in `model::managed`, the sizes and the gaps
//! between the router's wish and the truth in `model::wish`.
//!
//! | where | what |
//! | --- | --- |
//! | `fleet` | the handle that front ends have |
//! | `state` | everything that decisions are made from; `work` that is left for the tasks, and the last `scan` |
//! | `owner` | the state under its lock, and all that changes it: `requests` for slots, `actions` of the scheduler, the `engine_status` of processes, models that are added (`add_model`), `reconfigure`d, `replace`d, tried again (`retry`), found by a `rescan` |
//! | `model` | one model: the `managed` record, its `plan`, in which `size_search` finds the largest size that fits, its `process`, what it took (`measurements`), its memory seen free (`release`) |
//! | `factory` | where processes come from: the engine of this host, or scripts in tests |
//! | `lease`, `refusal` | the two answers to a request |
//! | `report` | everything as it is now, for front ends and metrics |
//! | `tasks` | the owner of all tasks: processes, listeners, what takes time |
//!
//! Modules depend one way: `fleet` and `tasks` on `owner`, that on `state` and `report`, those on `model`.
//!
//! The processes' tasks belong to [`Tasks`], which the program drives beside everything else and which
//! alone joins them. A driver ends with the last handle to its process, and its listener with it. A panic in one of
//! them fails one model, and those who wait for it are told.
//!
//! **Memory.** What a model needs is computed from its header, corrected by what the same load took before, or by the engine's
//! own dry run before the first one. Its place is promised from the decision until a reading of the devices that was begun
//! after the load shows what it holds. When it has ended, its place counts as taken until a reading shows that free, or
//! `fleet.release_timeout` has gone by. Where nobody can read memory, one model at a time is tried.
//!
//! **Who is loaded.** The operator's list, each if there is room; the router's model, for which idle models of others make
//! room; any other model of the folders for the first job that names it (`fleet.on_demand`). Who makes room, when, and who
//! waits how long at most is said in `auxot_scheduler`.
//!
//! **Sizes.** Where the operator left slots or context open the router's wish counts, also while the model runs: its jobs end
//! within the drain time, it is loaded anew, and goes back to the old size if the new one does not start. A size that can
//! never fit gives way to the largest that counts as fitting; one whose load fails for want of memory to a smaller one: slots
//! first, then context, until the largest that loads is known (`model::size_search`). Meanwhile nobody is served by an engine that is only
//! tried; afterwards the report has the true size, and says what it falls short of. A size that loads have shown is
//! remembered for a day on disk, for this very file, engine, arguments and devices.
//!
//! Once the model of a new policy serves, those of earlier policies are let go; those of the operator's list stay. A wished
//! or listed model that is not here is told as unmet and looked for until it comes; where it is the only one, any of the
//! folders is served meanwhile ([`Fleet::serve_any_model`]), and so it is where every model that was named has failed. A model that
//! has failed stays so until something changes: the operator resets it, its file or the engine's becomes another one, the
//! router wishes for another size, or, unless its file or its arguments are what is wrong, some minutes have gone by (`owner::retry`).
//!
//! Which model a job without a name means: the first that serves or sleeps of the router's model and those that are listed;
//! see `state`.
//!
//! The end comes in three steps: [`Fleet::freeze`] (nothing is started, jobs go on), [`Fleet::refuse`] (jobs are sent
//! away), [`Fleet::stop`].

mod availability;
mod config;
mod devices;
mod factory;
mod fleet;
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
mod text_limit;

pub use auxot_engine::{Endpoint, ExitReport, Ready, State};
pub use auxot_gpu::{Device, Sample};
pub use availability::Availability;
pub use config::with_layers;
pub use config::{Config, ModelConfig, device_warning, table_warnings};
pub use devices::Devices;
pub use fleet::Fleet;
pub use lease::{EngineEnd, Lease};
pub use model::desired::{DesiredModel, MOST_SLOTS, parameters};
pub use model::measurements::measurements_file;
pub use model::unknown_devices::unknown_devices;
pub use paths::Paths;
pub use refusal::Refusal;
pub use report::metrics::{HISTOGRAMS, describe as describe_metrics};
pub use report::{ModelView, OtherNames, Report, UnloadedModel};
pub use settings::FleetSettings;
pub use tasks::Tasks;
pub use text_limit::TextLimit;
