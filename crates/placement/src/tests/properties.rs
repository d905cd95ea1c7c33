//! What the planner guarantees for any memory.

use proptest::prelude::*;

use super::*;

fn any_requirements() -> impl Strategy<Value = MemoryRequirements> {
    let layer = (1u64..900, 0u64..300).prop_map(|(weights, cache)| Layer {
        weights: weights * MIB,
        experts: 0,
        cache: cache * MIB,
    });
    (prop::collection::vec(layer, 1..60), 0u64..2000, 10u64..800, 0u64..700).prop_map(
        |(layers, output, compute, projector)| {
            let weights = layers.iter().map(|layer| layer.weights).sum::<u64>() + output * MIB;
            let inputs = compute * MIB / 4;
            let (output, compute, projector) = (output * MIB, compute * MIB, projector * MIB);
            MemoryRequirements {
                layers,
                output,
                embedding: output,
                weights,
                compute,
                inputs,
                logits: MIB,
                projector,
                ..MemoryRequirements::default()
            }
        },
    )
}

fn any_capacity() -> impl Strategy<Value = Capacity> {
    let free = prop::option::weighted(0.9, 0u64..90_000).prop_map(|mib| mib.map(|mib| mib * MIB));
    let kind = prop_oneof![Just(Kind::Nvidia), Just(Kind::Amd)];
    let host = prop::option::weighted(0.95, 0u64..200_000).prop_map(|mib| mib.map(|mib| mib * MIB));
    let cards = prop::collection::vec((free.clone(), kind), 0..6).prop_map(|rooms| {
        let room = |(at, (free, kind))| DeviceCapacity::new(format!("GPU-{at}"), kind, free);
        rooms.into_iter().enumerate().map(room).collect()
    });
    let unified = free.prop_map(|free| vec![DeviceCapacity::new("metal", Kind::Apple, free)]);
    (prop_oneof![5 => cards, 1 => unified], host).prop_map(|(devices, host)| Capacity {
        devices,
        host,
        ..Capacity::default()
    })
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let split = prop_oneof![Just(SplitMode::Never), Just(SplitMode::Layers), Just(SplitMode::Tensor)];
    (0u64..3000, split, any::<bool>(), any::<bool>(), prop::option::weighted(0.2, 0usize..70)).prop_map(
        |(reserve, split, partial, host, layers)| Rules {
            reserve: reserve * MIB,
            host_reserve: reserve * MIB,
            split,
            partial,
            host,
            layers,
            ..Rules::default()
        },
    )
}

/// Everything that must be true of a placement, whatever it is.
fn check(
    placed: &Placement,
    requirements: &MemoryRequirements,
    capacity: &Capacity,
    rules: &Rules,
) -> Result<(), TestCaseError> {
    for share in &placed.shares {
        let room = capacity.devices.iter().find(|room| *room.id == *share.device);
        let free = room.and_then(|room| room.free);
        prop_assert!(free.is_some_and(|free| share.bytes + rules.reserve <= free), "{share:?} of {free:?}");
        prop_assert!(!share.layers.is_empty());
    }
    let in_host = placed.host
        + placed.shares.iter().filter(|share| share.device == "metal").map(|share| share.bytes).sum::<u64>();
    prop_assert!(capacity.host.is_some_and(|free| in_host == 0 || in_host + rules.host_reserve <= free));
    let weights: u64 = placed.shares.iter().map(|share| share.weights).sum();
    let first = requirements.offloadable() - placed.offloaded;
    let expected = requirements.of_layers(first..requirements.offloadable());
    let cache: u64 = placed.shares.iter().map(|share| share.cache).sum();
    prop_assert!(weights + cache >= expected, "every layer lies somewhere");
    if matches!(placed.split, Split::Layers | Split::Partial | Split::Whole) {
        let mut next = first;
        for share in &placed.shares {
            prop_assert_eq!(share.layers.start, next);
            next = share.layers.end;
        }
        prop_assert!(placed.offloaded == 0 || next == requirements.offloadable());
    }
    match placed.split {
        Split::Whole => prop_assert_eq!(placed.shares.len(), 1),
        Split::Layers | Split::Tensor => prop_assert!(placed.shares.len() > 1 && rules.split != SplitMode::Never),
        Split::Partial => prop_assert!(rules.partial || rules.layers.is_some()),
        Split::Engine => prop_assert!(capacity.devices.is_empty() && rules.host),
        Split::Host => prop_assert!(rules.host || rules.layers == Some(0)),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_device_is_used_beyond_what_is_free_less_the_reserve(requirements in any_requirements(), capacity in any_capacity(), rules in any_rules()) {
        if let Ok(placed) = find(&requirements, &capacity, &rules) {
            check(&placed, &requirements, &capacity, &rules)?;
        }
    }

    #[test]
    fn more_memory_never_turns_a_placement_into_an_error(
        requirements in any_requirements(),
        capacity in any_capacity(),
        rules in any_rules(),
        more in prop::collection::vec(0u64..20_000, 7),
        new in prop::option::of(0u64..50_000),
    ) {
        let mut larger = capacity.clone();
        for (room, more) in larger.devices.iter_mut().zip(&more) {
            room.free = room.free.map(|free| free + more * MIB);
        }
        larger.host = larger.host.map(|free| free + more[6] * MIB);
        larger.devices.extend(new.map(|mib| DeviceCapacity::new("GPU-new", Kind::Nvidia, Some(mib * MIB))));
        if find(&requirements, &capacity, &rules).is_ok() {
            prop_assert!(find(&requirements, &larger, &rules).is_ok(), "{:?}", find(&requirements, &larger, &rules));
        }
    }

    #[test]
    fn no_model_is_unloaded_in_vain(requirements in any_requirements(), capacity in any_capacity(), rules in any_rules(), held in prop::collection::vec((0usize..6, 0u64..40_000), 0..8)) {
        let held: Vec<[(String, u64); 1]> =
            held.iter().map(|(device, mib)| [(format!("GPU-{device}"), mib * MIB)]).collect();
        let tenants: Vec<Tenant<'_>> = held.iter().map(|holds| Tenant { model: "m", holds }).collect();
        let Ok((placed, stop)) = make_room(&layer_requirements(&requirements), &capacity, &rules, &tenants, None) else { return Ok(()) };
        let gone = stop.map(|stop| stop.at).unwrap_or_default();
        let without = |gone: &[usize]| {
            let mut capacity = capacity.clone();
            for (device, bytes) in gone.iter().flat_map(|at| tenants[*at].holds) {
                capacity.freed(device, *bytes);
            }
            capacity
        };
        check(&placed, &requirements, &without(&gone), &rules)?;
        for spared in &gone {
            let fewer: Vec<usize> = gone.iter().copied().filter(|at| at != spared).collect();
            prop_assert!(find(&requirements, &without(&fewer), &rules).is_err(), "m{spared} could have stayed");
        }
    }
}
