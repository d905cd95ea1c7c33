//! Exits that a test causes by a signal, at any time: SIGUSR1 exits with status 1 and no output,
//! SIGUSR2 prints that a device is out of memory and exits with status 1; and the crash of an engine that uses a lost card.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::Engine;
use crate::{cards, log};

/// How often a working engine checks its cards; a check for each token would cost too much.
const MEET_CARDS: Duration = Duration::from_millis(20);

/// Resolves with the exit code when such a signal comes.
pub(crate) async fn signalled() -> u8 {
    let (Ok(mut exit), Ok(mut memory)) = (signal(SignalKind::user_defined1()), signal(SignalKind::user_defined2()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = exit.recv() => {}
        _ = memory.recv() => {
            log::line('E', "", "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 64.00 MiB on device 0: cudaMalloc failed: out of memory");
        }
    }
    1
}

/// Aborts on a lost card while there is work; an idle engine would not notice.
pub(crate) async fn on_lost_card(engine: &Engine) -> u8 {
    if engine.switches.cards.folder.is_none() {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(MEET_CARDS);
    loop {
        tick.tick().await;
        if engine.slots.busy().contains(&true) {
            check_cards(engine);
        }
    }
}

/// Aborts if a card is lost.
pub(crate) fn check_cards(engine: &Engine) {
    if cards::lost(engine) {
        eprintln!("CUDA error: unspecified launch failure");
        eprintln!(
            "  current device: 0, in function ggml_backend_cuda_synchronize at /llama.cpp/ggml/src/ggml-cuda.cu:1"
        );
        std::process::abort();
    }
}
