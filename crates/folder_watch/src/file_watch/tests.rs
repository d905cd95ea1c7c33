//! A real file, watched while it changes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use tokio::time::timeout;

use super::*;

/// Longer than the system takes to report an event on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

struct Watched {
    home: tempfile::TempDir,
    watch: FileWatch,
}

impl Watched {
    /// Watches the file `file` in a new folder, which `prepare` fills.
    async fn new(prepare: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path());
        let mut watched = Self { home, watch: FileWatch::open("a file of the test") };
        watched.follow().await;
        watched
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    async fn follow(&mut self) {
        let file = self.path("file");
        self.watch.follow(Some(&file)).await;
    }

    /// The number of events so far that matter.
    async fn count_events(&mut self) -> usize {
        let last = self.home.path().join("last");
        File::create(&last).unwrap();
        fs::remove_file(&last).unwrap();
        let mut count_events = 0;
        loop {
            let next = self.watch.watcher.as_mut().unwrap().1.next();
            let event = timeout(DEADLINE, next).await.expect("no event").unwrap();
            if let Event::Entry(_, entry) = &event
                && (entry.change, Some(&*entry.name)) == (Change::Removed, last.file_name())
            {
                return count_events;
            }
            count_events += usize::from(self.watch.matters(&event).await);
        }
    }
}

fn plain(folder: &Path) {
    fs::write(folder.join("file"), "old").unwrap();
}

#[tokio::test]
async fn a_written_replaced_removed_or_readable_file_is_reported() {
    let mut watched = Watched::new(plain).await;
    let path = watched.path("file");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"ne").unwrap();
    assert_eq!(watched.count_events().await, 0, "it is still being written");
    file.write_all(b"w").unwrap();
    drop(file);
    assert_eq!(watched.count_events().await, 1);
    fs::write(watched.path("draft"), "newer").unwrap();
    assert_eq!(watched.count_events().await, 0, "another file");
    fs::rename(watched.path("draft"), &path).unwrap();
    assert_eq!(watched.count_events().await, 1);
    fs::remove_file(&path).unwrap();
    assert_eq!(watched.count_events().await, 1);
    let file = File::create(&path).unwrap();
    assert_eq!(watched.count_events().await, 0, "it is still being written");
    drop(file);
    assert_eq!(watched.count_events().await, 1);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(watched.count_events().await, 1);
    fs::hard_link(&path, watched.path("other")).unwrap();
    fs::remove_file(&path).unwrap();
    watched.count_events().await;
    fs::hard_link(watched.path("other"), &path).unwrap();
    assert!(watched.count_events().await > 0, "it is complete");
}

#[tokio::test]
async fn a_changed_link_to_the_file_is_reported() {
    let mut watched = Watched::new(|home| {
        fs::create_dir_all(home.join("v1")).unwrap();
        fs::create_dir_all(home.join("v2")).unwrap();
        plain(&home.join("v1"));
        plain(&home.join("v2"));
        symlink("v1", home.join("data")).unwrap();
        symlink("data/file", home.join("file")).unwrap();
    })
    .await;
    symlink("v2", watched.path("draft")).unwrap();
    fs::rename(watched.path("draft"), watched.path("data")).unwrap();
    assert_eq!(watched.count_events().await, 1);
    watched.follow().await;
    assert_eq!(watched.watch.folders.len(), 2, "v1 is not watched any more");
    fs::write(watched.path("v1/file"), "unrelated").unwrap();
    assert_eq!(watched.count_events().await, 0);
    fs::write(watched.path("v2/file"), "new").unwrap();
    // Events of two folders arrive in order.
    assert_eq!(watched.count_events().await, 1);
}

#[tokio::test]
async fn a_removed_folder_is_reported_and_watched_again_when_it_exists() {
    let mut watched = Watched::new(|home| {
        fs::create_dir_all(home.join("folder")).unwrap();
        plain(&home.join("folder"));
        symlink("folder/file", home.join("file")).unwrap();
    })
    .await;
    fs::remove_dir_all(watched.path("folder")).unwrap();
    assert!(watched.count_events().await > 0);
    watched.follow().await;
    fs::create_dir_all(watched.path("folder")).unwrap();
    assert_eq!(watched.count_events().await, 1);
    watched.follow().await;
    plain(&watched.path("folder"));
    assert_eq!(watched.count_events().await, 1);
}

#[tokio::test]
async fn many_changes_at_once_are_reported_as_one() {
    let mut watched = Watched::new(plain).await;
    for _ in 0..50 {
        plain(watched.home.path());
    }
    timeout(DEADLINE, watched.watch.changed()).await.unwrap();
    assert_eq!(watched.count_events().await, 0, "everything was reported");
}
