//! The whole fleet with scripted engines and a stopped clock: no process, no waiting.

mod dialling;
mod leaving;
mod missing;
mod rehearsal;
mod replaced;
mod resize;
mod sharing;
mod tasks;
pub(crate) mod test_fleet;
mod trouble;
mod turns;
