//! Where things are on disk: the models, and what is remembered about them.

use std::path::PathBuf;
use std::sync::Arc;

use auxot_catalog::Catalog;

/// Where a fleet finds models, and where it remembers what it has learnt.
#[derive(Debug)]
pub struct Paths {
    /// What the first scan them has found.
    pub catalog: Arc<Catalog>,
    /// A folder that is ours alone; it is made when there is something to remember.
    pub state: PathBuf,
}
