//! Limits on the number of processes and threads: whether one was hit.

use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::host::control_groups;

/// How often our control groups have hit their limits so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitHits(u64);

/// Reads the present count.
pub(crate) fn limit_hits() -> LimitHits {
    limit_hits_in(Path::new("/"))
}

fn limit_hits_in(root: &Path) -> LimitHits {
    let events = control_groups::folders(root, "pids").into_iter();
    let events = events.filter_map(|group| std::fs::read_to_string(group.join("pids.events")).ok());
    LimitHits(
        events
            .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse::<u64>().ok()))
            .sum(),
    )
}

/// Whether a thread could not be created because of a limit on tasks. The system reports the same error where there is no
/// memory for its stack, which only a limit on address space (`ulimit -v`) causes.
pub(crate) fn hit_task_limit(before: LimitHits) -> bool {
    let limited = getrlimit(Resource::RLIMIT_AS).is_ok_and(|(soft, _)| soft != RLIM_INFINITY);
    limit_hits() != before || !limited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_count_how_often_a_limit_was_hit() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(limit_hits_in(root.path()), LimitHits(0));
        put("proc/self/cgroup", "0::/system.slice/worker.service\n");
        put("sys/fs/cgroup/system.slice/worker.service/pids.events", "max 3\n");
        put("sys/fs/cgroup/system.slice/pids.events", "max 4\n");
        assert_eq!(limit_hits_in(root.path()), LimitHits(7));
        // Version 1, in a container: the path is the host's.
        put("proc/self/cgroup", "4:cpu,cpuacct:/docker/a\n3:pids:/docker/a\n1:name=systemd:/docker/a\n0::/\n");
        put("sys/fs/cgroup/pids/pids.events", "max 5\n");
        assert_eq!(limit_hits_in(root.path()), LimitHits(5));
    }
}
