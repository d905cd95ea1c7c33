//! Which models would have to go.

/// The models that would have to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Their names.
    pub models: Vec<String>,
    /// Their indices in the list of tenants.
    pub at: Vec<usize>,
    /// Bytes on devices that become free.
    pub frees: u64,
}
