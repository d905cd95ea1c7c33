//! Which well-known models fit on which usual devices: the planner with real headers.
//!
//! The sizes are those of the published files; the memory of a card is what its driver says is free on an idle one, a few
//! hundred MiB below the number on the box.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what a person runs it for")]

use std::io::Cursor;
use std::sync::Arc;

use auxot_catalog::{Gguf, KvType, MemoryRequirements, RunParameters};
use auxot_gpu::Kind;
use auxot_placement::{
    Capacity, DeviceCapacity, LayerRequirements, Placement, PlacementError, Rules, Split, SplitMode, bytes_text, plan,
};
use auxot_tests::blueprint::{Blueprint, Quant};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Free MiB on an idle card.
const RTX_4090: u64 = 24_564 - 480;
const A100_40: u64 = 40_960 - 530;
const H100_80: u64 = 81_559 - 560;

fn requirements(blueprint: &Blueprint, parameters: &RunParameters) -> MemoryRequirements {
    let (header, len) = blueprint.header();
    MemoryRequirements::of(&Gguf::parse(Cursor::new(header), len).unwrap(), None, parameters).unwrap()
}

fn cards(free: &[u64]) -> Capacity {
    let room = |(at, mib): (usize, &u64)| DeviceCapacity::new(format!("GPU-{at}"), Kind::Nvidia, Some(mib * MIB));
    Capacity { devices: free.iter().enumerate().map(room).collect(), host: Some(64 * GIB), ..Capacity::default() }
}

fn place(
    blueprint: &Blueprint,
    parameters: &RunParameters,
    free: &[u64],
    rules: &Rules,
) -> Result<Placement, PlacementError> {
    let placed =
        plan(&LayerRequirements::of(&Arc::new(requirements(blueprint, parameters))), &cards(free), rules, None);
    let reported = match &placed {
        Ok(placed) => {
            let shares = placed.shares.iter().map(|share| format!("{} {}", share.device, bytes_text(share.bytes)));
            format!("{:?}: {}", placed.split, shares.collect::<Vec<_>>().join(", "))
        }
        Err(placement_error) => placement_error.to_string(),
    };
    println!("{:<28} {} x {:<6} on {free:?} MiB: {reported}", blueprint.file_name(), parameters.slots, parameters.ctx);
    placed
}

fn whole(blueprint: &Blueprint, parameters: &RunParameters, free: u64) {
    let placed = place(blueprint, parameters, &[free], &Rules::default())
        .unwrap_or_else(|placement_error| panic!("{placement_error}"));
    assert_eq!((placed.split, placed.offloaded), (Split::Whole, placed.layers), "{}", blueprint.file_name());
}

#[test]
fn a_card_of_24_gb_takes_14b_at_q8_or_32b_at_q4() {
    whole(&Blueprint::qwen_14b(Quant::Q8_0), &RunParameters::new(4, 8192), RTX_4090);
    whole(&Blueprint::qwen_32b(Quant::Q4KM), &RunParameters::new(1, 8192), RTX_4090);
    let both = place(&Blueprint::qwen_32b(Quant::Q8_0), &RunParameters::new(1, 4096), &[RTX_4090], &Rules::default());
    assert!(matches!(both, Err(PlacementError::DoesNotFit { devices: 1, .. })));
}

#[test]
fn a_card_of_40_gb_takes_70b_at_q4() {
    whole(&Blueprint::llama_70b(Quant::Q4_0), &RunParameters::new(1, 4096), A100_40);
    // The larger kind of 4 bits is 39.6 GiB of file alone: a few of its layers stay behind, where that is allowed.
    let larger = Blueprint::llama_70b(Quant::Q4KM);
    assert!(place(&larger, &RunParameters::new(1, 4096), &[A100_40], &Rules::default()).is_err());
    let partial = Rules { partial: true, ..Rules::default() };
    let placed = place(&larger, &RunParameters::new(1, 4096), &[A100_40], &partial).unwrap();
    assert!(placed.split == Split::Partial && placed.offloaded >= 72, "{placed:?}");
}

#[test]
fn a_card_of_80_gb_takes_70b_at_q8() {
    whole(&Blueprint::llama_70b(Quant::Q8_0), &RunParameters::new(2, 8192), H100_80);
}

#[test]
fn two_cards_of_24_gb_take_70b_at_q4_together() {
    let blueprint = Blueprint::llama_70b(Quant::Q4KM);
    for (split, expected) in [(SplitMode::Tensor, Split::Tensor), (SplitMode::Layers, Split::Layers)] {
        let rules = Rules { split, ..Rules::default() };
        let placed = place(&blueprint, &RunParameters::new(1, 8192), &[RTX_4090; 2], &rules).unwrap();
        assert_eq!((placed.split, placed.shares.len()), (expected, 2));
    }
    let alone = place(&blueprint, &RunParameters::new(1, 8192), &[RTX_4090], &Rules::default()).unwrap_err();
    assert!(alone.to_string().starts_with("needs 42."), "{alone}");
}

#[test]
fn a_small_cache_makes_room_for_a_long_context() {
    let blueprint = Blueprint::llama_70b(Quant::Q4_0);
    let long = RunParameters::new(1, 16_384);
    assert!(place(&blueprint, &long, &[A100_40], &Rules::default()).is_err());
    let small = RunParameters { keys: KvType::Q4_0, values: KvType::Q4_0, ..long };
    whole(&blueprint, &small, A100_40);
}
