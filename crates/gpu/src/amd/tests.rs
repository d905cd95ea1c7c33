//! Cards and processes in a made-up `/sys` and `/proc`.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::device::DeviceSelector;

const GIB: u64 = 1 << 30;

struct Fake(TempDir);

impl Fake {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn config(&self) -> Config {
        Config { sysfs_root: self.0.path().join("sys"), proc_root: self.0.path().join("proc"), ..Config::default() }
    }

    fn put(&self, path: &str, text: impl ToString) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.to_string()).unwrap();
        self
    }

    fn card(&self, n: u32, address: &str, vram: u64, used: u64) -> &Self {
        let card = format!("sys/class/drm/card{n}/device");
        self.put(&format!("{card}/vendor"), "0x1002\n")
            .put(&format!("{card}/device"), "0x744c\n")
            .put(&format!("{card}/uevent"), format!("DRIVER=amdgpu\nPCI_SLOT_NAME={address}\n"))
            .put(&format!("{card}/mem_info_vram_total"), format!("{vram}\n"))
            .put(&format!("{card}/mem_info_vram_used"), format!("{used}\n"))
            .put(&format!("{card}/mem_info_vram_vendor"), "samsung\n")
            .put(&format!("{card}/mem_info_gtt_total"), 32 * GIB)
            .put(&format!("{card}/mem_info_gtt_used"), GIB)
            .put(&format!("{card}/drm/renderD{}/dev", 128 + n), "")
    }

    /// A card among what ROCm knows; the processors are nodes before the cards.
    fn node(&self, number: u32, gpu: u32, render: u32, unique: u64) -> &Self {
        let node = format!("sys/class/kfd/kfd/topology/nodes/{number}");
        let properties = format!("simd_count 96\ndrm_render_minor {render}\nunique_id {unique}\n");
        self.put(&format!("{node}/properties"), properties).put(&format!("{node}/gpu_id"), format!("{gpu}\n"))
    }

    fn selectors(&self) -> Vec<DeviceSelector> {
        sample(&self.config()).into_iter().map(|device| device.selector).collect()
    }

    fn open(&self, pid: u32, fd: u32, target: &str, note: &str) -> &Self {
        self.put(&format!("proc/{pid}/fdinfo/{fd}"), note);
        let folder = self.0.path().join(format!("proc/{pid}/fd"));
        fs::create_dir_all(&folder).unwrap();
        symlink(target, folder.join(fd.to_string())).unwrap();
        self
    }
}

fn note(address: &str, client: u32, memory: &str) -> String {
    format!("pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t{address}\n{memory}\n")
}

#[test]
fn no_card_is_no_device() {
    let fake = Fake::new();
    assert_eq!(sample(&fake.config()), []);
    fake.put("sys/class/drm/card0/device/vendor", "0x8086\n");
    fake.put("sys/class/drm/card0/device/uevent", "PCI_SLOT_NAME=0000:00:02.0\n");
    assert_eq!(sample(&fake.config()), []);
}

#[test]
fn cards_are_read_in_the_order_of_their_addresses() {
    let fake = Fake::new();
    fake.card(1, "0000:03:00.0", 24 * GIB, 4 * GIB).card(0, "0000:43:00.0", 16 * GIB, GIB);
    fake.put("sys/class/drm/card1/device/product_name", "Radeon RX 7900 XTX\n");
    fake.put("sys/class/drm/card1-DP-1/status", "connected\n");
    let devices = sample(&fake.config());
    let [first, second] = &devices[..] else { panic!("{devices:?}") };
    assert_eq!((first.id.as_str(), first.name.as_str()), ("0000:03:00.0", "Radeon RX 7900 XTX"));
    assert_eq!((first.total, first.free, first.used), (Some(24 * GIB), Some(20 * GIB), Some(4 * GIB)));
    assert_eq!((second.id.as_str(), second.name.as_str()), ("0000:43:00.0", "AMD GPU 0x744c"));
}

#[test]
fn a_reading_that_fails_is_unknown() {
    let fake = Fake::new();
    fake.card(0, "0000:03:00.0", GIB, 0).put("sys/class/drm/card0/device/mem_info_vram_used", "");
    let device = &sample(&fake.config())[0];
    assert_eq!((device.total, device.free, device.used, device.lost), (Some(GIB), None, None, false));
    fake.put("sys/class/drm/card0/device/mem_info_vram_total", "");
    assert!(sample(&fake.config())[0].lost);
}

#[test]
fn a_processor_s_graphics_count_the_memory_they_share() {
    let fake = Fake::new();
    fake.card(0, "0000:c4:00.0", GIB, GIB / 2);
    fs::remove_file(fake.0.path().join("sys/class/drm/card0/device/mem_info_vram_vendor")).unwrap();
    fake.put("proc/self/task/1/children", "7 ");
    fake.open(7, 3, "/dev/dri/renderD128", &note("0000:c4:00.0", 1, "drm-memory-vram:\t1 KiB\ndrm-memory-gtt:\t2 KiB"));
    let device = &sample(&fake.config())[0];
    assert_eq!((device.total, device.used), (Some(33 * GIB), Some(GIB + GIB / 2)));
    assert_eq!(device.processes, [ProcessUse::on_device(7, Some(3 << 10))]);
}

