//! The two APIs in whose words errors are written.

/// The API of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// OpenAI's, whose errors llama-server's own endpoints have too.
    OpenAi,
    /// Anthropic's.
    Anthropic,
}

impl Api {
    /// The API of a path.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/v1/messages") { Self::Anthropic } else { Self::OpenAi }
    }
}
