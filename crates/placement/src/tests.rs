//! The planner's choices one by one; what it guarantees for any memory is in `properties`.

use std::sync::Arc;

use auxot_catalog::{Layer, MemoryRequirements};
use auxot_gpu::{Device, DeviceSelector, Kind, Sample};

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn requirements(layers: usize, weights: u64, cache: u64) -> MemoryRequirements {
    let layer = Layer { weights, experts: 0, cache };
    MemoryRequirements {
        layers: vec![layer; layers],
        output: weights / 2,
        embedding: weights / 2,
        weights: weights * (layers as u64 + 1),
        compute: 300 * MIB,
        inputs: 20 * MIB,
        logits: MIB,
        ..MemoryRequirements::default()
    }
}

fn capacity(free: &[u64]) -> Capacity {
    let room = |(at, free): (usize, &u64)| DeviceCapacity::new(format!("GPU-{at}"), Kind::Nvidia, Some(*free));
    Capacity { devices: free.iter().enumerate().map(room).collect(), host: Some(64 * GIB), ..Capacity::default() }
}

fn layer_requirements(requirements: &MemoryRequirements) -> LayerRequirements {
    LayerRequirements::of(&Arc::new(requirements.clone()))
}

fn find(requirements: &MemoryRequirements, capacity: &Capacity, rules: &Rules) -> Result<Placement, PlacementError> {
    plan(&layer_requirements(requirements), capacity, rules, None)
}

fn variables(placed: &Placement) -> Vec<String> {
    placed.environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn a_whole_model_goes_where_the_least_is_left() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let placed = find(&ten, &capacity(&[80 * GIB, 12 * GIB, 24 * GIB]), &Rules::default()).unwrap();
    assert_eq!((placed.split, placed.shares[0].device.as_str()), (Split::Whole, "GPU-1"));
    assert_eq!(placed.shares[0].bytes, 20 * 500 * MIB + 240 * MIB + 300 * MIB + 512 * MIB);
    assert_eq!(placed.host, (240 + 20 + 1) * MIB);
    assert_eq!(placed.arguments(), ["--n-gpu-layers", "21", "--split-mode", "none", "--main-gpu", "0"]);
    assert_eq!(variables(&placed), ["CUDA_VISIBLE_DEVICES=GPU-1", "ROCR_VISIBLE_DEVICES="]);
}

#[test]
fn a_large_one_is_split_over_as_few_as_will_do_in_proportion() {
    let thirty = requirements(60, 480 * MIB, 20 * MIB);
    let placed = find(&thirty, &capacity(&[24 * GIB, 8 * GIB, 12 * GIB]), &Rules::default()).unwrap();
    assert_eq!(placed.split, Split::Layers);
    let shares: Vec<(&str, usize)> = placed.shares.iter().map(|share| (&*share.device, share.layers.len())).collect();
    assert_eq!(shares, [("GPU-0", 41), ("GPU-2", 20)]);
    let expected = ["--n-gpu-layers", "61", "--split-mode", "layer", "--tensor-split", "41,20"];
    assert_eq!(placed.arguments(), expected);
    assert_eq!(placed.environment()[0].1, "GPU-0,GPU-2");
    let tensor =
        find(&thirty, &capacity(&[24 * GIB; 2]), &Rules { split: SplitMode::Tensor, ..Rules::default() }).unwrap();
    assert_eq!(tensor.split, Split::Tensor);
    assert_eq!(tensor.shares[0].bytes, tensor.shares[1].bytes);
    assert_eq!(tensor.arguments()[2..5], ["--split-mode", "tensor", "--tensor-split"]);
    let parts: Vec<u64> = tensor.arguments()[5].split(',').map(|part| part.parse().unwrap()).collect();
    assert!(parts.iter().all(|mib| (14_000..16_000).contains(mib)), "of 30 GiB, in MiB: {parts:?}");
    let never = Rules { split: SplitMode::Never, ..Rules::default() };
    assert!(find(&thirty, &capacity(&[24 * GIB; 2]), &never).is_err());
}

/// Devices that are free for so many layers each, in hundredths of one, beside what each takes by itself.
fn for_layers(layers: &[u64]) -> Capacity {
    let own = 512 * MIB + 300 * MIB + Rules::default().reserve;
    capacity(&layers.iter().map(|hundredths| own + 5 * GIB * hundredths / 100).collect::<Vec<_>>())
}

