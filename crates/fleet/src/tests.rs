//! The whole fleet with scripted engines and a stopped clock: no process, no waiting.

mod dialling;
pub(crate) mod house;
mod leaving;
mod missing;
mod rehearsal;
mod replaced;
mod resize;
mod sharing;
mod tasks;
mod trouble;
mod turns;
