//! The search finds the largest size that fits, in few loads, whatever fits.

use proptest::prelude::*;

use super::*;

/// Searches with a memory of this many tokens; returns the tried sizes in order, and the result.
fn search(mut sizes: SizeSearch, memory: u64) -> (Vec<Size>, Next) {
    let mut tried = Vec::new();
    for _ in 0..100 {
        let Next::Try(size) = sizes.next() else { return (tried, sizes.next()) };
        tried.push(size);
        if u64::from(size.slots) * u64::from(size.ctx) <= memory { sizes.loaded(size) } else { sizes.failed(size) }
    }
    panic!("no end: {tried:?}");
}

fn slots(tried: &[Size]) -> Vec<u32> {
    tried.iter().map(|size| size.slots).collect()
}

const WANTED: Size = Size { slots: 16, ctx: 8192 };

#[test]
fn the_wanted_size_is_tried_first_and_kept_if_it_fits() {
    let (tried, end) = search(SizeSearch::new(WANTED), 16 * 8192);
    assert_eq!((tried, end), (vec![WANTED], Next::Found(WANTED)));
}

#[test]
fn slots_are_halved_until_the_largest_number_that_fits_is_known() {
    let (tried, end) = search(SizeSearch::new(WANTED), 5 * 8192);
    assert_eq!(slots(&tried), [16, 8, 4, 6, 5]);
    assert_eq!(end, Next::Found(Size { slots: 5, ..WANTED }));
}

#[test]
fn context_comes_after_the_last_slot() {
    let (tried, end) = search(SizeSearch::new(Size { slots: 4, ctx: 8192 }), 3000);
    assert_eq!(slots(&tried), [4, 2, 1, 1, 1, 1]);
    assert_eq!(end, Next::Found(Size { slots: 1, ctx: 2048 }));
}

#[test]
fn the_search_ends_also_where_nothing_fits() {
    let (tried, end) = search(SizeSearch::new(Size { slots: 4, ctx: 8192 }), 100);
    assert_eq!(end, Next::NothingFits);
    assert!(tried.len() <= 6, "{tried:?}");
    assert_eq!(search(SizeSearch::new(Size { slots: 1, ctx: 100 }), 0).1, Next::NothingFits);
}

#[test]
fn a_known_size_is_tried_first_and_smaller_ones_are_searched_if_it_no_longer_fits() {
    let found = Size { slots: 5, ..WANTED };
    let mut sizes = SizeSearch::known(WANTED, found);
    assert_eq!((sizes.next(), sizes.size(), sizes.wanted()), (Next::Found(found), found, WANTED));
    sizes.failed(found);
    let (tried, end) = search(sizes, 3 * 8192);
    assert_eq!((slots(&tried), end), (vec![3, 4], Next::Found(Size { slots: 3, ..WANTED })));
    assert_eq!(SizeSearch::known(WANTED, Size { slots: 99, ctx: 1 }), SizeSearch::new(WANTED));
}

/// A search that uses an estimate after its first failure, as a model does.
fn estimated(mut sizes: SizeSearch, memory: u64, estimate: u64) -> (Vec<Size>, Next) {
    let holds = |memory: u64| move |size: &Size| u64::from(size.slots) * u64::from(size.ctx) <= memory;
    let mut tried = Vec::new();
    for _ in 0..100 {
        let Next::Try(size) = sizes.next() else { return (tried, sizes.next()) };
        tried.push(size);
        if holds(memory)(&size) {
            sizes.loaded(size);
        } else {
            sizes.failed(size);
            sizes.estimate(holds(estimate));
        }
    }
    panic!("no end: {tried:?}");
}

#[test]
fn an_estimate_that_is_nearly_right_saves_loads() {
    let (tried, end) = estimated(SizeSearch::new(WANTED), 5 * 8192, 5 * 8192);
    assert_eq!((slots(&tried), end), (vec![16, 5, 6], Next::Found(Size { slots: 5, ..WANTED })));
    let (tried, end) = estimated(SizeSearch::new(WANTED), 5 * 8192, 6 * 8192);
    assert_eq!((slots(&tried), end), (vec![16, 6, 5], Next::Found(Size { slots: 5, ..WANTED })));
    let context = Size { slots: 1, ctx: 4096 };
    let (tried, end) = estimated(SizeSearch::new(WANTED), 4096, 4096);
    assert_eq!((tried.len(), end), (3, Next::Found(context)), "{tried:?}");
}

proptest! {
    #[test]
    fn a_wrong_estimate_changes_the_steps_and_not_the_result(
        slots in 1_u32..=64, ctx in 1_u32..200_000, memory in 0_u64..10_000_000, estimate in 0_u64..10_000_000,
    ) {
        let sizes = SizeSearch::new(Size { slots, ctx });
        let (_, end) = search(sizes.clone(), memory);
        let (tried, guided) = estimated(sizes, memory, estimate);
        prop_assert_eq!(guided, end);
        prop_assert!(tried.len() <= 1 + 2 + 8 + 3, "{} loads", tried.len());
    }

    #[test]
    fn the_result_is_the_largest_size_that_fits_in_few_loads(
        slots in 1_u32..=256, ctx in 1_u32..200_000, memory in 0_u64..20_000_000,
    ) {
        let sizes = SizeSearch::new(Size { slots, ctx });
        let fits = |size: &&Size| u64::from(size.slots) * u64::from(size.ctx) <= memory;
        let largest = sizes.row.iter().find(fits).copied();
        let (tried, end) = search(sizes.clone(), memory);
        prop_assert_eq!(end, largest.map_or(Next::NothingFits, Next::Found));
        // The wanted size, the bisection of 256 slots, and that of eight parts of the context.
        prop_assert!(tried.len() <= 1 + 8 + 3, "{} loads", tried.len());
        let mut once = tried.clone();
        once.dedup();
        prop_assert_eq!(once, tried, "nothing is tried twice");
    }

    #[test]
    fn contradictory_results_never_break_the_search(results in prop::collection::vec((0_usize..20, any::<bool>()), 0..40)) {
        let mut sizes = SizeSearch::new(WANTED);
        for (at, loaded) in results {
            let size = sizes.row[at % sizes.row.len()];
            if loaded { sizes.loaded(size) } else { sizes.failed(size) }
            prop_assert!(sizes.fits.is_none_or(|fits| fits >= sizes.too_large));
            let _ = (sizes.next(), sizes.size());
        }
    }
}
