//! The number of threads for an engine: its own default is all cores of the host, even where the worker may use fewer.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::Path;

/// The number of threads for an engine that would start more than it has processors for; `None` where its own default
/// fits, or nothing is known.
pub(crate) fn threads() -> Option<u32> {
    // This respects affinity and the quotas of our control groups.
    let available = std::thread::available_parallelism().ok()?.get();
    threads_in(Path::new("/"), available)
}

/// An engine starts a thread for each core; a core can be two processors to the system.
fn threads_in(root: &Path, available: usize) -> Option<u32> {
    let online = list(&read_to_string(root.join("sys/devices/system/cpu/online")).ok()?);
    let status = read_to_string(root.join("proc/self/status")).ok()?;
    let allowed = list(status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?);
    let of_host = cores(root, &online);
    let ours = cores(root, &allowed.intersection(&online).copied().collect()).min(available);
    (0 < ours && ours < of_host).then_some(u32::try_from(ours).ok()?)
}

fn cores(root: &Path, processors: &BTreeSet<u32>) -> usize {
    let siblings = |processor: &u32| {
        let path = format!("sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
        read_to_string(root.join(path)).unwrap_or_else(|_| processor.to_string())
    };
    processors.iter().map(siblings).collect::<BTreeSet<String>>().len()
}

/// Parses a list such as `0-3,8`.
fn list(text: &str) -> BTreeSet<u32> {
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
    });
    // No Linux has more processors than this.
    ranges.flat_map(|(first, last)| first..=last.min(8191)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight processors that are four cores.
    fn host(allowed: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let put = |path: String, text: String| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("sys/devices/system/cpu/online".into(), "0-7\n".into());
        put("proc/self/status".into(), format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n"));
        for processor in 0..8 {
            let core = processor % 4;
            let path = format!("sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
            put(path, format!("{core},{}\n", core + 4));
        }
        root
    }

    #[test]
    fn the_number_is_set_only_where_the_worker_has_fewer_cores_than_the_host() {
        let threads = |allowed: &str, available| threads_in(host(allowed).path(), available);
        assert_eq!(threads("0-7", 8), None);
        assert_eq!(threads("0-3", 4), None, "every core, by one of its processors");
        assert_eq!(threads("0,1,4,5", 4), Some(2), "two cores");
        assert_eq!(threads("0-7", 3), Some(3), "a quota of three processors");
        assert_eq!(threads("0-7", 1), Some(1));
        assert_eq!(threads("9", 1), None, "an impossible list is ignored");
        assert_eq!(threads_in(Path::new("/nowhere"), 1), None);
    }
}
