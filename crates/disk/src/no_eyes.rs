//! A system that tells us nothing about folders: whoever would watch one looks now and then instead.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use crate::News;

/// A watched folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Infallible);

/// Where folders to be watched would be named.
#[derive(Debug, Clone)]
pub struct Eyes(Infallible);

/// What would happen in them.
#[derive(Debug)]
pub struct Ticker(Infallible);

/// There are none.
///
/// # Errors
/// Always.
pub fn open() -> io::Result<(Eyes, Ticker)> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Eyes {
    /// Watches a folder.
    ///
    /// # Errors
    /// Never, since there are no eyes.
    pub fn watch(&mut self, _: &Path) -> io::Result<Id> {
        match self.0 {}
    }

    /// Watches a folder no more.
    pub fn forget(&mut self, _: Id) {
        match self.0 {}
    }
}

impl Ticker {
    /// The next piece.
    ///
    /// # Errors
    /// Never, since there are no eyes.
    pub async fn next(&mut self) -> io::Result<News> {
        match self.0 {}
    }
}
