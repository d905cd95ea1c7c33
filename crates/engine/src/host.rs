//! The host: its processes and their identities, the runtime directory, descriptors, task limits, processors.

pub(crate) mod control_groups;
pub(crate) mod descendants;
pub(crate) mod identity;
pub(crate) mod open_files;
pub(crate) mod processors;
pub(crate) mod runtime_dir;
pub(crate) mod system;
pub(crate) mod tasks;
