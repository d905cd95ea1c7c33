//! Keys that are good, bad, new, removed, and temporarily unknown.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::keys::{KeyFile, KeyTerms, Keys, NewKeys};

const LONG: Duration = Duration::from_mins(5);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn plain() -> Verifier {
    Verifier::new(KeyStore::open(Keys::plain("w", "a").unwrap()).unwrap(), LONG)
}

/// Writes a settled key file of an earlier version with these worker keys; each API key is `api`.
fn write(path: &Path, workers: &[(&str, bool)]) {
    let api = keys::cheap_hash("api").unwrap();
    let mut text = String::new();
    for (number, (worker, hinted)) in workers.iter().enumerate() {
        let hash = keys::cheap_hash(worker).unwrap();
        text += &format!(
            "[[pair]]\nname = \"{number}\"\ncreated = \"2026-01-01T00:00:00Z\"\nworker = \"{hash}\"\napi = \"{api}\"\n"
        );
        if *hinted {
            text += &format!("worker_hint = \"{}\"\n", hint(worker));
        }
    }
    std::fs::write(path, text).unwrap();
    std::fs::File::open(path).unwrap().set_modified(SystemTime::now() - LONG).unwrap();
}

fn hint(key: &str) -> String {
    keys::hint(&keys::digest(key))
}

fn of_worker(key: &str) -> (KeyKind, KeyDigest) {
    (KeyKind::Worker, keys::digest(key))
}

async fn worker(verifier: &Verifier, key: &str) -> Result<bool, CheckUnavailable> {
    verifier.check(KeyKind::Worker, key, HERE).await.map(|found| found.is_some())
}

#[tokio::test]
async fn a_key_is_good_for_its_own_kind_only() {
    let verifier = plain();
    assert_eq!(worker(&verifier, "w").await, Ok(true));
    assert!(verifier.check(KeyKind::Api, "a", HERE).await.unwrap().is_some());
    for (kind, key) in [(KeyKind::Worker, "a"), (KeyKind::Api, "w"), (KeyKind::Api, ""), (KeyKind::Worker, "x")] {
        assert_eq!(verifier.check(kind, key, HERE).await, Ok(None));
        assert_eq!(verifier.check(kind, key, HERE).await, Ok(None), "and again from the cache");
    }
    assert_eq!(worker(&verifier, &"w".repeat(MAX_KEY_LENGTH + 1)).await, Ok(false));
}

#[tokio::test]
async fn a_pair_added_while_running_is_good_at_once_even_after_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", false)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), LONG);
    assert_eq!((worker(&verifier, "new").await, worker(&verifier, "w").await), (Ok(false), Ok(true)));
    write(&path, &[("w", false), ("new", true)]);
    let state = verifier.refresh().await;
    assert_eq!((verifier.keys.count(KeyKind::Worker), state.look_again), (2, None));
    assert_eq!(verifier.refresh().await, state, "once");
    assert_eq!(worker(&verifier, "new").await, Ok(true));
}

#[tokio::test]
async fn while_the_file_cannot_be_read_good_keys_stay_good_and_other_keys_are_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true), ("other", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), Duration::ZERO);
    std::fs::rename(&path, folder.path().join("away")).unwrap();
    assert_eq!(verifier.refresh().await.look_again, Some(keys::SETTLED));
    assert_eq!(worker(&verifier, "w").await, Ok(true), "checked again, against the keys that were read last");
    for _ in 0..2 {
        assert_eq!(worker(&verifier, "x").await, Err(CheckUnavailable::Unreadable), "it may be a new key");
    }
    std::fs::rename(folder.path().join("away"), &path).unwrap();
    assert_eq!(worker(&verifier, "x").await, Ok(false));
}

#[tokio::test]
async fn a_removed_key_is_bad_from_the_next_refresh_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true), ("gone", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), LONG);
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "gone").await), (Ok(true), Ok(true)));
    let kept = verifier.check(KeyKind::Worker, "w", HERE).await.unwrap().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (first, _) = text.split_once("[[pair]]\nname = \"1\"").unwrap();
    std::fs::write(&path, first).unwrap();
    std::fs::File::open(&path).unwrap().set_modified(SystemTime::now() - LONG).unwrap();
    let gone = verifier.check(KeyKind::Worker, "gone", HERE).await.unwrap().unwrap();
    verifier.refresh().await;
    let good = KeyStatus::Good { until: None };
    assert_eq!((verifier.status(&kept), verifier.status(&gone)), (good, KeyStatus::Revoked));
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "gone").await), (Ok(true), Ok(false)));
}

