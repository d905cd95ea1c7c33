//! The control groups around this worker, of version 1 and 2, as Linux shows them in files.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// The folders of our control group and of all its parents that have this controller.
///
/// In a container the path that the kernel reports can be that of the host, which does not exist there; then the mounted
/// root is our group.
pub(crate) fn folders(root: &Path, controller: &str) -> Vec<PathBuf> {
    let list = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mounted = root.join("sys/fs/cgroup");
    let mut found = Vec::new();
    for line in list.lines() {
        // `0::/a/b` is version 2, `4:cpu,cpuacct:/a/b` version 1.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let base = match controllers {
            "" => mounted.clone(),
            _ if controllers.split(',').any(|one| one == controller) => mounted.join(controllers),
            _ => continue,
        };
        // Two controllers in one folder have a link each.
        let base = if base.is_dir() { base } else { mounted.join(controller) };
        let own = Path::new(path.trim_start_matches('/'));
        found.extend(own.ancestors().map(|group| base.join(group)).filter(|group| group.is_dir()));
    }
    found
}
