//! Counts by kind: endings of jobs, and faults.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds one to this name.
    pub(crate) fn add(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// The sum.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut order: Vec<(&String, &u64)> = self.counts.iter().collect();
        order.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        order.iter().try_for_each(|(name, count)| writeln!(f, "{count:>8}  {name}"))
    }
}
