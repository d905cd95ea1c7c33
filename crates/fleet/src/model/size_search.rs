//! The search for the largest size that the memory holds: pure, first in slots, then in context.
//!
//! The candidates stand in one row, the largest first: the wanted slots, one less, and so on to one slot of the whole context,
//! then one slot of less and less context. If a size fits, so do all after it. Two positions therefore describe what is known:
//! the last size known not to fit, and the first known to fit. The search bisects the sizes between them; it bisects the slots
//! alone until one slot of the whole context is known not to fit.
//!
//! An estimate saves loads: the search tries the estimated size first, then its neighbour. With a correct estimate these two
//! loads are all.

use serde::{Deserialize, Serialize};

use crate::model::desired::MAX_SLOTS;

/// How many jobs an engine can run at once, and how long each may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    /// Slots, at least 1.
    pub(crate) slots: u32,
    /// Context of each slot, in tokens.
    pub(crate) ctx: u32,
}

/// Context is tried in this many parts of the wanted one: a finer answer is not worth a load.
const CTX_PARTS: u32 = 8;
/// Engines round a context up to this many tokens, so sizes in between are equal.
const CTX_STEP: u32 = 256;

/// What the loads so far have shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SizeSearch {
    /// The sizes, the largest first.
    row: Vec<Size>,
    /// How many of them, from the first, are too large.
    too_large: usize,
    /// The first that is known to fit.
    fits: Option<usize>,
    guess: Guess,
    /// Some sizes were ruled out by an estimate alone.
    estimated: bool,
}

/// The next size that the estimate proposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guess {
    Nothing,
    /// The largest size that should fit.
    Largest(usize),
    /// That size was tried; this is its neighbour.
    Neighbour(usize),
}

/// The next step of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is unknown whether this size fits.
    Try(Size),
    /// This is the largest that fits.
    Found(Size),
    /// Not even the smallest fits.
    NothingFits,
}

impl SizeSearch {
    /// A search that begins with the wanted size.
    pub(crate) fn new(wanted: Size) -> Self {
        let wanted = Size { slots: wanted.slots.clamp(1, MAX_SLOTS), ..wanted };
        let slots = (1..=wanted.slots).rev().map(|slots| Size { slots, ..wanted });
        let parts = (1..CTX_PARTS).rev().map(|part| {
            let ctx = u64::from(wanted.ctx) * u64::from(part) / u64::from(CTX_PARTS);
            Size { slots: 1, ctx: u32::try_from(ctx).unwrap_or(u32::MAX) / CTX_STEP * CTX_STEP }
        });
        let mut row: Vec<Size> = slots.chain(parts.filter(|size| size.ctx > 0)).collect();
        row.dedup();
        Self { row, too_large: 0, fits: None, guess: Guess::Nothing, estimated: false }
    }

    /// A search that ends at once with the size of an earlier run; a new search if that size is not in the row.
    pub(crate) fn known(wanted: Size, found: Size) -> Self {
        let mut sizes = Self::new(wanted);
        if let Some(at) = sizes.place(found) {
            (sizes.too_large, sizes.fits) = (at, Some(at));
        }
        sizes
    }

    /// Uses an estimate, unless one is in use or a size is known to fit.
    pub(crate) fn estimate(&mut self, fits: impl FnMut(&Size) -> bool) {
        if self.guess == Guess::Nothing && self.fits.is_none() {
            self.guess = self.row.iter().position(fits).map_or(Guess::Nothing, Guess::Largest);
        }
    }

    /// Counts the present size as too large and goes on with the first smaller one whose estimate fits, without trying larger
    /// ones. Returns whether there is one.
    pub(crate) fn estimate_only(&mut self, fits: impl FnMut(&Size) -> bool) -> bool {
        // The present size was just found too large, whatever the estimate says.
        let from = self.place(self.size()).map_or(self.too_large, |at| at.max(self.too_large)) + 1;
        let open = self.row.get(from..).unwrap_or_default();
        let Some(found) = open.iter().position(fits) else { return false };
        self.too_large = from + found;
        self.guess = Guess::Largest(self.too_large);
        self.fits = self.fits.filter(|fits| *fits >= self.too_large);
        self.estimated = true;
        true
    }

    /// Whether larger sizes were ruled out by an estimate alone, which proves nothing for a later start.
    pub(crate) fn is_estimated(&self) -> bool {
        self.estimated
    }

    /// The next step.
    pub(crate) fn next(&self) -> Next {
        let slots = self.row.first().map_or(0, |first| first.slots as usize);
        let end = match self.fits {
            Some(fits) => fits,
            None if self.too_large < slots => slots,
            None => self.row.len(),
        };
        match self.fits {
            Some(fits) if fits <= self.too_large => Next::Found(self.row[fits]),
            // Nothing is known yet: the wanted size comes first.
            None if self.too_large == 0 => Next::Try(self.row[0]),
            None if self.too_large >= self.row.len() => Next::NothingFits,
            _ => {
                // An estimate may propose a smaller context before one slot is known to be too large.
                let open = self.fits.unwrap_or(self.row.len());
                // Of two in the middle the larger one: the load that it may cost is paid only once.
                let middle = self.too_large + (end - self.too_large - 1) / 2;
                Next::Try(self.row[self.guessed(open).unwrap_or(middle)])
            }
        }
    }

    /// The size that the estimate proposes, if it is still open.
    fn guessed(&self, end: usize) -> Option<usize> {
        match self.guess {
            Guess::Largest(at) | Guess::Neighbour(at) => Some(at).filter(|at| (self.too_large..end).contains(at)),
            Guess::Nothing => None,
        }
    }

    /// Updates the estimate after an attempt.
    fn learn(&mut self, at: usize, neighbour: Option<usize>) {
        self.guess = match self.guess {
            Guess::Largest(guess) if guess == at => neighbour.map_or(Guess::Nothing, Guess::Neighbour),
            Guess::Neighbour(guess) if guess == at => Guess::Nothing,
            other => other,
        };
    }

    /// The size to start with: the one on trial, or the largest that fits; the wanted one where none does.
    pub(crate) fn size(&self) -> Size {
        match self.next() {
            Next::Try(size) | Next::Found(size) => size,
            Next::NothingFits => self.wanted(),
        }
    }

    /// The largest size that is known to fit, if there is one.
    pub(crate) fn fits(&self) -> Option<Size> {
        self.fits.map(|at| self.row[at])
    }

    /// The wanted size.
    pub(crate) fn wanted(&self) -> Size {
        self.row[0]
    }

    /// An engine of this size has loaded.
    pub(crate) fn loaded(&mut self, size: Size) {
        if let Some(at) = self.place(size) {
            self.fits = Some(self.fits.map_or(at, |fits| fits.min(at)));
            self.too_large = self.too_large.min(at);
            self.learn(at, at.checked_sub(1));
        }
    }

    /// The memory was not enough for this size, so no larger one fits either, whatever was seen before.
    pub(crate) fn failed(&mut self, size: Size) {
        if let Some(at) = self.place(size) {
            self.too_large = self.too_large.max(at + 1);
            self.fits = self.fits.filter(|fits| *fits > at);
            self.learn(at, Some(at + 1));
        }
    }

    fn place(&self, size: Size) -> Option<usize> {
        self.row.iter().position(|other| *other == size)
    }
}

#[cfg(test)]
mod tests;
