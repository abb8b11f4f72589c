//! A backup taken beside a serving process, put back elsewhere, serves what was served; a damaged one is refused.

use super::audit;
use super::miners::{Failed, Miner};
use super::service::{Arena, Process};
use crate::support::Package;
use object_store::local::LocalFileSystem;
use protocol::SubmissionId;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use transparency::verify::Reader;
use transparency::{LogStore, Resource, SignedCheckpoint, VerifyError, verify_log};
use validator::Home;
use validator::backup::{Backup, BackupError, Options, backup, restore};

const PATIENCE: Duration = Duration::from_secs(60);
const BOARD: &str = "/api/v1/competitions/digits/leaderboard";

/// A serving validator with a few scored submissions and a paid round.
async fn in_use() -> (Arena, Miner, Process, String) {
    let arena = Arena::new("");
    arena.add("digits", |toml| {
        let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
        toml.replace("[limits]", "rounds.seconds = 2\nrounds.items = 20\nrounds.challengers_max = 1\n\n[limits]")
    });
    let (process, base) = arena.serve().await;
    let mut miner = Miner::new(1, &arena);
    let began = Instant::now();
    for seed in 1..=5 {
        miner.begin("digits", Package::random(&[8], seed));
        while let Err(failed) = miner.go_on(&base).await {
            assert!(matches!(failed, Failed::Refused { status: 404, .. }), "{failed:?}");
            assert!(began.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    arena.until_done(&miner, &base).await;
    loop {
        let round = miner.get(&base, "/api/v1/competitions/digits/rounds/1").await;
        if round.is_ok_and(|round| String::from_utf8_lossy(&round).contains("\"step\":\"revealed\"")) {
            return (arena, miner, process, base);
        }
        assert!(began.elapsed() < PATIENCE, "the first round never ends: {}", process.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn take(arena: &Arena, to: &Path, options: Options) -> Result<Backup, BackupError> {
    let config = arena.home.load([]).unwrap();
    backup(&arena.home, &config, to, options).await
}

async fn receipts(miner: &Miner, base: &str) -> Vec<bytes::Bytes> {
    let ids: Vec<&SubmissionId> = miner.entries.iter().filter_map(|entry| entry.id.as_ref()).collect();
    let mut receipts = Vec::new();
    for id in ids {
        receipts.push(miner.get(base, &format!("/api/v1/submissions/{id}/receipt")).await.unwrap());
    }
    receipts
}

#[tokio::test]
async fn a_backup_taken_while_serving_serves_the_same_board_log_and_receipts_elsewhere() {
    let (arena, miner, process, base) = in_use().await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let taken = take(&arena, &to, Options { keys: true, objects_listed: false }).await.unwrap();
    let again = take(&arena, &to, Options::default()).await.unwrap_err();
    assert!(matches!(again, BackupError::Exists { .. }), "{again}");
    let (board, expected) = (miner.get(&base, BOARD).await.unwrap(), receipts(&miner, &base).await);
    // Rounds go on after the backup; the board of submissions doesn't change with them.
    assert!(process.stop().await.success());
    for file in walk(&to) {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is readable by others", file.display());
    }

    let elsewhere = Arena::empty_at(&place.path().join("elsewhere"));
    assert_eq!(restore(&to, &elsewhere.home).await.unwrap(), taken);
    let seen = audit::log_goes_on(&elsewhere, None).await.unwrap();
    assert_eq!(seen.size(), taken.log_size);
    let (process, base) = elsewhere.serve().await;
    assert_eq!(rows(&miner.get(&base, BOARD).await.unwrap()), rows(&board));
    assert_eq!(receipts(&miner, &base).await, expected);
    elsewhere.until_done(&miner, &base).await;
    assert!(process.stop().await.success());
    // It goes on from there: the log grows, the ledger fits the rounds, nothing is missing.
    audit::log_goes_on(&elsewhere, Some(seen)).await;
    elsewhere.sweep().await;
    audit::at_rest(&elsewhere, std::slice::from_ref(&miner)).await;
}

/// A validator's public log over HTTP.
struct HttpLog<'a>(&'a Miner, &'a str);

impl Reader for HttpLog<'_> {
    type Error = std::io::Error;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, std::io::Error> {
        match self.0.get(self.1, &format!("/log/{resource}")).await {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(Failed::Refused { status: 404, .. }) => Ok(None),
            Err(failed) => Err(std::io::Error::other(format!("{failed:?}"))),
        }
    }
}

#[tokio::test]
async fn checkpoints_that_were_remembered_before_a_backup_was_put_back_still_verify() {
    let (arena, miner, process, base) = in_use().await;
    let key = arena.home.log_signer().unwrap().key();
    let checkpoint = async |base: &str| {
        let note = miner.get(base, "/log/checkpoint").await.unwrap();
        SignedCheckpoint::open(&note, &key).unwrap()
    };
    // Rounds go on, so the log grows while somebody remembers each of its sizes.
    let began = Instant::now();
    let mut remembered = vec![checkpoint(&base).await];
    while remembered.len() < 4 {
        assert!(began.elapsed() < PATIENCE, "the log stands still: {}", process.stderr());
        let now = checkpoint(&base).await;
        if now.size() > remembered[remembered.len() - 1].size() {
            remembered.push(now);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let taken = take(&arena, &to, Options { keys: true, objects_listed: false }).await.unwrap();
    assert!(process.stop().await.success());
    let older = &remembered[0];
    let partial = format!("log/tile/0/000.p/{}", older.size());
    assert!(older.size() < 256 && taken.log_size > older.size(), "{} and {}", older.size(), taken.log_size);
    assert!(!taken.files.iter().any(|file| file.path == partial), "what is restored lacks {partial}");

    let elsewhere = Arena::empty_at(&place.path().join("elsewhere"));
    restore(&to, &elsewhere.home).await.unwrap();
    // Out of the bare files, which lack the tiles that the older checkpoints had, and through the door.
    let store = Arc::new(LocalFileSystem::new_with_prefix(elsewhere.home.objects()).unwrap());
    let files = LogStore::new(store, "log").unwrap();
    assert_eq!(files.get(&Resource::parse(&partial["log/".len()..]).unwrap()).await.unwrap(), None);
    for seen in remembered.iter().filter(|seen| seen.size() <= taken.log_size) {
        verify_log(&files, &key, Some(seen)).await.unwrap();
    }
    let (process, base) = elsewhere.serve().await;
    for seen in remembered.iter().filter(|seen| seen.size() <= taken.log_size) {
        verify_log(&HttpLog(&miner, &base), &key, Some(seen)).await.unwrap();
    }
    // Whoever took an older checkpoint just before finds its tiles.
    assert_eq!(miner.get(&base, &format!("/{partial}")).await.unwrap().len() as u64, 32 * older.size());
    // Another history is still found.
    let signer = elsewhere.home.log_signer().unwrap();
    let root = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let forged = signer.sign(&format!("{}\n{}\n{root}\n", key.name(), older.size()));
    let forged = SignedCheckpoint::open(forged.as_bytes(), &key).unwrap();
    let found = verify_log(&HttpLog(&miner, &base), &key, Some(&forged)).await.unwrap_err();
    assert!(matches!(found, VerifyError::Rewritten { .. }), "{found}");
    elsewhere.until_done(&miner, &base).await;
    assert!(process.stop().await.success());
}

/// What a board says about submissions; champion and time are a round's.
fn rows(board: &[u8]) -> serde_json::Value {
    let mut board: serde_json::Value = serde_json::from_slice(board).unwrap();
    board["rows"].take()
}

#[tokio::test]
async fn a_backup_that_is_damaged_or_has_a_place_already_is_refused() {
    let (arena, _miner, process, _) = in_use().await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let taken = take(&arena, &to, Options::default()).await.unwrap();
    assert!(process.stop().await.success());
    let occupied = restore(&to, &arena.home).await.unwrap_err();
    assert!(matches!(occupied, BackupError::InUse { .. }), "{occupied}");

    let names = taken.files.iter().map(|file| file.path.clone());
    let objects = taken.objects.iter().take(3).map(|object| format!("objects/{}", object.sha256));
    assert!(taken.files.iter().all(|file| !["hotkey", "log.key"].contains(&file.path.as_str())), "no keys");
    for (number, name) in names.chain(objects).enumerate() {
        let path = to.join(&name);
        let whole = std::fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let home = Home::new(place.path().join(format!("home-{number}")));
        let refused = restore(&to, &home).await.unwrap_err();
        assert!(refused.to_string().contains("damaged"), "{name}: {refused}");
        assert!(!home.database().exists(), "{name}: what is refused is no validator");
        std::fs::write(&path, whole).unwrap();
    }
    // After all that it is whole again, and what a broken-off restore left is no obstacle.
    let home = Home::new(place.path().join("home-0"));
    restore(&to, &home).await.unwrap();
}

#[tokio::test]
async fn objects_that_are_only_listed_must_be_in_the_store() {
    let (arena, miner, process, _) = in_use().await;
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("backup");
    let taken = take(&arena, &to, Options { keys: true, objects_listed: true }).await.unwrap();
    assert!(process.stop().await.success());
    assert!(!to.join("objects").exists() && !taken.objects.is_empty());
    let elsewhere = Arena::empty_at(&place.path().join("elsewhere"));
    let refused = restore(&to, &elsewhere.home).await.unwrap_err();
    assert!(matches!(refused, BackupError::ObjectsMissing { .. }), "{refused}");
    for entry in std::fs::read_dir(arena.home.objects().join("sha256")).unwrap().flatten() {
        let folder = elsewhere.home.objects().join("sha256");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    restore(&to, &elsewhere.home).await.unwrap();
    let (process, base) = elsewhere.serve().await;
    elsewhere.until_done(&miner, &base).await;
    assert!(process.stop().await.success());
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    found
}

#[tokio::test]
async fn a_validator_that_never_served_has_no_backup_and_says_why() {
    let arena = Arena::new("");
    let to = arena.home.path().join("backup");
    let error = take(&arena, &to, Options::default()).await.unwrap_err();
    assert!(matches!(error, BackupError::NeverServed), "{error}");
    assert!(!to.exists());
}