#[test]
fn children_are_counted_once_per_client_and_card() {
    let fake = Fake::new();
    let (a, b) = ("0000:03:00.0", "0000:43:00.0");
    fake.card(0, a, GIB, 0).card(1, b, GIB, 0);
    fake.put("proc/self/task/1/children", "7 ").put("proc/self/task/2/children", "8 9");
    let resident = "drm-memory-vram:\t9 MiB\ndrm-resident-vram:\t2 MiB";
    fake.open(7, 3, "/dev/dri/renderD128", &note(a, 1, resident));
    fake.open(7, 4, "/dev/dri/card0", &note(a, 1, resident));
    fake.open(7, 5, "/dev/dri/renderD128", &note(a, 2, "drm-memory-vram:\t5 KiB"));
    fake.open(7, 6, "/dev/dri/renderD129", &note(b, 3, "drm-shared-vram:\t1"));
    fake.open(7, 7, "/tmp/looks-like-one", &note(a, 4, resident));
    fake.open(8, 3, "socket:[1]", "pos:\t0\n");
    let devices = sample(&fake.config());
    assert_eq!(devices[0].processes, [ProcessUse::on_device(7, Some((2 << 20) + (5 << 10)))]);
    assert_eq!(devices[1].processes, [ProcessUse::on_device(7, None)]);
}

#[test]
fn rocm_tells_of_the_others() {
    let fake = Fake::new();
    fake.card(0, "0000:03:00.0", GIB, 0);
    fake.put("proc/self/task/1/children", "7 ");
    fake.open(7, 3, "/dev/dri/renderD128", &note("0000:03:00.0", 1, "drm-memory-vram:\t0 KiB"));
    let kfd = "sys/class/kfd/kfd";
    fake.put(&format!("{kfd}/topology/nodes/0/properties"), "cpu_cores_count 8\ndrm_render_minor 0\n");
    fake.node(1, 4242, 128, 0);
    fake.put(&format!("{kfd}/proc/7/vram_4242"), "111\n").put(&format!("{kfd}/proc/900/vram_4242"), "222\n");
    fake.put(&format!("{kfd}/proc/901/vram_4242"), "0\n").put(&format!("{kfd}/proc/902/vram_1"), "5\n");
    assert_eq!(
        sample(&fake.config())[0].processes,
        [ProcessUse::on_device(7, Some(111)), ProcessUse::on_device(900, Some(222))]
    );
}

#[test]
fn one_two_and_eight_cards_of_equal_and_of_unequal_size() {
    for count in [1, 2, 8] {
        for unequal in [0, 8] {
            let fake = Fake::new();
            for at in 0..count {
                fake.card(at, &format!("0000:{at:02x}:00.0"), (16 + unequal * u64::from(at)) * GIB, GIB);
            }
            let devices = sample(&fake.config());
            let totals: Vec<u64> = devices.iter().filter_map(|device| device.total).collect();
            assert_eq!(totals, (0..count).map(|at| (16 + unequal * u64::from(at)) * GIB).collect::<Vec<_>>());
            assert!(devices.iter().all(|device| !device.lost && device.used == Some(GIB)));
        }
    }
}

#[test]
fn of_eight_cards_one_may_be_lost_and_one_silent() {
    let fake = Fake::new();
    for at in 0..8 {
        fake.card(at, &format!("0000:{at:02x}:00.0"), 16 * GIB, GIB);
    }
    let card = |at: u32, file: &str| format!("sys/class/drm/card{at}/device/{file}");
    fake.put(&card(3, "mem_info_vram_total"), "").put(&card(3, "mem_info_vram_used"), "");
    fake.put(&card(5, "mem_info_vram_used"), "-1\n");
    fake.put(&card(6, "gpu_busy_percent"), "42\n").put(&card(6, "hwmon/hwmon7/temp1_input"), "61000\n");
    let devices = sample(&fake.config());
    assert_eq!(
        devices.iter().map(|device| device.lost).collect::<Vec<_>>(),
        (0..8).map(|at| at == 3).collect::<Vec<_>>()
    );
    assert_eq!(devices.iter().filter(|device| device.free.is_none()).count(), 2);
    assert_eq!((devices[6].temperature, devices[6].utilisation), (Some(61), Some(42)));
    assert_eq!((devices[0].temperature, devices[0].utilisation), (None, None));
}

#[test]
fn a_card_is_shown_by_its_id_or_by_its_place_among_what_computes() {
    let fake = Fake::new();
    let rocr = |word: &str| DeviceSelector::Rocr(word.into());
    for at in 0..3 {
        fake.card(at, &format!("0000:{at:02x}:00.0"), GIB, 0);
    }
    assert_eq!(
        fake.selectors(),
        [DeviceSelector::None, DeviceSelector::None, DeviceSelector::None],
        "their names are unknown"
    );
    fake.put("sys/class/drm/card1/device/unique_id", "f0ba1265c0ffee\n");
    assert_eq!(fake.selectors(), [DeviceSelector::None, rocr("GPU-00f0ba1265c0ffee"), DeviceSelector::None]);
    // Not in the order of their addresses, two digits after one, and the processor is no card.
    let kfd = "sys/class/kfd/kfd/topology/nodes";
    fake.put(&format!("{kfd}/0/gpu_id"), "0\n")
        .put(&format!("{kfd}/0/properties"), "cpu_cores_count 8\nsimd_count 0\n");
    fake.node(10, 1, 128, 0).node(9, 2, 129, 0xf0_ba12_65c0_ffef).node(1, 3, 130, 0);
    assert_eq!(fake.selectors(), [rocr("2"), rocr("GPU-00f0ba1265c0ffef"), rocr("0")]);
    // What this container may not use is not counted, by ROCm either.
    fake.put(&format!("{kfd}/1/gpu_id"), "");
    assert_eq!(fake.selectors(), [rocr("1"), rocr("GPU-00f0ba1265c0ffef"), DeviceSelector::None]);
    // Two parts of one card.
    fake.node(10, 1, 128, 7).node(9, 2, 129, 7);
    assert_eq!(fake.selectors(), [rocr("1"), rocr("0"), DeviceSelector::None]);
}
