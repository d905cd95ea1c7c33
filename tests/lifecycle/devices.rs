//! Changes of devices are logged, once each, within one sample interval; and an engine sees only its own devices.

use std::fs;
use std::path::Path;

use auxot_tests::{FakeNvml, Scratch, Stage};

use crate::{DEADLINE, MODEL, MODEL_FILE};

/// Two cards of 24 GiB, of which others hold so many MiB; what else is true of them.
fn cards(driver: &FakeNvml, held: [u64; 2], more: &str) {
    let line = |held: u64| format!("gpu {} {} NVIDIA RTX 4090\n", 24_u64 << 30, held << 20);
    driver.set(&format!("{}{}{more}", line(held[0]), line(held[1])));
}

#[tokio::test]
async fn a_card_lost_and_back_and_another_process_that_grows_are_one_line_each() {
    let scratch = Scratch::new();
    let driver = FakeNvml::new(scratch.path());
    driver.set("");
    let stage = Stage::new();
    let library = driver.library();
    let settings = [("AUXOT_NVML_PATH", library.to_str().unwrap()), ("AUXOT_GPU__SAMPLE_INTERVAL", "100ms")];
    let mut worker = stage.worker(&settings).await;
    // Until here the engine runs for its device list: a child that this driver does not list, so that a sample meanwhile does not
    // say what other processes hold. The sample that finds the second card began after that which found the first.
    worker.line("models folders scanned").await;
    driver.cards(&[(24 << 10, 500, "NVIDIA RTX 4090")]);
    worker.line(r#"device found id="GPU-fake-0000""#).await;
    cards(&driver, [500, 500], "");
    worker.line(r#"device found id="GPU-fake-0100""#).await;
    cards(&driver, [1000, 9000], "");
    let grown = worker.line("other processes hold").await;
    let wanted = format!("id=\"GPU-fake-0100\" from={} to={}", 500_u64 << 20, 9000_u64 << 20);
    assert!(grown.contains(&wanted), "{grown}");
    cards(&driver, [1000, 9000], "lost 0\n");
    let lost = worker.line("device lost").await;
    assert!(lost.contains("GPU-fake-0000"), "{lost}");
    cards(&driver, [1000, 9000], "");
    worker.line("device is back").await;
    cards(&driver, [1000, 500], "");
    let shrunk = format!("from={} to={}", 9000_u64 << 20, 500_u64 << 20);
    worker.line(&shrunk).await;
    for (said, times) in [("device found", 2), ("device lost", 1), ("device is back", 1), ("other processes hold", 2)] {
        assert_eq!(worker.lines_with(said).len(), times, "{said}");
    }
}

/// AMD's cards of 24 GiB as the kernel shows them, of which so many GiB are used; ROCm counts them from behind.
fn amd_cards(sysfs: &Path, used: &[u64]) {
    let put = |path: String, text: String| {
        let path = sysfs.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (at, used) in used.iter().enumerate() {
        let card = format!("class/drm/card{at}/device");
        put(format!("{card}/vendor"), "0x1002".to_owned());
        put(format!("{card}/uevent"), format!("PCI_SLOT_NAME=0000:0{at}:00.0\n"));
        put(format!("{card}/mem_info_vram_total"), (24_u64 << 30).to_string());
        put(format!("{card}/mem_info_vram_used"), (used << 30).to_string());
        put(format!("{card}/drm/renderD{}/dev", 128 + at), String::new());
        let node = format!("class/kfd/kfd/topology/nodes/{}", 9 - at);
        put(format!("{node}/gpu_id"), (100 + at).to_string());
        // Only the first has an id.
        let unique = if at == 0 { 0xc0ffee } else { 0 };
        let render = 128 + at;
        put(format!("{node}/properties"), format!("simd_count 96\ndrm_render_minor {render}\nunique_id {unique}\n"));
    }
}

#[tokio::test]
async fn an_engine_on_amd_s_second_card_sees_no_other() {
    for (used, word) in [([24, 0], "0"), ([0, 24], "GPU-0000000000c0ffee")] {
        let mut stage = Stage::new();
        let sysfs = stage.scratch.path().join("sys");
        amd_cards(&sysfs, &used);
        stage.put(MODEL_FILE, "");
        let settings = [("AUXOT_GPU__SYSFS_ROOT", sysfs.to_str().unwrap()), ("AUXOT_GPU_AUTOLOAD_MODELS", MODEL)];
        let _worker = stage.worker(&settings).await;
        let engine = stage.reports.next("start", DEADLINE).await.pid;
        let environment = fs::read_to_string(format!("/proc/{engine}/environ")).unwrap();
        let shown: Vec<&str> = environment.split('\0').filter(|line| line.contains("VISIBLE_DEVICES")).collect();
        let rocr = format!("ROCR_VISIBLE_DEVICES={word}");
        for line in ["CUDA_VISIBLE_DEVICES=", &rocr, "HIP_VISIBLE_DEVICES=0"] {
            assert!(shown.contains(&line), "{line} is not in {shown:?}");
        }
    }
}
