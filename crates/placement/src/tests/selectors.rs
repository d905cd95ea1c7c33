//! How an engine is restricted to its devices: by variables, by its own names, or not at all.

use super::*;

#[test]
fn devices_without_a_variable_go_by_the_engine_s_names() {
    let capacity = |selectors: [DeviceSelector; 2]| {
        let rooms = selectors.into_iter().enumerate().map(|(at, selector)| {
            let free = Some([12, 10][at] * GIB);
            DeviceCapacity { selector, ..DeviceCapacity::new(format!("GPU-{at}"), Kind::Nvidia, free) }
        });
        Capacity { devices: rooms.collect(), host: Some(64 * GIB), ..Capacity::default() }
    };
    let named = |name: &str| DeviceSelector::Named(name.into());
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    let one = find(&ten, &capacity([named("Vulkan1"), named("Vulkan0")]), &Rules::default()).unwrap();
    let expected = ["--n-gpu-layers", "21", "--device", "Vulkan1", "--split-mode", "none", "--main-gpu", "0"];
    assert_eq!((one.arguments(), one.environment()), (expected.map(str::to_owned).to_vec(), vec![]));
    let eighteen = requirements(36, 480 * MIB, 20 * MIB);
    let two = find(&eighteen, &capacity([named("Vulkan1"), named("Vulkan0")]), &Rules::default()).unwrap();
    assert_eq!(two.arguments()[2..5], ["--device", "Vulkan1,Vulkan0", "--split-mode"], "in the order of the shares");
    let both = find(&eighteen, &capacity([named("Vulkan1"), DeviceSelector::Cuda]), &Rules::default()).unwrap();
    assert_eq!(both.arguments()[2..4], ["--device", "CUDA0,Vulkan1"]);
    assert_eq!(variables(&both)[0], "CUDA_VISIBLE_DEVICES=GPU-1");
    let nameless = find(&eighteen, &capacity([named("Vulkan1"), DeviceSelector::None]), &Rules::default()).unwrap();
    assert_eq!(nameless.arguments()[2], "--split-mode");
}

#[test]
fn a_card_without_a_name_hides_no_other() {
    let ten = requirements(20, 480 * MIB, 20 * MIB);
    for kind in [Kind::Amd, Kind::Apple] {
        let alone = Capacity {
            devices: vec![DeviceCapacity::new("0000:03:00.0", kind, Some(24 * GIB))],
            host: Some(64 * GIB),
            ..Capacity::default()
        };
        let placed = find(&ten, &alone, &Rules::default()).unwrap();
        assert_eq!((placed.split, placed.environment()), (Split::Whole, vec![]));
    }
}

#[test]
fn an_engine_that_decides_sees_the_devices_that_it_may_use() {
    let left = |selectors: &[(&str, DeviceSelector)]| {
        let shown = |(device, selector): &(&str, DeviceSelector)| Shown {
            device: (*device).into(),
            selector: selector.clone(),
        };
        let placed = layer_requirements(&requirements(20, 480 * MIB, 20 * MIB))
            .unmeasured(Some(selectors.iter().map(shown).collect()));
        (placed.arguments().join(" "), variables(&placed).join(" "))
    };
    let (cuda, named) = (DeviceSelector::Cuda, |name: &str| DeviceSelector::Named(name.into()));
    let expected = |arguments: &str, variables: &str| (arguments.to_owned(), variables.to_owned());
    let (both, none) =
        ("CUDA_VISIBLE_DEVICES=GPU-1,GPU-2 ROCR_VISIBLE_DEVICES=", "CUDA_VISIBLE_DEVICES= ROCR_VISIBLE_DEVICES=");
    assert_eq!(left(&[("GPU-1", cuda.clone()), ("GPU-2", cuda.clone())]), expected("", both));
    assert_eq!(left(&[]), expected("--device none", none), "the host's memory alone");
    assert_eq!(left(&[("GPU-0", named("Vulkan1"))]), expected("--device Vulkan1", ""));
    let mixed = left(&[("GPU-0", named("Vulkan1")), ("GPU-1", cuda.clone())]);
    assert_eq!(mixed, expected("--device CUDA0,Vulkan1", "CUDA_VISIBLE_DEVICES=GPU-1 ROCR_VISIBLE_DEVICES="));
    let amd = left(&[("0000:03:00.0", DeviceSelector::Rocr("1".into()))]);
    assert_eq!(amd, expected("", "CUDA_VISIBLE_DEVICES= ROCR_VISIBLE_DEVICES=1 HIP_VISIBLE_DEVICES=0"));
    assert_eq!(
        left(&[("GPU-0", cuda), ("metal", DeviceSelector::None)]),
        expected("", ""),
        "a variable would hide the second"
    );
}
