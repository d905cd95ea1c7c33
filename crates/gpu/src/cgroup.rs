//! What the limits of this program's control groups leave of memory and of tasks, of version 2 and of version 1.

use std::fs;
use std::path::{Path, PathBuf};

/// What version 1 says where there is no limit is a number of this order.
const NO_LIMIT: u64 = 1 << 62;

/// The tightest limit of this program's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes that the group may hold.
    pub total: u64,
    /// Bytes that are left of them.
    pub free: u64,
}

/// The tightest limit on processes and threads of this program's groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskLimit {
    /// Tasks that the group may have.
    pub total: u64,
    /// Tasks that it may have more than now.
    pub free: u64,
}

/// The version of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// The words of one version.
struct Words {
    limit: &'static str,
    used: &'static str,
    /// Cached file pages, in its `memory.stat`.
    cache: [&'static str; 2],
}

const SECOND: Words = Words { limit: "memory.max", used: "memory.current", cache: ["inactive_file ", "active_file "] };
const FIRST: Words = Words {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    // Of the group and those in it, as the usage is.
    cache: ["total_inactive_file ", "total_active_file "],
};

/// Reads this program's group and all groups around it, since each of them may have a limit.
///
/// In a container the own group is the root of the mounted tree. On a plain host it is a unit with perhaps `MemoryMax`,
/// inside slices that may have one too.
pub(crate) fn limit(sysfs_root: &Path, proc_root: &Path) -> Option<MemoryLimit> {
    let groups = groups(sysfs_root, proc_root, "memory").into_iter();
    let limits =
        groups.filter_map(|(version, group)| read(&group, if version == Version::Second { &SECOND } else { &FIRST }));
    limits.reduce(|a, b| MemoryLimit { total: a.total.min(b.total), free: a.free.min(b.free) })
}

/// As [`limit`], for tasks; both versions have the same words.
pub(crate) fn task_limit(sysfs_root: &Path, proc_root: &Path) -> Option<TaskLimit> {
    let limits = groups(sysfs_root, proc_root, "pids").into_iter().filter_map(|(_, group)| {
        // A group without a limit says `max`, which is no number.
        let total = number(&group, "pids.max")?;
        Some(TaskLimit { total, free: total.saturating_sub(number(&group, "pids.current")?) })
    });
    limits.reduce(|a, b| TaskLimit { total: a.total.min(b.total), free: a.free.min(b.free) })
}

/// This program's group and all groups around it that have this controller.
fn groups(sysfs_root: &Path, proc_root: &Path, controller: &str) -> Vec<(Version, PathBuf)> {
    let groups = fs::read_to_string(proc_root.join("self/cgroup")).unwrap_or_default();
    let root = sysfs_root.join("fs/cgroup");
    let mut found = Vec::new();
    for line in groups.lines() {
        // `0::/a/b` is version 2, `4:memory:/a/b` version 1.
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, own) = (parts.next().unwrap_or("none"), parts.next().unwrap_or_default());
        let (root, version) = match controllers {
            "" => (root.clone(), Version::Second),
            _ if controllers.split(',').any(|one| one == controller) => (root.join(controller), Version::First),
            _ => continue,
        };
        // In a container the path may be the host's, which does not exist there; then the root is the own group.
        let around = Path::new(own.trim_start_matches('/')).ancestors();
        found.extend(around.map(|group| (version, root.join(group))));
    }
    found
}

fn number(group: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

fn read(group: &Path, words: &Words) -> Option<MemoryLimit> {
    // A group without a limit says `max`, which is no number, or a number beyond all memory.
    let total = number(group, words.limit).filter(|total| *total < NO_LIMIT)?;
    // Cached file pages count as used but are given back on demand, as in the host's own figure; those that children
    // map are counted separately, for either figure.
    let cache: u64 = words.cache.iter().filter_map(|key| stat(group, key)).sum();
    let used = number(group, words.used)?.saturating_sub(cache);
    Some(MemoryLimit { total, free: total.saturating_sub(used) })
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
        assert_eq!(limit(&sys, &proc), Some(MemoryLimit { total: 1000, free: 750 }));
        fs::write(slice.join("memory.max"), "2000\n").unwrap();
        fs::write(slice.join("memory.current"), "1900\n").unwrap();
        assert_eq!(limit(&sys, &proc), Some(MemoryLimit { total: 1000, free: 100 }));
    }

    #[test]
    fn the_tightest_limit_on_tasks_counts() {
        let root = tempfile::tempdir().unwrap();
        let (sys, proc) = (root.path().join("sys"), root.path().join("proc"));
        let unit = sys.join("fs/cgroup/system.slice/worker.service");
        fs::create_dir_all(&unit).unwrap();
        fs::create_dir_all(proc.join("self")).unwrap();
        fs::write(proc.join("self/cgroup"), "0::/system.slice/worker.service\n").unwrap();
        fs::write(unit.join("pids.max"), "max\n").unwrap();
        fs::write(unit.join("pids.current"), "30\n").unwrap();
        assert_eq!(task_limit(&sys, &proc), None);
        fs::write(unit.join("pids.max"), "100\n").unwrap();
        assert_eq!(task_limit(&sys, &proc), Some(TaskLimit { total: 100, free: 70 }));
        fs::write(unit.parent().unwrap().join("pids.max"), "500\n").unwrap();
        fs::write(unit.parent().unwrap().join("pids.current"), "490\n").unwrap();
        assert_eq!(task_limit(&sys, &proc), Some(TaskLimit { total: 100, free: 10 }));
    }

    #[test]
    fn limits_of_version_1_count_too_also_where_the_path_is_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let (sys, proc) = (root.path().join("sys"), root.path().join("proc"));
        let put = |group: &str, limit: &str, used: &str| {
            let folder = sys.join("fs/cgroup/memory").join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.limit_in_bytes"), limit).unwrap();
            fs::write(folder.join("memory.usage_in_bytes"), used).unwrap();
            fs::write(folder.join("memory.stat"), "inactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n")
                .unwrap();
        };
        fs::create_dir_all(proc.join("self")).unwrap();
        let groups = "9:cpu,cpuacct:/a\n4:memory:/system.slice/w.service\n1:name=systemd:/a\n0::/a\n";
        fs::write(proc.join("self/cgroup"), groups).unwrap();
        put("", "9223372036854771712\n", "5000\n");
        assert_eq!(limit(&sys, &proc), None, "a number that says none");
        put("system.slice/w.service", "1000\n", "400\n");
        assert_eq!(limit(&sys, &proc), Some(MemoryLimit { total: 1000, free: 750 }));
        put("system.slice", "900\n", "900\n");
        assert_eq!(limit(&sys, &proc), Some(MemoryLimit { total: 900, free: 150 }));
        // In a container.
        fs::write(proc.join("self/cgroup"), "4:memory:/docker/abc\n").unwrap();
        put("", "700\n", "200\n");
        assert_eq!(limit(&sys, &proc), Some(MemoryLimit { total: 700, free: 650 }));
    }
}
