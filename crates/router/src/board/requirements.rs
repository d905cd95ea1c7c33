//! What a job needs of a worker.

use auxot_llama::PathTask;

/// The requirements of a job after its model name is resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResolvedRequirements<'a> {
    /// Canonical name of the model; `None` for any model.
    pub(crate) model: Option<&'a str>,
    /// What the model must be for.
    pub(crate) task: PathTask,
    /// The extension that the worker needs.
    pub(crate) extension: RequiredExtension,
}

/// An extension of the protocol that a job needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RequiredExtension {
    #[default]
    None,
    /// The job has parameters that change its answer. A worker that takes whole requests takes all parameters.
    Parameters,
    /// The job is a whole request.
    Requests,
}

/// The requirements of a job as the client states them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobRequirements {
    /// The model as the client names it; `None` for any model.
    pub(crate) model: Option<String>,
    /// See [`ResolvedRequirements::task`].
    pub(crate) task: PathTask,
    /// See [`ResolvedRequirements::extension`].
    pub(crate) extension: RequiredExtension,
}