#[tokio::test]
async fn a_key_that_is_removed_while_it_is_checked_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true), ("gone", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), LONG);
    let all_permits = verifier.hashing.acquire_many(PARALLEL_CHECKS as u32).await.unwrap();
    let mut check = std::pin::pin!(worker(&verifier, "gone"));
    let waits = async {
        while verifier.waiting.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = &mut check => panic!("there is no permit, yet {done:?}"),
        () = waits => {}
    }
    write(&path, &[("w", true)]);
    verifier.refresh().await;
    drop(all_permits);
    assert_eq!((check.await, worker(&verifier, "gone").await), (Ok(false), Ok(false)));
    assert_eq!(worker(&verifier, "w").await, Ok(true));
}

#[tokio::test]
async fn a_cached_key_is_bad_as_soon_as_its_removal_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true), ("gone", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), LONG);
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "gone").await), (Ok(true), Ok(true)));
    let text = std::fs::read_to_string(&path).unwrap();
    let (first, _) = text.split_once("[[pair]]\nname = \"1\"").unwrap();
    std::fs::write(&path, first).unwrap();
    std::fs::File::open(&path).unwrap().set_modified(SystemTime::now() - LONG).unwrap();
    assert_eq!(worker(&verifier, "other").await, Ok(false), "this check reads the file");
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "gone").await), (Ok(true), Ok(false)));
}

#[tokio::test]
async fn a_good_verdict_is_renewed_by_use_and_a_bad_one_is_not() {
    let verifier = plain();
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "x").await), (Ok(true), Ok(false)));
    let until = |key: &str| verifier.verdicts.lock().unwrap()[&of_worker(key)].1;
    let (good, bad) = (until("w"), until("x"));
    assert_eq!((worker(&verifier, "w").await, worker(&verifier, "x").await), (Ok(true), Ok(false)));
    assert!(until("w") > good && until("x") == bad);
}

#[tokio::test]
async fn the_hint_rejects_wrong_keys_without_a_check_slot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path)).unwrap(), LONG);
    let _all_permits = verifier.hashing.acquire_many(PARALLEL_CHECKS as u32).await.unwrap();
    let wrong = (0..).map(|number| format!("x{number}")).filter(|key| hint(key) != hint("w"));
    for key in wrong.take(3 * MAX_CHECKS) {
        let verdict = tokio::time::timeout(Duration::from_secs(30), worker(&verifier, &key)).await;
        assert_eq!(verdict, Ok(Ok(false)), "it waits for no permit");
    }
}

