//! A GPU whose memory is the host's own, as Apple's: computed from the host's memory, without a call to a driver.
//!
//! Metal recommends how much of the memory a process's resources may take (`recommendedMaxWorkingSetSize`), and more
//! than that is driven out and crawls. It is two thirds of the memory on hosts of up to 36 GiB and three quarters on
//! larger ones; newer systems are seen to allow a little more, none less. A limit that the operator of the host has
//! raised (`iogpu.wired_limit_mb`) is not seen.
//!
//! All of a child's memory counts as held here, since the part that its GPU uses is not known.

use crate::device::{Device, Kind, ProcessUse};

/// Up to this size of the memory the smaller part of it is recommended.
const SMALL: u64 = 36 << 30;

/// The device, from the host's memory and what children hold of it.
pub(crate) fn device(host: &Device, children: Vec<ProcessUse>) -> Device {
    let mut device = Device::unread(Kind::Apple, "metal".to_owned(), "Apple GPU".to_owned());
    device.total = host.total.map(working_set);
    let ours = children.iter().map(|child| child.bytes).try_fold(0_u64, |sum, bytes| Some(sum.saturating_add(bytes?)));
    // What other processes hold of it is not known, so the total in use is unknown.
    let left = device.total.zip(ours).map(|(total, ours)| total.saturating_sub(ours));
    // The rest of the working set is only there if the memory is.
    device.free = left.zip(host.free).map(|(left, free)| left.min(free));
    device.processes = children;
    device
}

fn working_set(memory: u64) -> u64 {
    if memory <= SMALL { memory / 3 * 2 } else { memory / 4 * 3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceSelector, Sample};

    const GIB: u64 = 1 << 30;

    fn host(total: Option<u64>, free: Option<u64>) -> Device {
        Device { total, free, ..Sample::unread().host }
    }

    #[test]
    fn so_much_is_recommended() {
        for (memory, part) in [(8, 8.0 / 1.5), (16, 16.0 / 1.5), (36, 24.0), (48, 36.0), (64, 48.0), (192, 144.0)] {
            let set = device(&host(Some(memory * GIB), None), vec![]).total.unwrap() as f64 / GIB as f64;
            assert!((set - part).abs() < 0.01, "{memory}: {set}");
        }
    }

    #[test]
    fn what_our_children_hold_and_what_the_host_lacks_is_not_free() {
        let free = |host: &Device, held: &[Option<u64>]| {
            let child = |(pid, bytes): (u32, &Option<u64>)| ProcessUse::on_device(pid, *bytes);
            device(host, (1..).zip(held).map(child).collect()).free.map(|free| free / GIB)
        };
        let large = host(Some(64 * GIB), Some(60 * GIB));
        assert_eq!(free(&large, &[]), Some(48));
        assert_eq!(free(&large, &[Some(20 * GIB), Some(10 * GIB)]), Some(18));
        assert_eq!(free(&large, &[Some(50 * GIB)]), Some(0));
        assert_eq!(free(&host(Some(64 * GIB), Some(5 * GIB)), &[Some(20 * GIB)]), Some(5));
    }

    #[test]
    fn unknown_is_not_zero() {
        let known = host(Some(64 * GIB), Some(60 * GIB));
        assert_eq!(device(&host(None, Some(GIB)), vec![]).free, None);
        assert_eq!(device(&host(Some(64 * GIB), None), vec![]).free, None);
        let silent = device(&known, vec![ProcessUse::on_device(1, None)]);
        assert_eq!((silent.free, silent.held_by_others(|_| true)), (None, None));
        assert_eq!((silent.kind, silent.selector), (Kind::Apple, DeviceSelector::None), "there is no other to hide");
    }
}
