//! Which models would have to go.

/// Who would have to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Their names.
    pub models: Vec<String>,
    /// Their places in the list they were given in.
    pub at: Vec<usize>,
    /// Bytes on devices that their end frees.
    pub frees: u64,
}
