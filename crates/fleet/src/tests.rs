//! The whole fleet with scripted engines and a stopped clock: no process, no waiting.

mod dialling;
mod house;
mod leaving;
mod missing;
mod rehearsal;
mod resize;
mod sharing;
mod trouble;
mod turns;
