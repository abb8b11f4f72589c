//! What an operator meets: a log whose files are damaged or can't be written, a ledger that is gone, a full disk, floods in
//! the process's log; and what the operator does about somebody.

use super::crash::miners::Miner as Walker;
use super::crash::service::{Arena, Process};
use super::support::{Package, Setup, TestApp, accept};
use protocol::leaf::{Act, Administration};
use protocol::submission::State;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use validator::sweep::{self, Really, Swept};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `found` is something.
async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a process has said something.
async fn says(process: &Process, what: &str) {
    until(what, async || process.stderr().contains(what).then_some(())).await;
}

async fn status(url: &str) -> u16 {
    reqwest::get(url).await.map_or(0, |answer| answer.status().as_u16())
}

/// Everything below the log's folder, by relative path.
fn log_files(home: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut folders, mut files) = (vec![home.join("objects/log")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.path(), std::fs::read(entry.path()).unwrap())),
            }
        }
    }
    files.sort();
    files
}

/// A file of the log.
type LogFile = (PathBuf, Vec<u8>);

/// The tiles of the log as long as it is, which may be longer each time, and those of past sizes, which are served out of
/// these.
fn tiles(home: &Path) -> (Vec<LogFile>, Vec<LogFile>) {
    let files = log_files(home);
    let (_, note) = files.iter().find(|(path, _)| path.ends_with("checkpoint")).unwrap();
    let now = format!("000.p/{}", String::from_utf8_lossy(note).lines().nth(1).unwrap());
    let tiles = files.into_iter().filter(|(path, _)| path.to_string_lossy().contains("000.p/"));
    let (tiles, past): (Vec<_>, Vec<_>) = tiles.partition(|(path, _)| path.ends_with(&now));
    assert_eq!(tiles.len(), 2, "{tiles:?}");
    (tiles, past)
}

async fn block(app: &TestApp, act: &str, who: &str) -> reqwest::Response {
    let url = app.url(&format!("/api/v1/operator/{act}"));
    let body = json!({ "who": who, "reason": "it holds all places" }).to_string();
    let token = app.app.config.operator_token.expose();
    app.miner(1).http.post(url).bearer_auth(token).body(body).send().await.unwrap()
}

