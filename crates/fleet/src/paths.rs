//! The paths of the fleet: the models, and the folder for its state files.

use std::path::PathBuf;
use std::sync::Arc;

use auxot_catalog::Catalog;

/// The models on disk, and the folder for what is kept between runs.
#[derive(Debug)]
pub struct Paths {
    /// The result of the first scan.
    pub catalog: Arc<Catalog>,
    /// A folder that no other program uses; it is made with the first file in it.
    pub state: PathBuf,
}
