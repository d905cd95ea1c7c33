//! The directory is private, short, cleaned up, and removed with its worker.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[test]
fn it_is_private_and_removed_with_its_owner() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    let dir = RuntimeDir::create(&base, "1").unwrap();
    assert_eq!((mode(&base), mode(&dir.path), mode(&dir.config_home())), (0o700, 0o700, 0o700));
    let path = dir.path.clone();
    drop(dir);
    assert!(!path.exists());
}

#[test]
fn a_base_that_others_can_enter_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    std::fs::create_dir(&base).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755)).unwrap();
    let fault = RuntimeDir::create(&base, "1").unwrap_err();
    assert!(fault.to_string().contains("mode is 755"), "{fault}");
}

#[test]
fn a_path_too_long_for_sockets_is_an_error_before_an_engine_fails_on_it() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("x".repeat(90));
    let fault = RuntimeDir::create(&base, "1").unwrap_err();
    assert!(matches!(fault, RuntimeDirError::TooLong { .. }), "{fault}");
}

#[test]
fn the_cleanup_kills_only_processes_of_dead_workers() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    let running = RuntimeDir::create(&base, "running").unwrap();

    // A worker that was killed: its directory stays, its lock is free.
    let dead = base.join("w-dead");
    std::fs::create_dir(&dead).unwrap();
    let sleeper = || Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
    let (mut orphan, mut other, mut sibling) = (sleeper(), sleeper(), sleeper());
    Record::of(orphan.id()).unwrap().write(&dead.join("1-1.json")).unwrap();
    std::fs::write(dead.join("1-2.json"), format!(r#"{{"pid":{},"start_time":1}}"#, other.id())).unwrap();
    Record::of(sibling.id()).unwrap().write(&running.file(1, 1, "json")).unwrap();
    // A process that was a script when it was recorded, one without a record, and one of the running worker.
    let marked = |mark: String| {
        let child = Command::new("sleep").arg("60").env(descendants::MARK, &mark).spawn().unwrap();
        while !descendants::has_mark(child.id(), |value| value == mark) {
            // Its environment can be read a moment after its start.
            std::thread::yield_now();
        }
        child
    };
    let mut unrecorded = marked(format!("{}/1-3", dead.canonicalize().unwrap().display()));
    let mut of_running = marked(running.mark(1, 2));

    let new_dir = RuntimeDir::create(&base, "new").unwrap();
    assert!(!orphan.wait().unwrap().success() && !unrecorded.wait().unwrap().success());
    assert!(of_running.try_wait().unwrap().is_none());
    assert!(other.try_wait().unwrap().is_none());
    assert!(sibling.try_wait().unwrap().is_none());
    assert!(!dead.exists());
    assert!(running.path.exists() && new_dir.path.exists());
    for child in [&mut other, &mut sibling, &mut of_running] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_record_whose_pid_was_reused_ends_no_process() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    drop(RuntimeDir::create(&base, "first").unwrap());
    let dead = base.join("w-dead");
    std::fs::create_dir(&dead).unwrap();
    let mut others = vec![];
    let own = std::env::current_exe().unwrap();
    for forge in [
        // The number was used again: the same program, started at another time.
        |record: &mut Value, _: &Path| record["start_time"] = (record["start_time"].as_u64().unwrap() - 1).into(),
        // The host was started again since.
        |record: &mut Value, _: &Path| record["boot_id"] = "00000000-0000-0000-0000-000000000000".into(),
        // Another program.
        |record: &mut Value, own: &Path| record["exe"] = own.to_str().unwrap().into(),
        // No process that can be signalled.
        |record: &mut Value, _: &Path| record["pid"] = 0.into(),
    ] {
        let other = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let path = dead.join(format!("1-{}.json", others.len()));
        Record::of(other.id()).unwrap().write(&path).unwrap();
        let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        forge(&mut record, &own);
        std::fs::write(&path, record.to_string()).unwrap();
        others.push(other);
    }
    drop(RuntimeDir::create(&base, "second").unwrap());
    assert!(!dead.exists(), "the cleanup has run");
    for mut other in others {
        assert!(other.try_wait().unwrap().is_none(), "another process was killed");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

#[test]
fn two_workers_never_share_a_directory() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    let _first = RuntimeDir::create(&base, "same").unwrap();
    assert!(RuntimeDir::create(&base, "same").is_err());
}

#[test]
fn a_worker_whose_files_were_removed_still_counts_as_running() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    let running = RuntimeDir::create(&base, "running").unwrap();
    let mut engine = Command::new("sleep").arg("60").spawn().unwrap();
    Record::of(engine.id()).unwrap().write(&running.file(1, 1, "json")).unwrap();
    // A cleaner of old files can remove everything else.
    for entry in std::fs::read_dir(&running.path).unwrap().chain(std::fs::read_dir(&base).unwrap()).flatten() {
        if entry.path().extension().is_none_or(|extension| extension != "json") && entry.path() != running.path {
            let _is_a_folder = std::fs::remove_file(entry.path()).or_else(|_| std::fs::remove_dir(entry.path()));
        }
    }
    let _second = RuntimeDir::create(&base, "second").unwrap();
    assert!(engine.try_wait().unwrap().is_none() && running.path.exists());
    running.ensure().unwrap();
    assert!(running.config_home().is_dir() && running.working_dir().is_dir());
    engine.kill().unwrap();
    engine.wait().unwrap();
}

#[test]
fn a_removed_directory_is_made_again_and_locked_again() {
    let tmp = tempfile::tempdir().unwrap();
    // As with $RUNTIME_DIRECTORY, of which ours is only a part.
    let above = tmp.path().join("above");
    std::fs::create_dir(&above).unwrap();
    let base = above.join("base");
    let running = RuntimeDir::create(&base, "running").unwrap();
    for gone in [&running.path, &base, &above] {
        std::fs::remove_dir_all(gone).unwrap();
        running.ensure().unwrap();
        assert_eq!((mode(&base), mode(&running.path), mode(&running.config_home())), (0o700, 0o700, 0o700));
        let mark = running.path.join("1-1.json");
        std::fs::write(&mark, "{}").unwrap();
        drop(RuntimeDir::create(&base, "second").unwrap());
        assert!(mark.exists(), "it is locked");
    }
    // A directory that took its place is not removed with it.
    std::fs::rename(&running.path, base.join("moved")).unwrap();
    let path = running.path.clone();
    std::fs::create_dir(&path).unwrap();
    drop(running);
    assert!(path.exists());
}

#[test]
fn a_check_of_a_running_worker_changes_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    let running = RuntimeDir::create(&base, "running").unwrap();
    let list = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = (list(&base), list(&running.path));
    drop(RuntimeDir::create(&base, "second").unwrap());
    assert_eq!((list(&base), list(&running.path)), before);
}

