//! Strangers from a few addresses, with as many free keys as they like, try to take what everybody needs: places, the bucket
//! of signed requests, drafts. Whoever is honest is served beside them.

use super::crash::disk::SmallDisk;
use super::hardening::{client_from, connect_from};
use super::support::{Miner, Package, Setup, TestApp, accept, competition_toml};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chain::Registration;
use futures::future::join_all;
use protocol::Digest;
use protocol::api::{FileDeclaration, SubmissionCreated, SubmissionRequest};
use protocol::auth::Keypair;
use protocol::submission::State;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A miner at an address, with the key of this number.
fn miner_at(app: &TestApp, host: u8, key: u32) -> Miner {
    miner_with(app, &client_from(host), key)
}

/// A miner with the key of this number, and connections that others use as well.
fn miner_with(app: &TestApp, http: &Client, key: u32) -> Miner {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&key.to_le_bytes());
    // A client of its own each would cost this machine more than all that the validator does.
    Miner::with(Keypair::from_seed(&seed), http.clone(), app)
}

/// Announces and, while that is refused because many do so at once, tries again as it is told.
async fn announce(miner: &Miner, package: &Package) -> SubmissionCreated {
    loop {
        match miner.announce("digits", package).await {
            Ok(created) => return created,
            Err(refusal) if refusal.status == 503 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(refusal) => panic!("{refusal:?}"),
        }
    }
}

async fn token(miner: &Miner) -> String {
    let body = json!({ "label": "test", "expires_in_seconds": 3_600 }).to_string();
    let answer = miner.post("/api/v1/tokens", body.into_bytes()).await;
    let created: Value = accept(answer, &[StatusCode::CREATED]).await.unwrap().json().await.unwrap();
    created["token"].as_str().unwrap().to_owned()
}

const COMMIT: &str = "/api/models/arena/digits/commit/main";

fn commit_body(summary: &str, files: &[(&str, &[u8])]) -> String {
    let mut body = json!({ "key": "header", "value": { "summary": summary } }).to_string();
    for (path, bytes) in files {
        let value = json!({ "path": path, "encoding": "base64", "content": STANDARD.encode(bytes) });
        body = format!("{body}\n{}", json!({ "key": "file", "value": value }));
    }
    body
}

async fn commit(miner: &Miner, token: &str, body: String) -> Response {
    let request = miner.http.post(format!("{}{COMMIT}", miner.base)).bearer_auth(token).body(body);
    request.send().await.unwrap()
}

