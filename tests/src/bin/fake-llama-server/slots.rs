//! The slots of the engine, and the queue before them: first come, first served, without a limit, as there.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// All slots of one engine.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Semaphore,
    busy: Mutex<Vec<bool>>,
    waiting: AtomicU64,
    forgotten: AtomicBool,
}

/// One slot in use; dropping it lets the next in.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    slots: &'a Slots,
    index: usize,
    // Last: the mark must be off before the next request can look for a free slot.
    _permit: SemaphorePermit<'a>,
}

impl Slots {
    /// `count` free slots.
    pub(crate) fn new(count: u32) -> Slots {
        let count = count as usize;
        Slots {
            free: Semaphore::new(count),
            busy: Mutex::new(vec![false; count]),
            waiting: AtomicU64::new(0),
            forgotten: AtomicBool::new(false),
        }
    }

    /// Waits for a slot. The semaphore is fair, which is the queue.
    pub(crate) async fn take(&self) -> Option<Slot<'_>> {
        let waiting = Waiting::new(&self.waiting);
        let permit = self.free.acquire().await.ok()?;
        drop(waiting);
        let mut busy = self.busy.lock().ok()?;
        let index = busy.iter().position(|busy| !busy)?;
        busy[index] = true;
        Some(Slot { slots: self, index, _permit: permit })
    }

    /// For each slot, whether it works.
    pub(crate) fn busy(&self) -> Vec<bool> {
        let busy = self.busy.lock().map(|busy| busy.clone()).unwrap_or_default();
        if self.forgotten.load(Ordering::Relaxed) { vec![false; busy.len()] } else { busy }
    }

    /// Shows all slots as free from now on.
    pub(crate) fn forget(&self) {
        self.forgotten.store(true, Ordering::Relaxed);
    }

    /// How many requests wait for a slot.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Slot<'_> {
    /// Its number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Ok(mut busy) = self.slots.busy.lock() {
            busy[self.index] = false;
        }
    }
}

struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