#[test]
fn a_device_that_takes_no_layer_does_not_change_how_the_others_share() {
    let layer = Layer { weights: 5 * GIB, experts: 0, cache: 0 };
    let six = MemoryRequirements {
        layers: vec![layer; 6],
        output: 0,
        embedding: 0,
        inputs: 0,
        ..requirements(6, 5 * GIB, 0)
    };
    let shares = |free: &[u64]| -> Vec<(String, usize)> {
        let placed = find(&six, &for_layers(free), &Rules::default()).unwrap();
        placed.shares.into_iter().map(|share| (share.device, share.layers.len())).collect()
    };
    let two = [("GPU-0".to_owned(), 3), ("GPU-1".to_owned(), 4)];
    assert_eq!(shares(&[510, 520, 50]), two, "in proportion, as without the third");
    assert_eq!(shares(&[510, 520]), two);
    let in_turn = [("GPU-0".to_owned(), 1), ("GPU-1".to_owned(), 6)];
    assert_eq!(shares(&[195, 505]), in_turn, "in proportion the first would get two");
    let fewer = [("GPU-0".to_owned(), 1), ("GPU-2".to_owned(), 6)];
    assert_eq!(shares(&[195, 195, 505]), fewer, "the second is not needed");
}

#[test]
fn only_a_split_over_several_devices_has_its_overhead() {
    let thirty = requirements(60, 480 * MIB, 20 * MIB);
    let over = find(&thirty, &capacity(&[24 * GIB; 2]), &Rules::default()).unwrap();
    let partial = Rules { layers: Some(20), ..Rules::default() };
    let part = find(&thirty, &capacity(&[24 * GIB; 2]), &partial).unwrap();
    let beyond =
        |placed: &Placement, at: usize| placed.shares[at].bytes - placed.shares[at].weights - placed.shares[at].cache;
    assert!(beyond(&over, 0) > beyond(&part, 0), "several copies of the inputs");
    assert_eq!(beyond(&part, 0), 512 * MIB + 300 * MIB, "the driver and one computation");
}

/// The arguments on a host with two AMD and two NVIDIA cards, in any order.
fn mixed(free: [u64; 4]) -> Capacity {
    let device = |(at, free): (usize, u64)| {
        let (kind, selector) = match at {
            0 => (Kind::Amd, DeviceSelector::Rocr("GPU-00f0ba1265c0ffee".into())),
            1 => (Kind::Amd, DeviceSelector::Rocr("1".into())),
            _ => (Kind::Nvidia, DeviceSelector::Cuda),
        };
        let id = if kind == Kind::Amd { format!("0000:0{at}:00.0") } else { format!("GPU-{at}") };
        Device { free: Some(free), selector, ..Device::unread(kind, id.clone(), id) }
    };
    let host = Device { free: Some(64 * GIB), ..Sample::unread().host };
    let devices = free.into_iter().enumerate().map(device).collect();
    Capacity::of(&Sample { devices, host, ..Sample::unread() }, |_| 0)
}

#[test]
fn an_engine_sees_its_own_cards_of_any_maker() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let first = find(&ten, &mixed([12 * GIB, 24 * GIB, GIB, GIB]), &Rules::default()).unwrap();
    let expected = ["CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES=GPU-00f0ba1265c0ffee", "HIP_VISIBLE_DEVICES=0"];
    assert_eq!(variables(&first), expected);
    let second = find(&ten, &mixed([GIB, 24 * GIB, GIB, GIB]), &Rules::default()).unwrap();
    assert_eq!(second.shares[0].device, "0000:01:00.0");
    assert_eq!(variables(&second)[1..], ["ROCR_VISIBLE_DEVICES=1", "HIP_VISIBLE_DEVICES=0"]);
    assert_eq!(second.arguments()[2..], ["--split-mode", "none", "--main-gpu", "0"], "the only one that it sees");
    let thirty = requirements(60, 480 * MIB, 20 * MIB);
    let over = find(&thirty, &mixed([6 * GIB, 10 * GIB, 16 * GIB, 6 * GIB]), &Rules::default()).unwrap();
    let expected = ["CUDA_VISIBLE_DEVICES=GPU-2,GPU-3", "ROCR_VISIBLE_DEVICES=GPU-00f0ba1265c0ffee,1"];
    assert_eq!(variables(&over)[..2], expected);
    assert_eq!(variables(&over)[2], "HIP_VISIBLE_DEVICES=0,1");
    let order: Vec<&str> = over.shares.iter().map(|share| share.device.as_str()).collect();
    assert_eq!(order, ["GPU-2", "GPU-3", "0000:00:00.0", "0000:01:00.0"], "as the engine counts them");
    let rules = Rules { split: SplitMode::Tensor, ..Rules::default() };
    let parts = find(&thirty, &mixed([18 * GIB, GIB, 16 * GIB, GIB]), &rules).unwrap();
    assert_eq!(parts.shares[0].device, "0000:00:00.0", "it has the most room");
    let split: Vec<u64> = parts.arguments()[5].split(',').map(|part| part.parse().unwrap()).collect();
    assert!(split[0] < split[1], "NVIDIA's come first in the engine: {split:?}");
}