/// An upload that begins and goes no further, once it has its place or was refused.
async fn hold_an_upload(app: &TestApp, host: u8, key: u32) -> TcpStream {
    let (miner, package) = (miner_at(app, host, key), Package::mlp(&[8], key));
    let created = announce(&miner, &package).await;
    let (target, size) = (&created.uploads[1].url, package.files[1].1.len());
    let mut stream = connect_from(host, app).await;
    let head = format!("PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &package.files[1].1[..100]].concat()).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await;
    stream
}

fn patient() -> Setup {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.upload_idle_seconds_max, limits.address_writes_burst_max) = (120, 1_000);
    limits.connections_per_address_max = 1_000;
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn four_addresses_do_not_take_all_places_of_uploads() {
    let mut setup = patient();
    setup.config.limits.uploads_max = 32;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let hosts = [2, 2, 2, 3, 4, 5].into_iter().cycle();
    let _held = join_all((0..36).zip(hosts).map(|(key, host)| hold_an_upload(&app, host, key))).await;
    let honest = miner_at(&app, 9, 100);
    let id = honest.submit(&Package::mlp(&[8], 100)).await.expect("another address has its places");
    app.wait_for(&id, State::Scored).await;
    let stranger = miner_at(&app, 2, 101).submit(&Package::mlp(&[8], 101)).await.unwrap_err();
    assert_eq!((stranger.status, stranger.problem.code.as_str()), (503, "busy"));
    assert!(stranger.problem.detail.contains("your address"), "{}", stranger.problem.detail);
}

/// Begins an upload of a mebibyte that goes no further, and says whether it is taken.
async fn hold_a_mebibyte(app: &TestApp, host: u8, key: u32) -> (TcpStream, bool) {
    let miner = miner_at(app, host, key);
    let mut files = Package::mlp(&[8], key).declarations();
    files[1] = FileDeclaration { size: 1 << 20, sha256: Digest::of(&key.to_le_bytes()), ..files[1].clone() };
    let request = SubmissionRequest { competition: "digits".parse().unwrap(), files, invite: None, name: None };
    let answer = miner.post("/api/v1/submissions", serde_json::to_vec(&request).unwrap()).await;
    let created: SubmissionCreated = accept(answer, &[StatusCode::CREATED]).await.unwrap().json().await.unwrap();
    let mut stream = connect_from(host, app).await;
    let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", created.uploads[1].url, 1 << 20);
    stream.write_all(&[head.as_bytes(), &[0; 100]].concat()).await.unwrap();
    let is_taken = tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await.is_err();
    (stream, is_taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_addresses_do_not_take_all_space_for_uploads_and_none_that_of_the_registered() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let dir = Arc::new(tempfile::tempdir_in(disk.path()).unwrap());
    let mut app = TestApp::start_in(dir, patient()).await;
    app.publish(&competition_toml("digits", "").replace("size_bytes_max = 20000", "size_bytes_max = 2000000")).await;
    app.leave_unfinished();
    let hold = async |hosts: &[u8], first: u32| {
        let began = hosts.iter().zip(first..).map(|(host, key)| hold_a_mebibyte(&app, *host, key));
        join_all(began).await
    };
    let taken = |held: &[(TcpStream, bool)]| held.iter().filter(|(_, is_taken)| *is_taken).count();
    // Each needs two of some 62 MiB.
    let half = hold(&[2; 20], 0).await;
    assert!((14..=16).contains(&taken(&half)), "{}", taken(&half));
    let others = hold(&[3, 4, 5], 100).await;
    let more = hold(&[2, 3, 4, 5], 200).await;
    assert_eq!((taken(&others), taken(&more)), (3, 0));
    let honest = miner_at(&app, 9, 300);
    let id = honest.submit(&Package::mlp(&[8], 1)).await.expect("another address has its space");
    app.wait_for(&id, State::Scored).await;
    // Strangers from many addresses take no more than three quarters.
    let crowd = hold(&(20..40).collect::<Vec<u8>>(), 400).await;
    assert!((2..=7).contains(&taken(&crowd)), "{}", taken(&crowd));
    let stranger = miner_at(&app, 50, 500).submit(&Package::mlp(&[8], 2)).await;
    let registered = miner_at(&app, 2, 600);
    app.app.ledger.register(Registration::own(registered.hotkey(), 1)).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let (_held, is_taken) = hold_a_mebibyte(&app, 2, 600).await;
    assert!(is_taken, "a quarter is theirs");
    // Some kilobytes may still fit; a mebibyte doesn't.
    assert!(stranger.is_ok() || stranger.unwrap_err().status == 503);
    assert_eq!(taken(&hold(&[51], 700).await), 0);
    drop((half, others, more, crowd));
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_honest_miners_behind_one_address_are_served_whoever_else_sits_there() {
    for with_attackers in [false, true] {
        let mut setup = patient();
        setup.config.limits.uploads_max = 64;
        let mut app = TestApp::with_competition(setup).await;
        app.leave_unfinished();
        let mut held = Vec::new();
        if with_attackers {
            held = join_all((1_000..1_032).map(|key| hold_an_upload(&app, 2, key))).await;
        }
        let miners: Vec<Miner> = (0..30).map(|key| miner_at(&app, 2, key)).collect();
        for miner in miners.iter().filter(|_| with_attackers) {
            app.app.ledger.register(Registration::own(miner.hotkey(), 1)).unwrap();
        }
        let packages: Vec<Package> = (0..30).map(|seed| Package::mlp(&[8], seed)).collect();
        let created = join_all(miners.iter().zip(&packages).map(|(miner, package)| announce(miner, package))).await;
        let sent = miners.iter().zip(&packages).zip(&created);
        let sent = join_all(sent.map(|((miner, package), created)| miner.upload_all(created, package))).await;
        for (index, sent) in sent.into_iter().enumerate() {
            sent.unwrap_or_else(|refusal| panic!("{index}, {with_attackers}: {refusal:?}"));
        }
        drop(held);
    }
}

#[tokio::test]
async fn replays_and_whoever_is_over_its_own_rate_cost_nobody_else_anything() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.hotkey_requests_per_minute_max, limits.hotkey_requests_burst_max) = (1, 3);
    limits.signed_requests_per_second_max = 1;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let greedy = app.miner(1);
    let headers = greedy.sign("POST", "/api/v1/submissions", b"{}");
    for _ in 0..20 {
        greedy.post("/api/v1/submissions", b"{}".to_vec()).await;
        greedy.send(Method::POST, "/api/v1/submissions", &headers, b"{}".to_vec()).await;
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM nonces").fetch_one(app.app.db.pool()).await.unwrap();
    assert!(rows <= 4, "{rows} rows for 40 requests, of which three are within the rate");
    app.miner(2).announce("digits", &Package::mlp(&[8], 2)).await.expect("there is enough for others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_nothing_ends_soon_and_a_refused_one_is_told_why() {
    let mut setup = Setup::default();
    let limits = &mut setup.config.limits;
    (limits.upload_idle_seconds_max, limits.upload_bytes_per_second_min) = (2, 1_024);
    let app = TestApp::with_competition(setup).await;
    let miner = app.miner(1);
    let token = token(&miner).await;
    let head = |length: usize| {
        format!(
            "POST {COMMIT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    // Line breaks, and blanks within a line, faster than the slowest upload may be.
    for (padding, code) in [(b'\n', "commit_malformed"), (b' ', "upload_broken_off")] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(head(100 << 20).as_bytes()).await.unwrap();
        let (mut reading, mut writing) = stream.into_split();
        let padded = tokio::spawn(async move {
            while writing.write_all(&[padding; 512]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(Duration::from_secs(20), reading.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(code), "{answer}");
        padded.abort();
    }
    // A client that writes all before it reads.
    let body = commit_body("mine", &[("model.safetensors", &[7; 6 << 20])]);
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(head(body.len()).as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.expect("what nobody wants is taken all the same");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("file_too_large"), "{answer}");
}

#[tokio::test]
async fn nobody_s_draft_takes_the_place_of_another_s() {
    let mut app = TestApp::with_competition(patient()).await;
    app.leave_unfinished();
    let package = Package::mlp(&[8], 1);
    let file =
        |path: &str| package.files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.clone()).unwrap();
    let part = |path: &str| commit_body(&format!("Upload {path}"), &[(path, &file(path))]);
    let honest = miner_at(&app, 9, 1_000);
    let honest_token = token(&honest).await;
    assert_eq!(commit(&honest, &honest_token, part("config.json")).await.status(), 200);
    let mut statuses = Vec::new();
    for key in 0..70 {
        let stranger = miner_at(&app, 2, key);
        let token = token(&stranger).await;
        statuses.push(commit(&stranger, &token, part("config.json")).await.status().as_u16());
    }
    assert!(statuses[..31].iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(statuses[69], 503, "an address has half at most: {statuses:?}");
    let entered: Value = commit(&honest, &honest_token, part("model.safetensors")).await.json().await.unwrap();
    assert!(entered["commitUrl"].as_str().unwrap().contains("/submissions/"), "{entered}");
    let other = miner_at(&app, 8, 1_001);
    let other_token = token(&other).await;
    assert_eq!(commit(&other, &other_token, part("config.json")).await.status(), 200);
}

/// One way to besiege, unless `SIEGE` names another one as the only one.
async fn besieging(way: &str, besieged: impl Future<Output = ()>) {
    if std::env::var("SIEGE").is_ok_and(|only| only != way) {
        std::future::pending::<()>().await;
    }
    besieged.await;
}

/// What an address of attackers does all the time, one after the other in each of its sockets.
async fn besiege(app: &TestApp, host: u8, stalls: &str) {
    let (first, http) = (u32::from(host) << 16, client_from(host));
    let tokens = miner_with(app, &http, u32::from(host) << 24);
    let token = token(&tokens).await;
    let bodies = async {
        loop {
            let heads = (0..16).map(async |index| {
                let mut stream = connect_from(host, app).await;
                let target = if index % 2 == 0 { "/api/v1/submissions" } else { COMMIT };
                let authorization = format!("Authorization: Bearer {token}\r\n");
                let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{authorization}Content-Length: 100\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                stream
            });
            let _held = join_all(heads).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    let announcements = async {
        for key in first.. {
            let _ = miner_with(app, &http, key).announce("digits", &Package::mlp(&[8], key)).await;
        }
    };
    let greedy = async {
        loop {
            tokens.post("/api/v1/submissions", b"{}".to_vec()).await;
        }
    };
    let webhooks = async {
        for key in (first..).map(|key| key + 0x8000) {
            let miner = miner_with(app, &http, key);
            if miner.submit(&Package::mlp(&[8], key)).await.is_ok() {
                for _ in 0..4 {
                    miner.post("/api/v1/webhooks", json!({ "url": stalls }).to_string().into_bytes()).await;
                }
            }
        }
    };
    let newlines = async {
        loop {
            let heads = (0..16).map(async |_| {
                let mut stream = connect_from(host, app).await;
                let head = format!("POST {COMMIT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
                let _ = stream.write_all(format!("{head}Content-Length: 10000000\r\n\r\n").as_bytes()).await;
                for _ in 0..10 {
                    let _ = stream.write_all(&[b'\n'; 4_096]).await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            join_all(heads).await;
        }
    };
    tokio::join!(
        besieging("bodies", bodies),
        besieging("announcements", announcements),
        besieging("greedy", greedy),
        besieging("webhooks", webhooks),
        besieging("newlines", newlines)
    );
}

/// Prints the figure of docs/SECURITY.md; with `SIEGE=bodies`, `webhooks`, `newlines`, `greedy` or `announcements` for one way alone.
#[tokio::test(flavor = "multi_thread")]
async fn four_besieging_addresses_keep_no_honest_request_from_being_served() {
    let mut setup = Setup::default();
    setup.config.webhooks_private = true;
    let mut app = TestApp::with_competition(setup).await;
    app.leave_unfinished();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // It accepts nothing, so whoever writes to it waits.
    let stalls = format!("http://{}/", listener.local_addr().unwrap());
    let siege = join_all((2..6).map(|host| besiege(&app, host, &stalls)));
    let honest = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut took, mut refused) = (Vec::new(), Vec::new());
        for key in 0..16 {
            let (miner, package) = (miner_at(&app, 9, key), Package::mlp(&[8], key));
            let mut began = Instant::now();
            let mut note = |answer: Option<super::support::Refusal>| {
                took.push(std::mem::replace(&mut began, Instant::now()).elapsed());
                refused.extend(answer);
            };
            match miner.announce("digits", &package).await {
                Ok(created) => {
                    note(None);
                    note(miner.upload_all(&created, &package).await.err());
                    note(miner.complete(&created.id).await.err());
                }
                Err(refusal) => note(Some(refusal)),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        (took, refused)
    };
    let (mut took, refused) = tokio::select! {
        done = honest => done,
        _ = siege => unreachable!("it has no end"),
    };
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    println!("{} honest requests beside four addresses, {} refused, p99 {p99:?}", took.len(), refused.len());
    assert!(refused.len() * 20 <= took.len(), "{} of {} were refused: {refused:?}", refused.len(), took.len());
}
