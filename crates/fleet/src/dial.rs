//! The search for the largest size that the memory holds: pure, first in slots, then in context.
//!
//! All sizes that may be tried stand in one row, the largest first: the wanted slots, one less, and so on to one slot
//! of the whole context, then one slot of ever less context. What holds a size holds all after it, so two marks are
//! all there is to know: up to where sizes are known not to fit, and from where they are known to fit. The search
//! halves what lies between, among the slots as long as one slot of the whole context is not known to be too much.

use serde::{Deserialize, Serialize};

/// How many jobs an engine can run at once, and how long each may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Size {
    /// Slots, at least 1.
    pub(crate) slots: u32,
    /// Context of each slot, in tokens.
    pub(crate) ctx: u32,
}

/// Context is tried in so many parts of the wanted one: a finer answer is not worth a load.
const CTX_PARTS: u32 = 8;
/// Engines round a context up to this many tokens, so other sizes are no sizes.
const CTX_STEP: u32 = 256;

/// What the loads so far have shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dial {
    /// The sizes, the largest first.
    row: Vec<Size>,
    /// How many of them, from the first, are too large.
    too_large: usize,
    /// The first that is known to fit.
    fits: Option<usize>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nobody knows whether this size fits.
    Try(Size),
    /// This is the largest that fits.
    Found(Size),
    /// Not even the smallest fits.
    Hopeless,
}

impl Dial {
    /// A search that begins with what is wanted.
    pub(crate) fn new(wanted: Size) -> Self {
        let slots = (1..=wanted.slots.max(1)).rev().map(|slots| Size { slots, ..wanted });
        let parts = (1..CTX_PARTS).rev().map(|part| {
            let ctx = u64::from(wanted.ctx) * u64::from(part) / u64::from(CTX_PARTS);
            Size { slots: 1, ctx: u32::try_from(ctx).unwrap_or(u32::MAX) / CTX_STEP * CTX_STEP }
        });
        let mut row: Vec<Size> = slots.chain(parts.filter(|size| size.ctx > 0)).collect();
        row.dedup();
        Self { row, too_large: 0, fits: None }
    }

    /// A search whose end is known from an earlier run; begun anew if that size is none of this row.
    pub(crate) fn known(wanted: Size, found: Size) -> Self {
        let mut dial = Self::new(wanted);
        if let Some(at) = dial.place(found) {
            (dial.too_large, dial.fits) = (at, Some(at));
        }
        dial
    }

    /// What to do next.
    pub(crate) fn next(&self) -> Next {
        let slots = self.row.first().map_or(0, |first| first.slots as usize);
        let end = match self.fits {
            Some(fits) => fits,
            None if self.too_large < slots => slots,
            None => self.row.len(),
        };
        match self.fits {
            Some(fits) if fits <= self.too_large => Next::Found(self.row[fits]),
            // Nothing is known yet: what is wanted comes first.
            None if self.too_large == 0 => Next::Try(self.row[0]),
            None if self.too_large >= self.row.len() => Next::Hopeless,
            // Of two in the middle the larger one: the load that it may cost is paid only once.
            _ => Next::Try(self.row[self.too_large + (end - self.too_large - 1) / 2]),
        }
    }

    /// The size to start with: what is being tried, or the largest that fits; the wanted one where none does.
    pub(crate) fn size(&self) -> Size {
        match self.next() {
            Next::Try(size) | Next::Found(size) => size,
            Next::Hopeless => self.wanted(),
        }
    }

    /// The largest size that is known to fit, if one is.
    pub(crate) fn fits(&self) -> Option<Size> {
        self.fits.map(|at| self.row[at])
    }

    /// What is wanted.
    pub(crate) fn wanted(&self) -> Size {
        self.row[0]
    }

    /// An engine of this size was loaded.
    pub(crate) fn loaded(&mut self, size: Size) {
        if let Some(at) = self.place(size) {
            self.fits = Some(self.fits.map_or(at, |fits| fits.min(at)));
            self.too_large = self.too_large.min(at);
        }
    }

    /// The memory was not enough for this size: nor is it for any larger one, whatever was seen before.
    pub(crate) fn failed(&mut self, size: Size) {
        if let Some(at) = self.place(size) {
            self.too_large = self.too_large.max(at + 1);
            self.fits = self.fits.filter(|fits| *fits > at);
        }
    }

    fn place(&self, size: Size) -> Option<usize> {
        self.row.iter().position(|other| *other == size)
    }
}

#[cfg(test)]
mod tests;
