//! Real folders, watched while they change.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::time::timeout;

use super::signal::ChangedPath;
use super::*;
use crate::fixture::Tiny;

/// Longer than the system takes to give an event on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Folders that are watched.
struct Watched {
    home: TempDir,
    config: Config,
    catalog: Catalog,
    watcher: Arc<CatalogWatcher>,
    signal: Signal,
}

impl Watched {
    /// A models folder `models` below a folder of its own, which is there from the start or not.
    async fn new(there: bool) -> Self {
        Self::with(there, |_| {}).await
    }

    async fn with(there: bool, prepare: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let models = home.path().join("deep/models");
        if there {
            fs::create_dir_all(&models).unwrap();
        }
        prepare(home.path());
        let config = Config { models_dir: vec![models], ..Config::default() };
        let catalog = Catalog::scan(&config);
        let (watcher, signal) = CatalogWatcher::open();
        let mut watched = Self { home, config, catalog, watcher, signal };
        watched.scan().await;
        watched
    }

    /// A path in the models folder.
    fn path(&self, below: &str) -> PathBuf {
        self.config.models_dir[0].join(below)
    }

    fn put(&self, below: &str) {
        Tiny::llama().write(&self.path(below));
    }

    /// Looks until there is nothing new to be watched; gives the names of the models.
    async fn scan(&mut self) -> Vec<String> {
        loop {
            self.catalog = self.watcher.rescan(&self.catalog, &self.config, &[]).0;
            if !self.watcher.has_changed() {
                break;
            }
            self.changed().await;
        }
        assert!(self.watcher.is_complete());
        self.catalog.models().iter().map(|model| model.name.clone()).collect()
    }

    async fn changed(&mut self) -> ChangedPath {
        timeout(DEADLINE, self.signal.next_change()).await.expect("a change was not reported")
    }

    /// The next reported change, and what a scan finds then.
    async fn change_and_models(&mut self) -> (ChangedPath, Vec<String>) {
        let place = self.changed().await;
        (place, self.scan().await)
    }

    /// All changes that are reported before a last one that this makes.
    async fn all_changes(&mut self) -> Vec<PathBuf> {
        let last = self.path("last.gguf");
        fs::write(self.home.path().join("last"), "").unwrap();
        fs::rename(self.home.path().join("last"), &last).unwrap();
        let mut change_and_models = Vec::new();
        loop {
            match self.changed().await {
                ChangedPath::At(path) if path == last => return change_and_models,
                ChangedPath::At(path) => change_and_models.push(path),
                ChangedPath::Unknown => {}
            }
        }
    }
}

#[tokio::test]
async fn a_file_is_noticed_when_it_is_whole_changed_and_gone() {
    let mut watched = Watched::new(true).await;
    let path = watched.path("a-q4_0.gguf");
    let bytes = Tiny::llama().bytes();
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(&bytes[..100]).unwrap();
    assert!(watched.all_changes().await.is_empty(), "it is still being written");
    file.write_all(&bytes[100..]).unwrap();
    drop(file);
    assert_eq!(watched.change_and_models().await, (ChangedPath::At(path.clone()), vec!["a-q4_0".into()]));
    fs::File::options().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    assert_eq!(watched.changed().await, ChangedPath::At(path.clone()));
    assert_eq!(watched.scan().await, ["a-q4_0"]);
    fs::remove_file(&path).unwrap();
    assert_eq!(watched.change_and_models().await, (ChangedPath::At(path), vec![]));
}

#[tokio::test]
async fn what_downloaders_leave_beside_a_file_is_not_noticed() {
    let mut watched = Watched::new(true).await;
    watched.put(".cache/x.gguf");
    watched.put("a.gguf.part");
    fs::write(watched.path("README.md"), "about it").unwrap();
    fs::remove_file(watched.path("README.md")).unwrap();
    // Beside the models folder, not in it.
    fs::write(watched.home.path().join("deep/other.gguf"), "").unwrap();
    assert_eq!(watched.all_changes().await, Vec::<PathBuf>::new());
    fs::rename(watched.path("a.gguf.part"), watched.path("a.gguf")).unwrap();
    assert_eq!(watched.change_and_models().await.1, ["a"]);
}

#[tokio::test]
async fn folders_and_links_to_them_are_watched_from_when_they_come() {
    let mut watched = Watched::new(true).await;
    fs::create_dir_all(watched.path("one/two")).unwrap();
    assert!(watched.change_and_models().await.1.is_empty());
    watched.put("one/two/b.gguf");
    assert_eq!(watched.change_and_models().await.1, ["b"]);
    let far = watched.home.path().join("far");
    symlink(&far, watched.path("link")).unwrap();
    // The folder that it leads to is not there yet.
    assert_eq!(watched.change_and_models().await.1, ["b"]);
    Tiny::llama().write(&far.join("c.gguf"));
    assert_eq!(watched.change_and_models().await.1, ["b", "c"]);
    Tiny::llama().write(&far.join("d.gguf"));
    assert_eq!(watched.change_and_models().await.1, ["b", "c", "d"]);
    fs::remove_file(watched.path("link")).unwrap();
    assert_eq!(watched.change_and_models().await.1, ["b"]);
    assert_eq!(
        watched.watcher.folders().values().filter(|watched_folder| watched_folder.whole).count(),
        3,
        "far is not watched any more"
    );
}

