//! Which models run on this host, who may use them, and who waits: the one judge.
//!
//! # Theory of operation
//!
//! A [`Fleet`] has **members**: models of the catalog that the operator's list, the router's policy or a job has named. Each
//! has a seat in the **admission** (`auxot_scheduler`), which alone decides, by bytes and by turns, who is loaded,
//! where, who makes room, who waits and who is sent away. From its load to its end a member has one **engine**: a process (an
//! `auxot_engine`), in a place that was planned for it.
//!
//! ```text
//!   a job ─▶ acquire ─┐                           ┌─▶ a lease, or a refusal
//!   a process ─▶ turn ─┼─▶ admission ─ effects ─▶ carry_out ─▶ a process begins, or ends
//!   a reading of the devices, the time ─┘          └─▶ work for the staff: drive, release, remember, look
//! ```
//!
//! A door never sees a process. It asks [`Fleet::acquire`] and gets a [`Lease`] (one slot of one engine,
//! freed when dropped) or a [`Refusal`] (a type with the numbers in it). While a model loads, restarts or waits for room its
//! askers wait; when it has failed for good they are told why.
//!
//! All decisions are made under one short lock by whoever brings the news. The lock is never held across an await;
//! answers are sent after it is gone, and what takes time is left as `work` for the one who owns tasks. The
//! decisions themselves are pure: those of the admission, what a process's news means in `member`, the sizes and the gaps
//! between the router's wish and the truth in `wish`.
//!
//! | where | what |
//! | --- | --- |
//! | `fleet` | the handle that doors have |
//! | `acquire` | how a job gets a slot: a lease, or a refusal |
//! | `judge` | everything that decisions are made from, under its lock (`shared`); what the admission has decided, carried out (`carry`); the news of a process, taken in (`turn`) |
//! | `roster` | how models come in, change and go. A `member` has a `plan`, in which `dial` searches the largest size that fits; `reconfigure`, `mend` and `library` are the ways in which that changes |
//! | `engine` | the process of one load: what it would take (`dry_run`), what it took (`lessons`), its memory seen free (`release`) |
//! | `report` | everything as it is now, for doors and metrics |
//! | `staff` | the owner of all tasks: processes, listeners, what takes time (`work`) |
//!
//! The processes' tasks belong to [`Staff`], which the program drives beside everything else and which
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
//! first, then context, until the largest that loads is known (`dial`). Meanwhile nobody is served by an engine that is only
//! tried; afterwards the report has the true size, and says what it falls short of. A size that loads have shown is
//! remembered for a day on disk, for this very file, engine, arguments and devices.
//!
//! Once the model of a new policy serves, those of earlier policies are let go; those of the operator's list stay. A wished
//! or listed model that is not here is told as unmet and looked for until it comes; where it is the only one, any of the
//! folders is served meanwhile ([`Fleet::take_any`]), and so it is where every model that was named has failed. A model that
//! has failed stays so until something changes: the operator resets it, its file or the engine's becomes another one, the
//! router wishes for another size, or, unless its file or its arguments are what is wrong, some minutes have gone by (`mend`).
//!
//! Which model a job without a name means: the first that serves or sleeps of the router's model and those that are listed;
//! see `judge`.
//!
//! The end comes in three steps: [`Fleet::freeze`] (nothing is started, jobs go on), [`Fleet::refuse`] (jobs are sent
//! away), [`Fleet::stop`].

mod acquire;
mod config;
mod devices;
mod engine;
mod fleet;
mod judge;
mod orders;
mod places;
mod report;
mod roster;
mod staff;
#[cfg(test)]
mod tests;

pub use acquire::lease::{Lease, Loss};
pub use acquire::refusal::Refusal;
pub use acquire::text::MostText;
pub use auxot_engine::{Endpoint, ExitReport, Ready, State};
pub use auxot_gpu::{Device, Sample};
pub use config::{Config, ModelConfig, device_warning, table_warnings};
pub use devices::Devices;
pub use engine::lessons::experience_file;
pub use fleet::Fleet;
pub use judge::outlook::Outlook;
pub use orders::Orders;
pub use places::Places;
pub use report::metrics::{HISTOGRAMS, describe as describe_metrics};
pub use report::{ModelView, OtherNames, Report, Sleeper};
pub use roster::profile::with_layers;
pub use roster::strays::strays;
pub use roster::wish::{MOST_SLOTS, Wish, ask};
pub use staff::Staff;
