//! A disk that fills up: a small file system that really is full, and an error of a full disk at any point.

use super::audit;
use super::miners::{Failed, Miner};
use super::service::{Arena, Process};
use crate::support::Package;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use validator::failpoints::Point;

/// How long everything may take to go on once there is room.
const PATIENCE: Duration = Duration::from_secs(90);
/// Answers of a validator that can't write: it is full, or too busy with being full.
const FULL: [u16; 2] = [507, 503];

/// A file system in memory, for as long as this lives.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
    mounted: bool,
}

impl SmallDisk {
    /// `None` where this user may not mount one.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir, mounted: true }),
            refused => {
                eprintln!(
                    "SKIPPED: no small disk can be mounted here, so nothing is known about full ones: {refused:?}"
                );
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves this many bytes and no more.
    fn fill(&self, left_bytes: u64) -> Filler {
        let path = self.path().join("filler");
        let mut chunk = 1 << 20;
        let mut file = std::fs::File::create(&path).unwrap();
        while chunk >= 512 {
            use std::io::Write;
            if file.write_all(&vec![0; chunk]).is_err() {
                chunk /= 2;
            }
        }
        let size = file.metadata().unwrap().len();
        file.set_len(size.saturating_sub(left_bytes)).unwrap();
        Filler(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
        }
    }
}

/// What takes up the room.
struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn competition(arena: &Arena) {
    arena.add("digits", |toml| {
        let toml = toml.replace("submissions_per_day = 4", "submissions_per_day = 1000000");
        toml.replace("[limits]", "rounds.seconds = 1\nrounds.items = 20\nrounds.challengers_max = 1\n\n[limits]")
    });
}

/// Goes on with the last entry, or begins one, until that many are complete or the validator says that it is full.
async fn mine(miner: &mut Miner, base: &str, count: usize) -> Result<(), (u16, String)> {
    let began = Instant::now();
    while miner.entries.iter().filter(|entry| entry.completed).count() < count {
        if miner.entries.last().is_none_or(|entry| entry.completed) {
            let seed = miner.entries.len() as u64 + 1;
            miner.begin("digits", Package::random(&[8], seed));
        }
        match miner.go_on(base).await {
            Ok(()) => {}
            Err(Failed::Refused { status: 404, .. }) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(Failed::Refused { status, problem }) => return Err((status, problem.code)),
            Err(Failed::Gone) => panic!("the service is gone"),
        }
    }
    Ok(())
}

/// Mines whatever the validator says, as long as it says that it is full.
async fn mine_patiently(miner: &mut Miner, process: &Process, base: &str, count: usize) {
    let began = Instant::now();
    while let Err((status, code)) = mine(miner, base, count).await {
        assert!(FULL.contains(&status), "{status} {code}: {}", process.stderr());
        assert!(began.elapsed() < PATIENCE, "still {status} {code}: {}", process.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that is only read is answered.
async fn assert_readable(miner: &Miner, base: &str) {
    let id = miner.entries[0].id.as_ref().unwrap();
    for target in [
        "/healthz".to_owned(),
        "/".to_owned(),
        "/log/checkpoint".to_owned(),
        "/api/v1/competitions/digits".to_owned(),
        "/api/v1/competitions/digits/leaderboard".to_owned(),
        format!("/api/v1/submissions/{id}"),
        format!("/api/v1/submissions/{id}/receipt"),
    ] {
        let answer = miner.get(base, &target).await;
        assert!(answer.is_ok(), "{target} of a full validator: {answer:?}");
    }
    for target in ["/metrics", "/operator", "/api/v1/operator"] {
        let answer = miner.as_operator(base, target).await;
        assert!(answer.is_ok(), "{target} of a full validator: {answer:?}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_shows_what_is_there_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let arena = Arena::at(&disk.path().join("validator"), "");
    competition(&arena);
    let mut miner = Miner::new(1, &arena);
    let (mut process, mut base) = arena.serve().await;
    mine(&mut miner, &base, 2).await.unwrap();
    arena.until_done(&miner, &base).await;

    let mut refused = 0;
    // A little room is enough for some of the steps, so that another one is the first to fail each time.
    for (turn, left_bytes) in [0, 4 << 10, 16 << 10, 40 << 10, 100 << 10, 250 << 10, 600 << 10].into_iter().enumerate()
    {
        let filler = disk.fill(left_bytes);
        let wanted = miner.entries.len() + 200;
        match mine(&mut miner, &base, wanted).await {
            Ok(()) => {}
            Err((status, code)) => {
                assert_eq!((status, code.as_str()), (507, "disk_full"), "{}", process.stderr());
                refused += 1;
            }
        }
        assert_readable(&miner, &base).await;
        // Background work meets the full disk, too.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(process.ended(Duration::ZERO).await, None, "{}", process.stderr());
        let dies = turn % 2 == 1;
        if dies {
            process.kill().await;
            assert!(arena.orphans().await.is_empty());
        }
        drop(filler);
        if dies {
            audit::after_a_kill(&arena, std::slice::from_ref(&miner)).await;
            (process, base) = arena.serve().await;
        }
        let wanted = miner.entries.len() + 1;
        mine_patiently(&mut miner, &process, &base, wanted).await;
        arena.until_done(&miner, &base).await;
    }
    assert_eq!(refused, 7, "each time the disk was full");
    assert!(process.stop().await.success());
    arena.sweep().await;
    audit::at_rest(&arena, std::slice::from_ref(&miner)).await;
}

#[tokio::test]
async fn on_a_full_disk_a_validator_starts_shows_what_it_has_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let arena = Arena::at(&disk.path().join("validator"), "");
    competition(&arena);
    let mut miner = Miner::new(1, &arena);
    for is_killed in [false, true] {
        let (mut process, base) = arena.serve().await;
        let wanted = miner.entries.len() + 1;
        mine_patiently(&mut miner, &process, &base, wanted).await;
        arena.until_done(&miner, &base).await;
        if is_killed {
            process.kill().await;
        } else {
            assert!(process.stop().await.success());
        }
        let filler = disk.fill(0);
        let (process, base) = arena.serve().await;
        assert_readable(&miner, &base).await;
        drop(filler);
        let wanted = miner.entries.len() + 1;
        mine_patiently(&mut miner, &process, &base, wanted).await;
        arena.until_done(&miner, &base).await;
        assert!(process.stop().await.success());
    }
    // What was stored when it was stopped, killed or full has no row that names it.
    arena.sweep().await;
    audit::at_rest(&arena, std::slice::from_ref(&miner)).await;
}

#[tokio::test]
async fn without_room_for_the_database_the_start_is_refused_and_says_how_much_to_free() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let arena = Arena::at(&disk.path().join("validator"), "");
    let (process, _) = arena.serve().await;
    assert!(process.stop().await.success());
    std::fs::remove_file(arena.home.path().join("ballast")).unwrap();
    let filler = disk.fill(0);
    let (mut process, base) = arena.serve_within(PATIENCE, "").await;
    assert_eq!(base, None);
    assert!(!process.ended(PATIENCE).await.unwrap().success());
    // What it said last may still be on its way.
    for _ in 0..200 {
        if process.stderr().contains("the disk is full") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = process.stderr();
    assert!(said.contains("the disk is full") && said.contains("1048576 bytes at least"), "{said}");
    assert!(said.contains("data.sqlite"), "{said}");
    drop(filler);
    let (process, _) = arena.serve().await;
    assert!(process.stop().await.success());
}

/// Every point is full now and then, for everybody: miners are told so and try again, and all of it is done in the end.
#[tokio::test]
async fn a_disk_that_is_full_at_any_point_now_and_then_loses_nothing() {
    let arena = Arena::new("");
    competition(&arena);
    // What is committed was not refused.
    let points = Point::all().into_iter().filter(|point| !matches!(point, Point::Committed(_)));
    let points: Vec<String> = points.map(|point| format!("{point}=3%return(full)")).collect();
    let (mut process, base) = arena.serve_within(PATIENCE, "").await;
    let mut miner = Miner::new(1, &arena);
    mine(&mut miner, &base.unwrap(), 1).await.unwrap();
    process.kill().await;

    let (process, base) = arena.serve_within(PATIENCE, &points.join(";")).await;
    let base = base.unwrap_or_else(|| panic!("{}", process.stderr()));
    mine_patiently(&mut miner, &process, &base, 12).await;
    arena.until_done(&miner, &base).await;
    assert!(!process.stderr().contains("panicked at"), "{}", process.stderr());
    assert!(process.stop().await.success());
    arena.sweep().await;
    audit::at_rest(&arena, std::slice::from_ref(&miner)).await;
}
