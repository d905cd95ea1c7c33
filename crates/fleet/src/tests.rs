//! The whole fleet with scripted engines and a paused clock: no processes, no real waiting.

mod changed_files;
mod dry_run;
mod earlier_policies;
mod failures;
mod missing;
mod model_tasks;
mod rare_sequences;
mod resize;
mod scripted_engines;
mod sharing;
mod size_search;
pub(crate) mod test_fleet;
