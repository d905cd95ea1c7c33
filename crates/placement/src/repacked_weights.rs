//! Weights of which a process in host memory has a repacked copy.
//!
//! On some processors the engine copies quantised weights into an order of its own (its `CPU_REPACK` and `AMX` buffers)
//! and computes with the copy. The pages of the file that the copy was made from stay in memory but are not read again:
//! the kernel drops them, unwritten, as soon as memory is short. An embedding that is the output matrix too is read by
//! rows, which come back one page at a time. So such a model needs its weights once, and loads where it fits once.
//! Measured with Gemma 3 270M, whose 235 MiB were driven out of memory while it was loaded: 45 came back with the next
//! prompts, which took no longer than before; without a copy all came back.
//!
//! The engine does not report how much it has copied, so that is concluded from what a process holds beyond the
//! expected. What makes this safe:
//!
//! * it is concluded once, before the first job: what the engine keeps of earlier prompts cannot be taken for a copy;
//! * it is never more than the pages that the kernel may drop, nor than the weights: without a mapped file, or with a
//!   locked one, it is zero;
//! * it is never more than what was not expected, so no model comes to need less than computed.

use auxot_gpu::ProcessUse;

use super::Placement;

/// A copy is of most of the weights. Less than this part of them is memory that the computation lacks, and is needed.
const LEAST: u64 = 4;

impl Placement {
    /// Bytes of mapped weights that a process with this placement does not need, as measured when it had loaded and not
    /// yet worked. Zero where it is not known what the process maps, or the place was not counted.
    #[must_use]
    pub fn repacked_bytes(&self, held: &ProcessUse) -> u64 {
        let (Some(bytes), Some(mapped)) = (held.bytes, held.mapped) else { return 0 };
        let expected = self.host.saturating_sub(self.at_work);
        let copied = bytes.saturating_sub(expected);
        if copied.saturating_mul(LEAST) < self.weights { 0 } else { copied.min(mapped).min(self.weights) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    /// Nine of weights, one of everything else before the first job, one more in jobs.
    fn placed() -> Placement {
        Placement {
            shares: Vec::new(),
            split: Split::Host,
            shown: None,
            host: 11,
            weights: 9,
            at_work: 1,
            offloaded: 0,
            layers: 2,
        }
    }

    fn held(own: u64, mapped: u64) -> ProcessUse {
        ProcessUse { pid: 7, bytes: Some(own + mapped), mapped: Some(mapped) }
    }

    #[test]
    fn a_copy_makes_as_many_pages_of_the_file_dispensable() {
        assert_eq!(placed().repacked_bytes(&held(1 + 9, 9)), 9, "all was copied");
        assert_eq!(placed().repacked_bytes(&held(1 + 6, 9)), 6, "some was");
        assert_eq!(placed().repacked_bytes(&held(1 + 9, 5)), 5, "the kernel has dropped some pages already");
        assert_eq!(placed().repacked_bytes(&held(1 + 9, 0)), 0, "and all");
    }

    #[test]
    fn what_cannot_be_dropped_or_is_no_copy_is_needed() {
        assert_eq!(placed().repacked_bytes(&held(1, 9)), 0, "as expected");
        assert_eq!(placed().repacked_bytes(&held(1 + 2, 9)), 0, "too little for a copy");
        assert_eq!(placed().repacked_bytes(&held(1 + 18, 0)), 0, "nothing is mapped");
        assert_eq!(placed().repacked_bytes(&held(1 + 30, 12)), 9, "no more than the weights");
        assert_eq!(placed().repacked_bytes(&ProcessUse::on_device(7, Some(19))), 0, "it is unknown what is mapped");
        let uncounted = Placement { host: 0, weights: 0, at_work: 0, ..placed() };
        assert_eq!(uncounted.repacked_bytes(&held(10, 9)), 0);
    }

    #[test]
    fn a_measured_placement_gives_the_same_conclusion() {
        for (own, mapped) in [(1 + 9, 9), (1 + 2, 9), (1 + 30, 9), (1 + 9, 5)] {
            let (placed, seen) = (placed(), held(own, mapped));
            let took = |placed: &Placement| own + mapped - placed.repacked_bytes(&seen) + placed.at_work;
            let learnt = Placement { host: took(&placed).max(placed.host), ..placed.clone() };
            assert_eq!(took(&learnt), took(&placed), "{own} of its own, {mapped} mapped");
        }
    }
}
