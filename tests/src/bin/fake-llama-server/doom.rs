//! The ends that a test brings about by a signal, at any moment of a life: SIGUSR1 is an exit with status 1 and no word,
//! SIGUSR2 the words of a device without memory and then status 1.

use tokio::signal::unix::{SignalKind, signal};

use crate::log;

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