#[tokio::test]
async fn whoever_is_blocked_is_refused_everywhere_told_why_and_stated_in_the_log_until_allowed() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let (bad, good) = (app.miner(2), app.miner(3));
    let package = Package::mlp(&[8], 7);
    let created = bad.announce("digits", &package).await.unwrap();

    let stranger = app.miner(1).http.post(app.url("/api/v1/operator/block")).body("{}").send().await.unwrap();
    assert_eq!(stranger.status(), 403);
    for who in ["somebody", "0.0.0.0/0", ""] {
        assert_eq!(block(&app, "block", who).await.status(), 422, "{who}");
    }
    let hotkey = bad.hotkey().to_string();
    let listed: Value = block(&app, "block", &hotkey).await.json().await.unwrap();
    assert_eq!((&listed[0]["who"], listed.as_array().unwrap().len()), (&json!(hotkey), 1));
    assert_eq!(block(&app, "block", &hotkey).await.status(), 409);
    let refusal = bad.announce("digits", &Package::mlp(&[8], 9)).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (403, "blocked"));
    assert!(refusal.problem.hint.contains("public log"), "{:?}", refusal.problem);
    let sent = bad.http.put(app.url(&created.uploads[0].url)).body("x").send().await.unwrap();
    assert_eq!(sent.status(), 403, "an address that was given before");
    good.announce("digits", &package).await.unwrap();

    let leaf = until("the leaf", async || {
        app.app.db.leaf("administration/blocked/1").await.unwrap().filter(|leaf| leaf.index_in_log.is_some())
    })
    .await;
    let stated: Administration = serde_json::from_value(leaf.body).unwrap();
    assert_eq!(stated.act, Act::Blocked { number: 1, who: hotkey.clone(), reason: "it holds all places".into() });
    let view: Value = app.as_operator("/api/v1/operator").await.json().await.unwrap();
    assert_eq!(view["blocks"][0]["who"], json!(hotkey));
    assert_eq!(block(&app, "allow", &hotkey).await.status(), 200);
    assert_eq!(block(&app, "allow", &hotkey).await.status(), 409);
    bad.upload_all(&created, &package).await.unwrap();
    assert!(app.app.db.leaf("administration/allowed/1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_blocked_network_is_refused_with_all_its_addresses_and_behind_a_proxy_too() {
    let mut setup = Setup::default();
    setup.config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let behind = async |address: &str| {
        miner.http.get(app.url("/api/v1/competitions")).header("x-forwarded-for", address).send().await.unwrap()
    };
    assert_eq!(block(&app, "block", "203.0.113.9/24").await.status(), 200);
    assert_eq!(block(&app, "block", "2001:db8::/48").await.status(), 200);
    assert_eq!(block(&app, "block", "127.0.0.9").await.status(), 200);
    for (address, expected) in [
        ("203.0.113.7", 403),
        ("::ffff:203.0.113.8", 403),
        ("2001:db8:0:7::1", 403),
        ("203.0.114.7", 200),
        ("2001:db8:1::1", 200),
    ] {
        assert_eq!(behind(address).await.status(), expected, "{address}");
    }
    let problem: Value = behind("203.0.113.7").await.json().await.unwrap();
    assert_eq!(problem["code"], "blocked");
    let from =
        |address: [u8; 4]| reqwest::Client::builder().local_address(std::net::IpAddr::from(address)).build().unwrap();
    assert!(from([127, 0, 0, 9]).get(app.url("/healthz")).send().await.is_err(), "closed without a word");
    assert_eq!(from([127, 0, 0, 8]).get(app.url("/healthz")).send().await.unwrap().status(), 200);
    let metrics = app.as_operator("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("retort_http_refused_total{why=\"blocked\"} "), "{metrics}");
    assert_eq!(block(&app, "allow", "203.0.113.0/24").await.status(), 200);
    assert_eq!(behind("203.0.113.7").await.status(), 200);
}

#[tokio::test]
async fn what_is_blocked_beside_the_service_is_known_to_it_in_a_moment() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(2);
    let whom = miner.hotkey().to_string().parse().unwrap();
    let (db, reason) = (&app.app.db, "by command".parse().unwrap());
    validator::blocks::block(db, app.app.hotkey, whom, reason, app.app.clock.now()).await.unwrap();
    until("the refusal", async || {
        let answer = miner.post("/api/v1/submissions", b"{}".to_vec()).await;
        (answer.status() == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_operator_sees_who_holds_places_the_queue_and_the_disk() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let (busy, done) = (app.miner(2), app.miner(3));
    let scored = done.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&scored, State::Scored).await;
    busy.announce("digits", &Package::mlp(&[8], 8)).await.unwrap();
    // A body that never comes holds a place.
    let mut slow = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let signed = busy.sign("POST", "/api/v1/submissions", &[b'{'; 100]);
    let headers: String = signed.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("POST /api/v1/submissions HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 100\r\n\r\n{{");
    tokio::io::AsyncWriteExt::write_all(&mut slow, head.as_bytes()).await.unwrap();
    let view = until("the slow writer", async || {
        let view: Value = app.as_operator("/api/v1/operator").await.json().await.unwrap();
        let holder =
            view["holders"].as_array().unwrap().iter().find(|holder| holder["address"] == "127.0.0.1").cloned();
        holder.is_some_and(|holder| holder["writes"] == 1 && holder["connections"].as_u64() > Some(1)).then_some(view)
    })
    .await;
    let queue = &view["queue_holders"][0];
    assert_eq!((&queue["hotkey"], &queue["awaiting_upload"]), (&json!(busy.hotkey().to_string()), &json!(1)), "{view}");
    let disk = &view["disk_holders"][0];
    assert_eq!(disk["hotkey"], json!(done.hotkey().to_string()));
    assert!(disk["bytes"].as_u64() > Some(1_000), "{disk}");
    let kinds: Vec<_> = view["places"].as_array().unwrap().iter().map(|places| places["kind"].clone()).collect();
    for kind in ["connections", "uploads", "reads", "writes", "streams"] {
        assert!(kinds.contains(&json!(kind)), "{kind}: {kinds:?}");
    }
    let page = app.as_operator("/operator").await.text().await.unwrap();
    assert!(page.contains("In use now") && page.contains(&busy.hotkey().to_string()), "{page}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_one_line_of_the_log() {
    let arena = Arena::new("body_bytes_max = 70000\nwrites_max = 1000\n");
    std::fs::write(
        arena.home.config(),
        std::fs::read_to_string(arena.home.config())
            .unwrap()
            .replace("address_writes_per_second_max = 1000000", "address_writes_per_second_max = 1")
            .replace("address_writes_burst_max = 1000000", "address_writes_burst_max = 3"),
    )
    .unwrap();
    let (process, base) = arena.serve().await;
    let http = reqwest::Client::new();
    let mut refused = 0;
    for _ in 0..200 {
        let answer = http.post(format!("{base}/api/v1/submissions")).body("{}").send().await.unwrap();
        refused += u32::from(answer.status() == 429);
    }
    assert!(refused > 100, "{refused}");
    says(&process, "address_rate").await;
    let log = process.stderr();
    let told = log.lines().filter(|line| line.contains("refused")).count();
    assert_eq!(told, 1, "{log}");
    assert!(log.contains("127.0.0.1") && log.contains("address_rate"), "{log}");
    assert!(process.stop().await.success());
}

/// A validator with something in its log, at rest; and who sent it.
async fn with_history(arena: &Arena) -> Walker {
    arena.add("digits", |toml| toml);
    let (process, base) = arena.serve().await;
    let mut miner = Walker::new(1, arena);
    for seed in 1..3 {
        miner.begin("digits", Package::random(&[8], seed));
        until("an entry", async || {
            let _ = miner.go_on(&base).await;
            miner.entries.last().is_some_and(|entry| entry.completed).then_some(())
        })
        .await;
    }
    arena.until_done(&miner, &base).await;
    assert!(process.stop().await.success());
    miner
}

#[tokio::test]
async fn a_log_that_was_damaged_is_put_back_from_the_database_before_anybody_misses_it() {
    let arena = Arena::new("");
    let miner = with_history(&arena).await;
    // Gone, torn, and with another byte.
    for damage in 0..3 {
        let (tiles, _) = tiles(arena.home.path());
        for (index, (path, bytes)) in tiles.iter().enumerate() {
            let mut changed = bytes.clone();
            match (damage + index) % 3 {
                0 => std::fs::remove_file(path).unwrap(),
                1 => std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    changed[bytes.len() / 2] ^= 1;
                    std::fs::write(path, &changed).unwrap();
                }
            }
        }
        let (process, base) = arena.serve().await;
        let whole = || tiles.iter().all(|(path, bytes)| std::fs::read(path).is_ok_and(|found| found == *bytes));
        until("the log as it was", async || whole().then_some(())).await;
        until("readiness", async || (status(&format!("{base}/readyz")).await == 200).then_some(())).await;
        says(&process, "are put back").await;
        assert!(process.stop().await.success());
    }
    let (tiles, past) = tiles(arena.home.path());
    let (process, base) = arena.serve().await;
    // A hole that a reader finds while it runs.
    let (path, bytes) = &tiles[0];
    std::fs::remove_file(path).unwrap();
    let target = |path: &Path| format!("/{}", path.strip_prefix(arena.home.path().join("objects")).unwrap().display());
    until("the file", async || miner.get(&base, &target(path)).await.ok()).await;
    assert_eq!(&std::fs::read(path).unwrap(), bytes);
    // Other bytes are never given away, and put right.
    for (path, bytes) in &tiles {
        let mut changed = bytes.clone();
        changed[bytes.len() / 2] ^= 1;
        for damaged in [&changed[..], &bytes[..bytes.len() / 2], b"nothing"] {
            std::fs::write(path, damaged).unwrap();
            let answer = until("the file", async || miner.get(&base, &target(path)).await.ok()).await;
            assert_eq!(answer, bytes[..], "{}", path.display());
        }
    }
    // A tile of a past size, whatever became of its file.
    if let Some((path, bytes)) = past.first() {
        std::fs::write(path, b"nothing").unwrap();
        assert_eq!(miner.get(&base, &target(path)).await.unwrap(), bytes[..]);
    }
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn while_the_log_can_not_be_written_the_validator_is_not_ready_and_ends_all_the_same() {
    let arena = Arena::new("");
    with_history(&arena).await;
    let (process, base) = arena.serve().await;
    let ready = async || status(&format!("{base}/readyz")).await;
    until("readiness", async || (ready().await == 200).then_some(())).await;
    // A folder that is none takes nothing, whoever we are.
    let (log, aside) = (arena.home.path().join("objects/log"), arena.home.path().join("objects/aside"));
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "").unwrap();
    until("that it isn't ready", async || (ready().await == 503).then_some(())).await;
    let problem: Value = reqwest::get(format!("{base}/readyz")).await.unwrap().json().await.unwrap();
    // Whoever looks first: the log's writer, or whoever tries the folders.
    let detail = problem["detail"].as_str().unwrap();
    assert!(["public log", "can't be written"].iter().any(|words| detail.contains(words)), "{problem}");
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    until("readiness again", async || (ready().await == 200).then_some(())).await;
    // A checkpoint of an older time, or none, is not signed over.
    let checkpoint = log.join("checkpoint");
    let note = std::fs::read(&checkpoint).unwrap();
    std::fs::remove_file(&checkpoint).unwrap();
    until("that it isn't ready", async || (ready().await == 503).then_some(())).await;
    std::fs::write(&checkpoint, note).unwrap();
    until("readiness again", async || (ready().await == 200).then_some(())).await;
    std::fs::rename(&log, &aside).unwrap();
    let began = Instant::now();
    assert!(process.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_ledger_that_is_gone_or_shorter_stops_the_validator_and_says_what_to_do() {
    let arena = Arena::new("");
    with_history(&arena).await;
    let ledger = arena.home.ledger();
    let whole = std::fs::read(&ledger).unwrap();
    // At the start.
    std::fs::rename(&ledger, ledger.with_extension("aside")).unwrap();
    let (mut process, base) = arena.serve_within(PATIENCE, "").await;
    assert_eq!(base, None);
    assert!(!process.ended(PATIENCE).await.unwrap().success());
    says(&process, "put it back from a backup").await;
    assert!(!ledger.exists(), "none was begun anew");
    std::fs::write(&ledger, &whole).unwrap();
    // While it runs.
    let (mut process, base) = arena.serve().await;
    until("an answer", async || (status(&format!("{base}/healthz")).await == 200).then_some(())).await;
    std::fs::remove_file(&ledger).unwrap();
    let ended = process.ended(PATIENCE).await;
    assert!(ended.is_some_and(|status| !status.success()), "{}", process.stderr());
    says(&process, "saved to").await;
    let mut paths = std::fs::read_dir(arena.home.path()).unwrap().flatten().map(|entry| entry.path());
    let saved = paths.find(|path| path.to_string_lossy().contains("ledger.jsonl.saved-")).unwrap();
    assert_eq!(std::fs::read(&saved).unwrap(), whole);
    std::fs::rename(&saved, &ledger).unwrap();
    // Shorter while it runs.
    let (mut process, base) = arena.serve().await;
    until("an answer", async || (status(&format!("{base}/healthz")).await == 200).then_some(())).await;
    std::fs::File::options().write(true).open(&ledger).unwrap().set_len(whole.len() as u64 / 2).unwrap();
    assert!(process.ended(PATIENCE).await.is_some_and(|status| !status.success()), "{}", process.stderr());
    says(&process, "cut it off").await;
    // Written to by somebody else while it runs: behind its end, and in its middle.
    let mut more = whole.clone();
    more.extend_from_slice(b"hello\n");
    let mut other = whole.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    for changed in [more, other] {
        std::fs::write(&ledger, &whole).unwrap();
        let (mut process, base) = arena.serve().await;
        until("an answer", async || (status(&format!("{base}/healthz")).await == 200).then_some(())).await;
        std::fs::File::options().write(true).open(&ledger).unwrap().write_all_at(&changed, 0).unwrap();
        assert!(process.ended(PATIENCE).await.is_some_and(|status| !status.success()), "{}", process.stderr());
        says(&process, "changed by somebody else").await;
    }
    // What lacks entries at the start is neither begun anew nor mended.
    for left in [0, 200] {
        std::fs::write(&ledger, &whole[..left]).unwrap();
        let (mut process, base) = arena.serve_within(PATIENCE, "").await;
        assert_eq!(base, None);
        assert!(!process.ended(PATIENCE).await.unwrap().success());
        says(&process, "put it back from a backup").await;
        assert_eq!(std::fs::read(&ledger).unwrap(), &whole[..left]);
        let names = std::fs::read_dir(arena.home.path()).unwrap().flatten().map(|entry| entry.file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().contains("torn")), "nothing was moved aside");
    }
}

#[tokio::test]
async fn a_database_that_is_gone_is_not_begun_anew_and_it_is_said_what_to_do() {
    let arena = Arena::new("");
    with_history(&arena).await;
    let home = arena.home.path();
    let database = arena.home.database();
    for beside in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{beside}", database.display()));
    }
    let (aside, ledger) = (home.join("aside"), arena.home.ledger());
    std::fs::rename(&database, &aside).unwrap();
    let refused = async |what: &str| {
        let (mut process, base) = arena.serve_within(PATIENCE, "").await;
        assert_eq!(base, None, "{what}");
        assert!(!process.ended(PATIENCE).await.unwrap().success());
        says(&process, "put it back from a backup").await;
        says(&process, "shows that there was one").await;
    };
    refused("beside a ledger").await;
    assert!(!database.exists(), "none was begun");
    std::fs::write(&database, b"").unwrap();
    refused("an empty one").await;
    std::fs::rename(&ledger, home.join("ledger.aside")).unwrap();
    refused("beside a log").await;
    std::fs::rename(home.join("ledger.aside"), &ledger).unwrap();
    std::fs::rename(&aside, &database).unwrap();
    let (process, base) = arena.serve().await;
    until("an answer", async || (status(&format!("{base}/healthz")).await == 200).then_some(())).await;
    assert!(process.stop().await.success());
}

/// As one user made it and another serves it, after a restore or a publication by the superuser.
#[tokio::test]
async fn files_of_another_user_are_refused_at_the_start_by_path_and_owner() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only the superuser can give files away, so nothing is known about files of others");
        return;
    }
    let own = |path: &Path, user: u32| std::os::unix::fs::lchown(path, Some(user), Some(user)).unwrap();
    if !Process::can_be_run_as(NOBODY) {
        eprintln!("SKIPPED: nobody else may run the program where it lies, so nothing is known about files of others");
        return;
    }
    let mut arena = Arena::new("");
    with_history(&arena).await;
    arena.user = Some(NOBODY);
    let home = arena.home.path();
    let mut all = vec![home.to_owned()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        next += 1;
        if path.is_dir() {
            all.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all.iter().for_each(|path| own(path, NOBODY));
    let (mode, open) =
        (|path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap(), 0o755);
    // Whoever serves reaches the directory through these.
    for above in home.ancestors().skip(1).take_while(|above| above.starts_with(std::env::temp_dir())) {
        if above != std::env::temp_dir() {
            mode(above, open);
        }
    }
    for name in ["data.sqlite", "objects", "objects/sha256", "objects/log", "tmp", ""] {
        let path = home.join(name);
        own(&path, 0);
        mode(&path, if path.is_dir() { open } else { 0o644 });
        let (mut process, base) = arena.serve_within(PATIENCE, "").await;
        let said = process.stderr();
        assert_eq!(base, None, "{name}: {said}");
        assert!(!process.ended(PATIENCE).await.unwrap().success());
        says(&process, "belongs to user 0, and this runs as user 65534").await;
        let said = process.stderr();
        let line = said.lines().find(|line| line.contains("belongs to user 0")).unwrap();
        let named = path.to_string_lossy().trim_end_matches('/').to_owned();
        assert_eq!(line.matches(&named).count(), 1, "{name}: {line}");
        own(&path, NOBODY);
    }
    let (process, base) = arena.serve_within(PATIENCE, "").await;
    assert!(base.is_some(), "{}", process.stderr());
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn two_programs_that_submit_one_package_share_its_upload() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(2);
    let package = Package::mlp(&[8], 7);
    let one = miner.announce("digits", &package).await.unwrap();
    let other = miner.announce("digits", &package).await.unwrap();
    assert_eq!(
        one.uploads.iter().map(|upload| &upload.url).collect::<Vec<_>>(),
        other.uploads.iter().map(|upload| &upload.url).collect::<Vec<_>>()
    );
    // Both send everything, in turns.
    miner.upload_all(&one, &package).await.unwrap();
    let wrong = miner.http.put(app.url(&other.uploads[0].url)).body("x").send().await.unwrap();
    assert_eq!(accept(wrong, &[]).await.unwrap_err().status, 422);
    miner.complete(&one.id).await.unwrap();
    miner.upload_all(&other, &package).await.unwrap();
    miner.complete(&other.id).await.unwrap();
    app.wait_for(&one.id, State::Scored).await;
    assert_eq!(one.id, other.id);
}

#[tokio::test]
async fn an_address_brings_so_many_bytes_a_day_by_keys_that_nobody_registered() {
    let ledger = std::sync::Arc::new(chain::MemoryLedger::new());
    let mut setup = Setup { ledger: Some(ledger.clone()), ..Setup::default() };
    let package = Package::mlp(&[8], 7);
    let bytes: u64 = package.files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    setup.config.limits.address_bytes_per_day_max = 2 * bytes + bytes / 2;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let registered = app.miner(9);
    chain::Ledger::register(ledger.as_ref(), chain::Registration::own(registered.hotkey(), 0)).unwrap();
    let first = app.miner(1).announce("digits", &package).await.unwrap();
    app.miner(2).announce("digits", &package).await.unwrap();
    let refusal = app.miner(3).announce("digits", &package).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (429, "address_bytes_exhausted"));
    assert!(refusal.problem.retry_after_seconds.is_some_and(|wait| wait > 3_600), "{:?}", refusal.problem);
    // The same again is no more, whoever is registered has no such bound, and another address has its own.
    assert_eq!(app.miner(1).announce("digits", &package).await.unwrap().id, first.id);
    registered.announce("digits", &package).await.unwrap();
    let elsewhere = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 7])).build().unwrap();
    let mut other = app.miner(4);
    other.http = elsewhere;
    other.announce("digits", &package).await.unwrap();
    app.app.clock.advance(24 * 3_600 + 1);
    app.miner(3).announce("digits", &package).await.unwrap();
}

