//! The ends that a test brings about by a signal, at any moment of a life: SIGUSR1 is an exit with status 1 and no word,
//! SIGUSR2 the words of a device without memory and then status 1; and that of an engine which works on a card that is gone.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::engine::Engine;
use crate::{cards, log};

/// How often an engine that works meets its cards, more or less: each token would be too dear.
const MEET_CARDS: Duration = Duration::from_millis(20);

/// Resolves with the exit code when such a signal comes.
pub(crate) async fn comes() -> u8 {
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

/// Dies of a lost card while there is work; idle it would not know.
pub(crate) async fn of_lost_cards(engine: &Engine) -> u8 {
    if engine.switches.cards.folder.is_none() {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(MEET_CARDS);
    loop {
        tick.tick().await;
        if engine.slots.busy().contains(&true) {
            meet_cards(engine);
        }
    }
}

/// Dies if a card is lost.
pub(crate) fn meet_cards(engine: &Engine) {
    if cards::lost(engine) {
        eprintln!("CUDA error: unspecified launch failure");
        eprintln!(
            "  current device: 0, in function ggml_backend_cuda_synchronize at /llama.cpp/ggml/src/ggml-cuda.cu:1"
        );
        std::process::abort();
    }
}