/// A worker that starts while another one cleans up waits for it: the kernel's list of locks shows that.
#[cfg(target_os = "linux")]
#[test]
fn a_start_waits_for_a_cleanup_in_progress() {
    let tmp = tempfile::tempdir().unwrap();
    let base = tmp.path().join("base");
    drop(RuntimeDir::create(&base, "first").unwrap());
    let gate = open_dir(&base).unwrap();
    gate.lock().unwrap();
    let inode = format!(":{} ", base.metadata().unwrap().ino());
    let place = base.clone();
    let second = std::thread::spawn(move || RuntimeDir::create(&place, "second").map(drop));
    let begun = std::time::Instant::now();
    let waits = |line: &str| line.contains("->") && line.contains("FLOCK") && line.contains(&inode);
    while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        assert!(!second.is_finished() && begun.elapsed() < std::time::Duration::from_secs(60), "it does not wait");
        std::thread::yield_now();
    }
    assert!(!base.join("w-second").exists());
    drop(gate);
    second.join().unwrap().unwrap();
}

#[test]
fn the_service_managers_directory_comes_before_the_sessions() {
    let base = |variables: &[(&str, &str)]| {
        let variables: std::collections::HashMap<_, _> = variables.iter().copied().collect();
        base_from(|name| variables.get(name).map(Into::into)).to_str().unwrap().to_owned()
    };
    let session = ("XDG_RUNTIME_DIR", "/run/user/7");
    assert_eq!(base(&[session, ("RUNTIME_DIRECTORY", "/run/auxot")]), "/run/auxot/engines");
    assert_eq!(base(&[session, ("RUNTIME_DIRECTORY", "/run/a:/run/b")]), "/run/a/engines");
    assert_eq!(base(&[session, ("RUNTIME_DIRECTORY", "")]), "/run/user/7/auxot-worker");
    assert_eq!(base(&[("XDG_RUNTIME_DIR", "relative")]), format!("/tmp/auxot-worker-{}", geteuid()));
}
