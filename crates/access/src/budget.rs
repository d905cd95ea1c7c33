//! A bound over bytes that many owners hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound over all held bytes.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A bound of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit })
    }

    /// The bound.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn add(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// The bytes of one owner; a drop returns them.
#[derive(Debug)]
pub struct BudgetShare {
    budget: Arc<Budget>,
    held: usize,
}

impl BudgetShare {
    /// A part without bytes.
    #[must_use]
    pub fn of(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Reserves more bytes; returns `false` and reserves none where the bound would be exceeded.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budget.add(bytes);
        if fits {
            self.held += bytes;
        }
        fits
    }

    /// Returns all bytes.
    pub fn clear(&mut self) {
        self.budget.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }

    /// Returns some of the bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.held);
        self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
        self.held -= bytes;
    }

    /// The bound over all owners.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.budget.limit()
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_owners_together_stay_within_the_bound_and_a_drop_returns_the_bytes() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (BudgetShare::of(budget.clone()), BudgetShare::of(budget.clone()));
        assert!(one.grow(6) && two.grow(4) && !two.grow(1) && !one.grow(usize::MAX));
        assert_eq!((one.held, two.held), (6, 4));
        drop(one);
        assert!(two.grow(6) && !two.grow(1));
        two.shrink(4);
        assert!(two.grow(4) && !two.grow(1));
        two.shrink(usize::MAX);
        assert!(two.grow(10));
        two.clear();
        assert!(BudgetShare::of(budget).grow(10));
    }
}