/// Objects that lie in the store.
async fn stored(app: &TestApp, package: &Package) -> usize {
    let mut found = 0;
    for (_, bytes) in &package.files {
        found += usize::from(app.app.objects.size_bytes(&protocol::Digest::of(bytes)).await.unwrap().is_some());
    }
    found
}

#[tokio::test]
async fn pruning_says_first_what_it_would_free_and_takes_nothing_that_was_scored() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let (good, bad) =
        (Package::mlp(&[8], 7), Package::mlp(&[8], 3).with_config(|config| config["labels"] = json!(["a", "b"])));
    let scored = miner.submit(&good).await.unwrap();
    app.wait_for(&scored, State::Scored).await;
    let rejected = miner.submit(&bad).await.unwrap();
    app.wait_for(&rejected, State::Rejected).await;
    // It is scored first and taken out then: a round's check may still want it.
    let out = miner.submit(&Package::mlp(&[16], 9)).await.unwrap();
    app.wait_for(&out, State::Scored).await;
    let (db, objects) = (&app.app.db, &app.app.objects);
    let reason = "for the test".parse().unwrap();
    validator::administration::disqualify(db, app.app.hotkey, &out, reason, app.app.clock.now()).await.unwrap();
    assert_eq!((stored(&app, &good).await, stored(&app, &bad).await), (2, 2));

    let prune = async |really| {
        sweep::prune_until(db, objects, Duration::from_secs(3_600), u64::MAX, Duration::ZERO, really).await.unwrap()
    };
    let said = prune(Really::Count).await;
    assert_eq!((said.rejected, said.objects), (2, 0), "{said:?}");
    assert_eq!(stored(&app, &bad).await, 2, "saying it removes nothing");
    let freed = prune(Really::Remove).await;
    assert_eq!(freed, said);
    assert_eq!((stored(&app, &good).await, stored(&app, &bad).await), (2, 0));
    assert_eq!(stored(&app, &Package::mlp(&[16], 9)).await, 2);
    assert_eq!(prune(Really::Remove).await, Swept::default(), "once is enough");
    assert!(db.promised_objects().await.unwrap().len() > 4, "a backup asks for nothing that is gone");
    for sha256 in db.promised_objects().await.unwrap() {
        assert!(objects.size_bytes(&sha256).await.unwrap().is_some(), "{sha256}");
    }
    assert_eq!(miner.get(&format!("/submissions/{rejected}")).await.status(), 200);
}

