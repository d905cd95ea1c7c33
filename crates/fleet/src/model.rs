//! One model of the fleet: its plan, its engine process, and what is known of its memory.

pub(crate) mod desired;
pub(crate) mod history;
pub(crate) mod managed;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod release;
pub(crate) mod size_search;
pub(crate) mod unknown_devices;