#[test]
fn a_part_in_host_memory_only_where_that_is_allowed() {
    let thirty = requirements(60, 480 * MIB, 20 * MIB);
    let small = capacity(&[10 * GIB]);
    assert!(find(&thirty, &small, &Rules::default()).is_err());
    let placed = find(&thirty, &small, &Rules { partial: true, ..Rules::default() }).unwrap();
    assert_eq!((placed.split, placed.offloaded), (Split::Partial, 18));
    assert_eq!(placed.shares[0].layers, 43..61, "the last ones, and the output");
    assert_eq!(placed.host, thirty.on_host(18));
    let exact = Rules { layers: Some(5), ..Rules::default() };
    assert_eq!(find(&thirty, &small, &exact).unwrap().offloaded, 5, "the operator's word");
    let none = Rules { layers: Some(0), ..Rules::default() };
    let host = find(&thirty, &small, &none).unwrap();
    assert_eq!((host.split, host.shares.len(), host.host), (Split::Host, 0, thirty.on_host(0)));
    assert_eq!(host.arguments(), ["--n-gpu-layers", "0", "--device", "none"]);
    assert_eq!(variables(&host), ["CUDA_VISIBLE_DEVICES=", "ROCR_VISIBLE_DEVICES="]);
    let allowed = Rules { host: true, ..Rules::default() };
    assert_eq!(find(&thirty, &small, &allowed).unwrap().split, Split::Host);
    let unseen = find(&thirty, &capacity(&[]), &allowed).unwrap();
    assert_eq!((unseen.split, unseen.host, unseen.arguments().len()), (Split::Engine, thirty.on_host(0), 0));
    assert_eq!(unseen.environment(), []);
    assert_eq!(find(&thirty, &capacity(&[]), &none).unwrap().split, Split::Host);
    let poor = Capacity { host: Some(8 * GIB), ..capacity(&[]) };
    assert_eq!(find(&thirty, &poor, &allowed).unwrap_err().to_string(), "needs 30.1 GiB, free 7.0 GiB of host memory");
}

/// An Apple host: what is left of the working set, and of the memory.
fn unified(left: u64, host: u64) -> Capacity {
    Capacity {
        devices: vec![DeviceCapacity::new("metal", Kind::Apple, Some(left))],
        host: Some(host),
        ..Capacity::default()
    }
}

#[test]
fn a_gpu_in_the_host_s_memory_and_the_host_are_the_same_bytes() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let placed = find(&ten, &unified(24 * GIB, 30 * GIB), &Rules::default()).unwrap();
    assert_eq!((placed.split, placed.offloaded), (Split::Whole, 21));
    assert_eq!((variables(&placed).len(), placed.arguments()[0..2].join(" ")), (0, "--n-gpu-layers 21".to_owned()));
    let needs = placed.shares[0].bytes + placed.host + GIB;
    assert!(find(&ten, &unified(24 * GIB, needs), &Rules::default()).is_ok());
    let placement_error = find(&ten, &unified(24 * GIB, needs - 1), &Rules::default()).unwrap_err();
    assert_eq!(placement_error, PlacementError::HostTooSmall { needs: needs - GIB, free: needs - 1 - GIB });
    assert!(find(&ten, &unified(10 * GIB, 30 * GIB), &Rules::default()).is_err(), "nor more than the working set");
    let mut capacity = unified(24 * GIB, 30 * GIB);
    capacity.taken("metal", 11 * GIB);
    capacity.taken("host", GIB);
    assert_eq!((capacity.devices[0].free, capacity.host), (Some(13 * GIB), Some(18 * GIB)));
    capacity.freed("metal", 11 * GIB);
    capacity.freed("host", GIB);
    assert_eq!(capacity, unified(24 * GIB, 30 * GIB));
}

#[test]
fn unknown_memory_is_neither_free_nor_full() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let mut devices = capacity(&[24 * GIB, 24 * GIB]);
    devices.devices[0].free = None;
    assert_eq!(find(&ten, &devices, &Rules::default()).unwrap().shares[0].device, "GPU-1");
    devices.devices[1].free = Some(GIB);
    let placement_error = find(&ten, &devices, &Rules::default()).unwrap_err();
    assert_eq!(placement_error, PlacementError::MemoryUnknown { device: "GPU-0".into() });
    let blind = Capacity { host: None, ..capacity(&[24 * GIB]) };
    assert_eq!(
        find(&ten, &blind, &Rules::default()).unwrap_err(),
        PlacementError::MemoryUnknown { device: "host".into() }
    );
}