#[tokio::test]
async fn a_models_folder_may_come_later_go_and_come_back() {
    let mut watched = Watched::new(false).await;
    fs::create_dir(watched.home.path().join("deep")).unwrap();
    assert!(watched.change_and_models().await.1.is_empty());
    watched.put("a.gguf");
    assert_eq!(watched.change_and_models().await.1, ["a"]);
    let away = watched.home.path().join("away");
    fs::rename(watched.path(""), &away).unwrap();
    assert!(watched.change_and_models().await.1.is_empty());
    fs::rename(&away, watched.path("")).unwrap();
    assert_eq!(watched.change_and_models().await.1, ["a"]);
    watched.put("b.gguf");
    assert_eq!(watched.change_and_models().await.1, ["a", "b"]);
    fs::remove_dir_all(watched.home.path().join("deep")).unwrap();
    while !watched.scan().await.is_empty() {
        watched.changed().await;
    }
    watched.put("c.gguf");
    while watched.scan().await != ["c"] {
        watched.changed().await;
    }
}

#[tokio::test]
async fn the_file_that_a_link_leads_to_is_noticed_too() {
    let target = |home: &Path| home.join("blobs/sha256");
    let mut watched = Watched::with(true, |home| {
        Tiny::llama().write(&target(home));
        symlink(target(home), home.join("deep/models/a.gguf")).unwrap();
    })
    .await;
    let path = target(watched.home.path());
    Tiny::llama().u32("more", 1).write(&path);
    assert_eq!(watched.changed().await, ChangedPath::At(path.clone()));
    watched.scan().await;
    fs::remove_file(&path).unwrap();
    assert_eq!(watched.change_and_models().await, (ChangedPath::At(path), vec![]));
}

#[tokio::test]
async fn a_file_that_may_be_read_now_is_noticed() {
    let mut watched = Watched::new(true).await;
    watched.put("a.gguf");
    watched.change_and_models().await;
    fs::set_permissions(watched.path("a.gguf"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(watched.changed().await, ChangedPath::At(watched.path("a.gguf")));
}

#[tokio::test]
async fn many_changes_at_once_are_reported_once() {
    let mut watched = Watched::new(true).await;
    for number in 0..100 {
        watched.put(&format!("m{number:02}.gguf"));
    }
    timeout(DEADLINE, watched.signal.changed()).await.unwrap();
    assert_eq!(watched.scan().await.len(), 100);
    assert!(!watched.watcher.has_changed());
    watched.put("late.gguf");
    assert_eq!(
        watched.change_and_models().await.0,
        ChangedPath::At(watched.path("late.gguf")),
        "all changes before were reported already"
    );
}

#[tokio::test]
async fn a_full_table_of_the_system_is_known_and_ends() {
    let mut watched = Watched::new(true).await;
    let full = io::Error::from_raw_os_error(nix::errno::Errno::ENOSPC as i32);
    let gap = {
        let watcher = &mut *watched.watcher.watcher.as_ref().unwrap().lock().unwrap();
        let mut watch = Watch { watcher, folders: HashMap::new(), gap: None };
        watch.fault(&watched.path("one-more"), &full);
        watch.gap
    };
    assert_eq!(gap, Some(WatchGap::LimitReached { watched: 0 }));
    watched.watcher.set_gap(gap);
    assert!(!watched.watcher.is_complete());
    watched.put("a.gguf");
    assert_eq!(watched.change_and_models().await.1, ["a"], "the next scan has room again");
}

/// One action in the models folder.
#[derive(Debug, Clone)]
enum Action {
    Put(usize),
    Remove(usize),
    Move(usize, usize),
    Folder(usize),
    Link(usize, usize),
    Clear(usize),
}

/// Few, so that actions affect each other. Folders are those without an ending.
const PATHS: [&str; 9] = ["a.gguf", "b.gguf", "f", "f/a.gguf", "f/g", "f/g/c.gguf", "h", "h/a.gguf", ".hidden"];

fn actions() -> impl Strategy<Value = Action> {
    let path = || 0..PATHS.len();
    prop_oneof![
        3 => path().prop_map(Action::Put),
        1 => path().prop_map(Action::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Action::Move(from, to)),
        1 => path().prop_map(Action::Folder),
        1 => (path(), path()).prop_map(|(from, to)| Action::Link(from, to)),
        1 => path().prop_map(Action::Clear),
    ]
}

fn perform(models: &Path, action: &Action) {
    let path = |number: &usize| models.join(PATHS[*number]);
    // Most that is impossible is refused by the system, which is as good as not having been tried.
    let _ = match action {
        Action::Put(at) => fs::write(path(at), Tiny::llama().bytes()),
        Action::Remove(at) => fs::remove_file(path(at)),
        Action::Move(from, to) => fs::rename(path(from), path(to)),
        Action::Folder(at) => fs::create_dir(path(at)),
        Action::Link(from, to) => symlink(path(to), path(from)),
        Action::Clear(at) => fs::remove_dir_all(path(at)),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_scan_would_find_is_reported(rounds in prop::collection::vec(prop::collection::vec(actions(), 1..6), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut watched = Watched::new(true).await;
            for actions in &rounds {
                for action in actions {
                    perform(&watched.path(""), action);
                }
                let unseen = watched.catalog.rescan(&watched.config, &[]).1;
                let change_and_models = watched.all_changes().await;
                assert!(unseen.is_empty() || !change_and_models.is_empty(), "not reported: {unseen:?}, after {actions:?}");
                fs::remove_file(watched.path("last.gguf")).unwrap();
                watched.changed().await;
                watched.scan().await;
            }
        });
    }
}
