//! Files that this program keeps over restarts, replaced whole or not at all.
//!
//! A [`StateFile`] holds one JSON value, or one per line. Reading never fails: a missing, damaged or overlong file is no
//! state, which costs a computation or a measurement and nothing else. Writing goes through [`replace()`], so that a
//! reader or a crash meets the old content or the new one.
//!
//! ```
//! use auxot_state_file::StateFile;
//!
//! # fn main() -> std::io::Result<()> {
//! # let folder = tempfile::tempdir()?;
//! let file = StateFile::<Vec<u32>>::new(folder.path().join("sizes.json"), 1 << 20);
//! assert_eq!(file.read(), None);
//! file.write(&vec![1, 2])?;
//! assert_eq!(file.read(), Some(vec![1, 2]));
//! # Ok(())
//! # }
//! ```

mod replace;
mod state_file;

pub use replace::{folder_of, replace};
pub use state_file::StateFile;