#[test]
fn a_refusal_has_the_numbers_in_it() {
    let forty = requirements(80, 480 * MIB, 20 * MIB);
    let placement_error = find(&forty, &capacity(&[10 * GIB, 9 * GIB]), &Rules::default()).unwrap_err();
    assert_eq!(placement_error.to_string(), "needs 40.1 GiB, free 18.0 GiB on 2 devices");
    let stop = Some(Stop { models: vec!["a".into(), "b".into()], at: vec![0, 1], frees: 14 * GIB });
    let placement_error =
        PlacementError::DoesNotFit { needs: 41 * GIB + 200 * MIB, free: 18 * GIB + 900 * MIB, devices: 1, stop };
    assert_eq!(
        placement_error.to_string(),
        "needs 41.2 GiB, free 18.9 GiB on 1 device, stopping a and b would free 14.0 GiB"
    );
    let poor = Capacity { host: Some(GIB), ..capacity(&[80 * GIB]) };
    let placement_error = find(&forty, &poor, &Rules::default()).unwrap_err();
    assert_eq!(placement_error.to_string(), "needs 261 MiB of host memory, free 0 B");
    assert_eq!(bytes_text(1023 * MIB + MIB - 1), "1.0 GiB");
    assert_eq!([1023, 1024, 100 << 10].map(bytes_text), ["1023 B", "1.0 KiB", "100 KiB"]);
}

#[test]
fn what_was_measured_is_better_than_what_is_computed() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let rules = Rules::default();
    let tight = capacity(&[10 * GIB + 700 * MIB]);
    assert!(find(&ten, &tight, &rules).is_err());
    let known = |placement: &Placement| (placement.split == Split::Whole).then(|| vec![10 * GIB]);
    let placed = plan(&layer_requirements(&ten), &tight, &rules, Some(&known)).unwrap();
    assert_eq!(placed.shares[0].bytes, 10 * GIB);
    let known = |_: &Placement| Some(vec![13 * GIB]);
    assert!(
        plan(&layer_requirements(&ten), &capacity(&[13 * GIB]), &rules, Some(&known)).is_err(),
        "also when it is more"
    );
}

#[test]
fn of_host_memory_only_what_is_more_than_computed_is_believed() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let rules = Rules { host: true, ..Rules::default() };
    let computed = find(&ten, &capacity(&[]), &rules).unwrap();
    assert_eq!((computed.host, computed.at_work), (ten.on_host(0), ten.compute));
    for (took, host) in [(20 * GIB, 20 * GIB), (GIB, computed.host)] {
        let known = move |placement: &Placement| {
            assert!(placement.shares.is_empty());
            Some(vec![took])
        };
        let placed = plan(&layer_requirements(&ten), &capacity(&[]), &rules, Some(&known)).unwrap();
        assert_eq!(placed, Placement { host, ..computed.clone() });
        let small = Capacity { host: Some(host + GIB - 1), ..capacity(&[]) };
        let placement_error = plan(&layer_requirements(&ten), &small, &rules, Some(&known)).unwrap_err();
        assert_eq!(placement_error, PlacementError::DoesNotFit { needs: host, free: host - 1, devices: 0, stop: None });
    }
}

#[test]
fn those_who_must_go_are_as_few_as_will_do() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let holds = |device: &str, gib: u64| [(device.to_owned(), gib * GIB), ("host".to_owned(), GIB)];
    let held = [holds("GPU-1", 3), holds("GPU-0", 4), holds("GPU-0", 6), holds("GPU-0", 9)];
    let tenants: Vec<Tenant<'_>> =
        ["a", "b", "c", "d"].into_iter().zip(&held).map(|(model, holds)| Tenant { model, holds }).collect();
    let free = capacity(&[2 * GIB, 2 * GIB]);
    let (placement, stop) = make_room(&layer_requirements(&ten), &free, &Rules::default(), &tenants, None).unwrap();
    let stop = stop.unwrap();
    assert_eq!((stop.models, stop.at, stop.frees), (vec!["b".into(), "c".into()], vec![1, 2], 10 * GIB));
    assert_eq!(placement.shares[0].device, "GPU-0");
    let large = requirements(100, 480 * MIB, 20 * MIB);
    let placement_error = make_room(&layer_requirements(&large), &free, &Rules::default(), &tenants, None).unwrap_err();
    assert_eq!(placement_error, find(&large, &free, &Rules::default()).unwrap_err());
    let held = holds("GPU-1", 14);
    let pinned = [Tenant { model: "p", holds: &held }];
    let placement_error = find(&ten, &free, &Rules::default()).unwrap_err();
    let advised =
        advise(placement_error, &layer_requirements(&ten), &free, &Rules::default(), &pinned, None).to_string();
    assert_eq!(advised, "needs 10.8 GiB, free 3.0 GiB on 2 devices, stopping p would free 14.0 GiB");
    let roomy = capacity(&[80 * GIB]);
    assert_eq!(make_room(&layer_requirements(&ten), &roomy, &Rules::default(), &tenants, None).unwrap().1, None);
}

mod properties;
mod selectors;
