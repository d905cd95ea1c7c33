//! What happens to the devices is said, once each, within the time between two looks.

use auxot_tests::{FakeNvml, Scratch, Stage};

/// Two cards of 24 GiB, of which others hold so many MiB; what else is true of them.
fn cards(driver: &FakeNvml, held: [u64; 2], more: &str) {
    let line = |held: u64| format!("gpu {} {} NVIDIA RTX 4090\n", 24_u64 << 30, held << 20);
    driver.set(&format!("{}{}{more}", line(held[0]), line(held[1])));
}

#[tokio::test]
async fn a_card_lost_and_back_and_a_stranger_that_grows_are_one_line_each() {
    let scratch = Scratch::new();
    let driver = FakeNvml::new(scratch.path());
    cards(&driver, [500, 500], "");
    let stage = Stage::new();
    let library = driver.library();
    let settings = [("AUXOT_NVML_PATH", library.to_str().unwrap()), ("AUXOT_GPU__SAMPLE_INTERVAL", "100ms")];
    let mut worker = stage.worker(&settings).await;
    worker.line(r#"device found id="GPU-fake-0100""#).await;
    cards(&driver, [1000, 9000], "");
    let grown = worker.line("others hold").await;
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
    for (said, times) in [("device found", 2), ("device lost", 1), ("device is back", 1), ("others hold", 2)] {
        assert_eq!(worker.lines_with(said).len(), times, "{said}");
    }
}