#[tokio::test]
async fn one_address_gets_a_bounded_number_of_check_slots() {
    let verifier = plain();
    let mine: Vec<_> = (0..MAX_CHECKS_PER_ADDRESS).map(|_| verifier.check_slot(HERE).map_err(drop).unwrap()).collect();
    assert!(matches!(verifier.check_slot(HERE), Err(CheckUnavailable::Busy(MAX_CHECKS_PER_ADDRESS))));
    let mut others = Vec::new();
    for number in 0.. {
        match verifier.check_slot(IpAddr::from([10, 0, 0, number])) {
            Ok(place) => others.push(place),
            Err(busy) => {
                assert_eq!(busy, CheckUnavailable::Busy(MAX_CHECKS));
                break;
            }
        }
    }
    drop((mine, others));
    assert!(verifier.waiting.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_flood_of_wrong_keys_is_bounded_and_evicts_no_good_one() {
    let verifier = plain();
    assert_eq!(worker(&verifier, "w").await, Ok(true));
    for number in 0..MAX_VERDICTS as u64 + 10 {
        let mut wrong = [0; 32];
        wrong[..8].copy_from_slice(&number.to_le_bytes());
        verifier.remember((KeyKind::Worker, wrong), CachedVerdict::Bad(0));
    }
    assert!(verifier.verdicts.lock().unwrap().len() <= MAX_VERDICTS);
    assert!(matches!(verifier.remembered(KeyKind::Worker, &keys::digest("w")), Some(Some(_))));
}

#[tokio::test]
async fn a_bad_verdict_expires_with_its_time_and_with_its_key_file_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.toml");
    write(&path, &[("w", true)]);
    let verifier = Verifier::new(KeyStore::open(Keys::file(path.clone())).unwrap(), LONG);
    assert_eq!(worker(&verifier, "new").await, Ok(false));
    write(&path, &[("w", true), ("new", true)]);
    // A check of another key finds the change before the periodic refresh does.
    assert_eq!(worker(&verifier, "other").await, Ok(false));
    assert_eq!(worker(&verifier, "new").await, Ok(true));

    let forgets = Verifier::new(KeyStore::open(Keys::plain("w", "a").unwrap()).unwrap(), Duration::ZERO);
    for key in ["w", "x"] {
        assert_eq!(worker(&forgets, key).await, Ok(key == "w"));
        assert_eq!(forgets.remembered(KeyKind::Worker, &keys::digest(key)), None, "{key}");
    }
}

#[tokio::test]
async fn a_generated_key_needs_no_slow_check_and_is_good_until_it_is_revoked_or_expires() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    let first = file.create("first", &NewKeys::Worker, None).unwrap().worker.unwrap();
    let verifier = Verifier::new(KeyStore::open(Keys::file(file.path().to_owned())).unwrap(), LONG);
    let _all_permits = verifier.hashing.acquire_many(PARALLEL_CHECKS as u32).await.unwrap();
    assert_eq!(worker(&verifier, &first).await, Ok(true));
    assert_eq!(verifier.check(KeyKind::Api, &first, HERE).await, Ok(None), "it is a worker's");
    assert!(verifier.verdicts.lock().unwrap().is_empty(), "there is nothing to remember");
    let long_ago = Timestamp::from_second(1).unwrap();
    let over = file.create("over", &NewKeys::Worker, Some(long_ago)).unwrap().worker.unwrap();
    assert_eq!(worker(&verifier, &over).await, Ok(false), "its time is over");
    assert_eq!(verifier.status(&file.list().unwrap()[1]), KeyStatus::Expired);
    let new = file.create("new", &NewKeys::Api(KeyTerms::workers_only()), None).unwrap().api.unwrap();
    let found = verifier.check(KeyKind::Api, &new, HERE).await.unwrap().unwrap();
    assert_eq!((&*found.name, found.terms()), ("new", &KeyTerms::workers_only()));
    file.revoke("first").unwrap();
    verifier.refresh().await;
    assert_eq!(worker(&verifier, &first).await, Ok(false));
}

#[tokio::test]
async fn the_newest_keys_are_those_of_the_file_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    (0..4).for_each(|number| _ = file.create(&format!("k{number}"), &NewKeys::Worker, None).unwrap());
    let keys = Keys::file(file.path().to_owned()).with_hashes(Some(&keys::cheap_hash("w").unwrap()), None);
    let verifier = Verifier::new(KeyStore::open(keys).unwrap(), LONG);
    let newest = async |most| {
        let (keys, others) = verifier.newest(most).await;
        (keys.iter().map(|key| key.name.to_string()).collect::<Vec<_>>().join(" "), others)
    };
    assert_eq!(newest(3).await, ("k1 k2 k3".to_owned(), 1), "without that of the environment");
    file.revoke("k3").unwrap();
    file.create("k4", &NewKeys::Worker, None).unwrap();
    assert_eq!(newest(3).await, ("k1 k2 k4".to_owned(), 1), "a change is seen at once");
    assert_eq!(worker(&verifier, "w").await, Ok(true));
    let hash = file.list().unwrap()[0].hash.to_string();
    let keys = Keys::file(file.path().to_owned()).with_hashes(Some(&hash), None);
    let (keys, others) = KeyStore::open(keys).unwrap().newest(9);
    assert_eq!((&*keys[0].name, keys.len(), others), ("k0", 4, 0), "one that the environment has too");
}

#[tokio::test]
async fn a_change_that_leaves_length_and_time_as_they_were_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::of_router(folder.path().join("keys"));
    file.create("one", &NewKeys::Worker, None).unwrap();
    let settled = SystemTime::now() - LONG;
    let touch = || std::fs::File::open(file.path()).unwrap().set_modified(settled).unwrap();
    touch();
    let verifier = Verifier::new(KeyStore::open(Keys::file(file.path().to_owned())).unwrap(), LONG);
    let text = std::fs::read_to_string(file.path()).unwrap();
    std::fs::write(file.path(), text.replace("\"one\"", "\"two\"")).unwrap();
    touch();
    assert_eq!(&*verifier.newest(1).await.0[0].name, "two");
}