#[tokio::test]
async fn a_package_that_is_published_as_it_came_is_stored_once() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let miner = app.miner(1);
    let first = miner.submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&first, State::Scored).await;
    let status = miner.status(&first).await;
    let ours = async |path: &str| {
        let file = status.published.iter().find(|file| file.path == path).unwrap();
        miner.get(&format!("/api/v1/objects/sha256/{}", file.sha256)).await.bytes().await.unwrap().to_vec()
    };
    let files = vec![
        ("config.json".to_owned(), ours("config.json").await),
        ("model.safetensors".to_owned(), ours("model.safetensors").await),
    ];
    let again = Package { files };
    let before = app.app.db.named_objects().await.unwrap();
    let second = app.miner(2).submit(&again).await.unwrap();
    app.wait_for(&second, State::Scored).await;
    let status = app.miner(2).status(&second).await;
    let digests = |files: &[protocol::api::FileDeclaration]| {
        files.iter().map(|file| file.sha256).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(digests(&status.files), digests(&status.published));
    assert!(digests(&status.files).is_subset(&before.into_iter().collect()), "no new object");
}

/// A file system in memory with a validator's folder on it, for as long as this lives; `None` where this user may mount none.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(dir.path()).status();
        if mounted.is_ok_and(|status| status.success()) { Some(Self(dir)) } else { None }
    }

    fn make_read_only(&self) {
        let options = ["-o", "remount,ro"];
        assert!(std::process::Command::new("mount").args(options).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn keys_that_others_may_read_are_taken_from_a_read_only_mount_and_nowhere_else() {
    use std::os::unix::fs::PermissionsExt;
    for mode in [0o440, 0o444, 0o640] {
        let Some(mount) = Mount::new() else {
            eprintln!("SKIPPED: nothing can be mounted here, so nothing is known about read-only mounts");
            return;
        };
        let home = validator::Home::new(mount.0.path());
        home.init().unwrap();
        for key in [home.hotkey(), home.log_key()] {
            std::fs::set_permissions(key, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let refused = home.keypair().map(drop).unwrap_err().to_string();
        assert!(refused.contains("chmod 600") && refused.contains("read-only"), "{refused}");
        assert!(home.log_signer().is_err());
        mount.make_read_only();
        assert!(home.keypair().is_ok() && home.log_signer().is_ok(), "{mode:o}");
        let warning = chain::keyfile::check_readers(&home.hotkey()).unwrap().unwrap();
        assert_eq!(warning.contains("everybody"), mode & 0o007 != 0, "{warning}");
    }
}
