//! The engine's way of packing intermediate results: best fit among the holes, else at the end.
//!
//! How large a compute buffer becomes depends on which results fit into the holes that earlier ones leave, so it is not
//! a sum but the outcome of packing. This is the packing, without the memory.

/// What the engine aligns results to in host memory; on devices it is 128 or 256, which makes no difference that
/// counts.
const ALIGN: u64 = 32;

/// No result is larger than this, in bytes: a wrong header must give a large number, and not one that wraps
/// around.
const LARGEST: u64 = 1 << 50;

/// A place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    at: u64,
    len: u64,
}

/// A buffer that grows as far as it must.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// Holes before `end`, by place; no two touch, and none touches `end`.
    holes: Vec<Slot>,
    end: u64,
    most: u64,
}

impl Arena {
    /// Takes a place of `bytes`.
    pub(super) fn take(&mut self, bytes: u64) -> Slot {
        let len = bytes.min(LARGEST).next_multiple_of(ALIGN);
        let fits = self.holes.iter().enumerate().filter(|(_, hole)| hole.len >= len);
        // Of equal holes the last, as the engine does it.
        let best = fits.rev().min_by_key(|(_, hole)| hole.len).map(|(index, _)| index);
        let Some(index) = best else {
            let slot = Slot { at: self.end, len };
            self.end += len;
            self.most = self.most.max(self.end);
            return slot;
        };
        let hole = &mut self.holes[index];
        let slot = Slot { at: hole.at, len };
        (hole.at, hole.len) = (hole.at + len, hole.len - len);
        if hole.len == 0 {
            self.holes.remove(index);
        }
        slot
    }

    /// Gives a place back.
    pub(super) fn free(&mut self, slot: Slot) {
        let index = self.holes.partition_point(|hole| hole.at < slot.at);
        self.holes.insert(index, slot);
        self.join(index + 1);
        self.join(index);
        if let Some(last) = self.holes.last().copied()
            && last.at + last.len == self.end
        {
            self.end = last.at;
            self.holes.pop();
        }
    }

    /// The largest extent so far, in bytes.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// Makes one of two holes that touch.
    fn join(&mut self, index: usize) {
        if index == 0 || index >= self.holes.len() {
            return;
        }
        let (before, hole) = (self.holes[index - 1], self.holes[index]);
        if before.at + before.len == hole.at {
            self.holes[index - 1].len += hole.len;
            self.holes.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_hole_that_fits_is_taken() {
        let mut arena = Arena::default();
        let slots: Vec<Slot> = [64, 32, 96, 32, 64, 32].into_iter().map(|bytes| arena.take(bytes)).collect();
        for index in [0, 2, 4] {
            arena.free(slots[index]);
        }
        assert_eq!(arena.take(33).at, slots[4].at, "of equal holes the last");
        assert_eq!(arena.take(70).at, slots[2].at);
        assert_eq!(arena.take(200).at, 320, "at the end");
        assert_eq!(arena.most(), 320 + 224);
    }

    proptest! {
        #[test]
        fn places_never_overlap_and_everything_can_be_given_back(ops in prop::collection::vec((any::<bool>(), 1u64..2000), 1..200)) {
            let mut arena = Arena::default();
            let mut taken: Vec<Slot> = Vec::new();
            let mut live = 0;
            for (take, number) in ops {
                if take || taken.is_empty() {
                    let slot = arena.take(number);
                    prop_assert!(taken.iter().all(|other| other.at + other.len <= slot.at || slot.at + slot.len <= other.at));
                    live += slot.len;
                    taken.push(slot);
                } else {
                    let slot = taken.swap_remove(number as usize % taken.len());
                    live -= slot.len;
                    arena.free(slot);
                }
                prop_assert!(arena.most() >= live);
                prop_assert!(arena.holes.windows(2).all(|pair| pair[0].at + pair[0].len < pair[1].at));
            }
            taken.into_iter().for_each(|slot| arena.free(slot));
            prop_assert_eq!((arena.end, arena.holes.len()), (0, 0));
        }
    }
}
