//! A bound over the bytes of many holders together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held in all.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit })
    }

    /// The bound.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    fn add(&self, bytes: usize) -> bool {
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }
}

/// One holder's part; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct BudgetShare {
    budget: Arc<Budget>,
    held: usize,
}

impl BudgetShare {
    pub(crate) fn of(budget: Arc<Budget>) -> Self {
        Self { budget, held: 0 }
    }

    /// Takes as many more; `false` where the bound is reached, and then none.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let fits = self.budget.add(bytes);
        if fits {
            self.held += bytes;
        }
        fits
    }

    /// Gives all back.
    pub(crate) fn clear(&mut self) {
        self.budget.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }

    /// The bound over all holders.
    pub(crate) fn limit(&self) -> usize {
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
    fn all_together_hold_no_more_than_the_bound_and_what_is_dropped_is_free() {
        let budget = Budget::new(10);
        let (mut one, mut two) = (BudgetShare::of(budget.clone()), BudgetShare::of(budget.clone()));
        assert!(one.grow(6) && two.grow(4) && !two.grow(1) && !one.grow(usize::MAX));
        assert_eq!((one.held, two.held), (6, 4));
        drop(one);
        assert!(two.grow(6) && !two.grow(1));
        two.clear();
        assert!(BudgetShare::of(budget).grow(10));
    }
}
