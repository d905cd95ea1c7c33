//! The jobs of this worker, from the message that brings one to its terminal message.

pub(crate) mod answer;
pub(crate) mod context;
pub(crate) mod crash_suspects;
mod engine_answer;
mod intake;
pub(crate) mod job;
mod logprobs;
pub(crate) mod outcome;
mod output;
pub(crate) mod parsed_job;
pub(crate) mod reduced_tools;
pub(crate) mod registry;
mod request;
pub(crate) mod sink;
pub(crate) mod tool_loop;
pub(crate) mod transcript;
