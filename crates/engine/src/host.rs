//! What the host gives and limits: processes and who they are, the runtime directory, descriptors, tasks, processors.

pub(crate) mod control_groups;
pub(crate) mod descendants;
pub(crate) mod identity;
pub(crate) mod open_files;
pub(crate) mod processors;
pub(crate) mod runtime_dir;
pub(crate) mod system;
pub(crate) mod tasks;
