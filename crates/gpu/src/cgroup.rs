//! What the memory limits of our control groups leave to us (version 2 only).

use std::fs;
use std::path::Path;

/// The tightest limit that applies to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) total: u64,
    pub(crate) free: u64,
}

/// Looks at our group and at all groups around it, since each of them may have a limit.
///
/// In a container our group is the root of what we see. On a plain host it is a unit with perhaps
/// `MemoryMax`, inside slices that may have one too.
pub(crate) fn limit(sysfs_root: &Path, proc_root: &Path) -> Option<Limit> {
    let groups = fs::read_to_string(proc_root.join("self/cgroup")).ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = sysfs_root.join("fs/cgroup");
    let around = Path::new(own).ancestors().filter_map(|group| read(&root.join(group)));
    around.reduce(|a, b| Limit { total: a.total.min(b.total), free: a.free.min(b.free) })
}

fn read(group: &Path) -> Option<Limit> {
    let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
    // A group without a limit says `max`, which is no number.
    let total = number("memory.max")?;
    // Cached file pages count as used but are given back on demand, as the host's own figure has it; those that our
    // children map are told beside, for either figure.
    let cache: u64 = ["inactive_file ", "active_file "].iter().filter_map(|key| stat(group, key)).sum();
    let used = number("memory.current")?.saturating_sub(cache);
    Some(Limit { total, free: total.saturating_sub(used) })
}

fn stat(group: &Path, key: &str) -> Option<u64> {
    let stat = fs::read_to_string(group.join("memory.stat")).ok()?;
    stat.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let (sys, proc) = (root.path().join("sys"), root.path().join("proc"));
        assert_eq!(limit(&sys, &proc), None);
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::write(proc.join("self/cgroup"), "1:name=systemd:/x\n0::/system.slice/worker.service\n").unwrap();
        let slice = sys.join("fs/cgroup/system.slice");
        let unit = slice.join("worker.service");
        fs::create_dir_all(&unit).unwrap();
        fs::write(unit.join("memory.max"), "max\n").unwrap();
        fs::write(unit.join("memory.current"), "5\n").unwrap();
        assert_eq!(limit(&sys, &proc), None);
        fs::write(unit.join("memory.max"), "1000\n").unwrap();
        fs::write(unit.join("memory.current"), "400\n").unwrap();
        fs::write(unit.join("memory.stat"), "anon 200\ninactive_file 100\nactive_file 50\n").unwrap();
        assert_eq!(limit(&sys, &proc), Some(Limit { total: 1000, free: 750 }));
        fs::write(slice.join("memory.max"), "2000\n").unwrap();
        fs::write(slice.join("memory.current"), "1900\n").unwrap();
        assert_eq!(limit(&sys, &proc), Some(Limit { total: 1000, free: 100 }));
    }
}
