//! The public log through the public door: what happens is stated in order, once, whatever is killed; and receipts.

use super::lifecycle::script;
use super::rounds;
use super::support::{Miner, Package, Setup, TestApp, competition, log_signer, validator_hotkey};
use async_trait::async_trait;
use datasets::hidden::Reveal;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use protocol::api::CompetitionView;
use protocol::auth::Keypair;
use protocol::digest::canonical_json;
use protocol::evaluation::EvaluationFailure;
use protocol::leaf::{Attempt, Commitment, CompetitionPublished, Ended, Purpose};
use protocol::receipt::ReceiptError;
use protocol::round::Step;
use protocol::rules::RULES;
use protocol::submission::{Blame, Code, State};
use protocol::{CompetitionId, Digest, Receipt, Report, SignedReceipt, SubmissionId, attempt};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use transparency::verify::Reader;
use transparency::{EntryKind, Envelope, LogKey, Resource, SignedCheckpoint, VerifyError, verify_entries};
use validator::administration;
use validator::db::{DbError, leaves};
use validator::objects::Objects;
use validator::scripted::scripted_evaluation;

/// The log's files over HTTP.
struct HttpLog<'a>(&'a Miner);

impl Reader for HttpLog<'_> {
    type Error = reqwest::Error;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, reqwest::Error> {
        let response = self.0.http.get(format!("{}/log/{resource}", self.0.base)).send().await?;
        if response.status() == 404 {
            return Ok(None);
        }
        Ok(Some(response.error_for_status()?.bytes().await?.to_vec()))
    }
}

/// The log's files as they lie, with nobody before them.
struct StoredLog<'a>(&'a InMemory);

impl Reader for StoredLog<'_> {
    type Error = object_store::Error;

    async fn read(&self, resource: &Resource) -> StoreResult<Option<Vec<u8>>> {
        match self.0.get(&Path::parse(format!("log/{resource}"))?).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// All that the log of a running validator states, checked as a stranger would.
async fn read(
    miner: &Miner,
    remembered: Option<&SignedCheckpoint>,
) -> Result<(SignedCheckpoint, Vec<Envelope>), VerifyError> {
    checked(&HttpLog(miner), remembered).await
}

async fn checked<R: Reader>(
    log: &R,
    remembered: Option<&SignedCheckpoint>,
) -> Result<(SignedCheckpoint, Vec<Envelope>), VerifyError> {
    let mut entries = Vec::new();
    let visit = |_, entry: &[u8]| entries.push(Envelope::parse(entry));
    let verified = verify_entries(log, &log_signer().key(), remembered, visit).await?;
    Ok((verified.checkpoint, entries.into_iter().map(Result::unwrap).collect()))
}

/// Waits until everything that was stated is in the log.
async fn settled(app: &TestApp) {
    for _ in 0..1_500 {
        // A competition's first round opens in its own time, and is stated.
        let opened = app.app.db.leaf("round/digits/1/opened").await.unwrap().is_some();
        let awaited = !opened && !app.app.db.competitions().await.unwrap().is_empty();
        if !awaited && app.app.db.count_leaves().await.unwrap().1 == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?} leaves logged and pending", app.app.db.count_leaves().await.unwrap());
}

async fn scored(app: &TestApp, seed: u8) -> SubmissionId {
    let id = app.miner(seed).submit(&Package::mlp(&[8], u32::from(seed))).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    id
}

/// What is stated about competitions and submissions; rounds and administration have their own time.
fn keys(entries: &[Envelope]) -> Vec<&str> {
    let ours =
        |entry: &&Envelope| matches!(entry.kind, EntryKind::Competition | EntryKind::Commitment | EntryKind::Receipt);
    entries.iter().filter(ours).map(|entry| entry.key.as_str()).collect()
}

#[tokio::test]
async fn what_happens_is_stated_in_its_order_and_once() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let package = Package::mlp(&[8], 7);
    let first = alice.announce("digits", &package).await.unwrap();
    let again = alice.announce("digits", &package).await.unwrap();
    assert_eq!(first.id, again.id);
    // A squatter who saw the digest comes second, and is seen to.
    let second = bob.announce("digits", &package).await.unwrap();
    for (miner, created) in [(&bob, &second), (&alice, &again)] {
        miner.upload_all(created, &package).await.unwrap();
        miner.complete(&created.id).await.unwrap();
        app.wait_for(&created.id, State::Scored).await;
    }
    settled(&app).await;

    let (checkpoint, entries) = read(&alice, None).await.unwrap();
    assert_eq!(checkpoint.size(), entries.len() as u64);
    let (first, second) = (first.id, second.id);
    let expected = [
        "competition/digits".to_owned(),
        format!("commitment/{first}"),
        format!("commitment/{second}"),
        format!("receipt/{second}"),
        format!("receipt/{first}"),
    ];
    assert_eq!(keys(&entries), expected);
    let view: CompetitionView = alice.get("/api/v1/competitions/digits").await.json().await.unwrap();
    let body = |key: &str| entries.iter().find(|entry| entry.key == key).unwrap().body.clone();
    let published: CompetitionPublished = serde_json::from_value(body("competition/digits")).unwrap();
    assert_eq!((published.competition_sha256, published.hidden_root), (view.sha256, view.competition.hidden_root));
    let commitments = [&first, &second].map(|id| body(&format!("commitment/{id}")));
    let [one, other] = commitments.map(|body| serde_json::from_value::<Commitment>(body).unwrap());
    assert_eq!((one.hotkey, other.hotkey), (alice.hotkey(), bob.hotkey()));
    assert_eq!((one.package_sha256, other.package_sha256), (package.clone().sha256(), package.clone().sha256()));
    assert!(one.arrival < other.arrival);
    let status = alice.status(&first).await;
    let index = entries.iter().position(|entry| entry.key == format!("receipt/{first}"));
    assert_eq!(status.receipt_log_index, index.map(|index| index as u64));
}

/// The statements of one kind, in the log's order.
fn stated<T: serde::de::DeserializeOwned>(entries: &[Envelope], kind: EntryKind) -> Vec<T> {
    let bodies = entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.body.clone());
    bodies.map(|body| serde_json::from_value(body).unwrap()).collect()
}

#[tokio::test]
async fn every_end_but_a_score_is_stated_with_its_code_and_whom_it_blames() {
    let broken = Package::mlp(&[8], 3).with_config(|config| config["labels"] = serde_json::json!(["a", "b"]));
    let evaluator = script(|request, _| match request.order.candidate.weights.len() {
        // One hidden unit: the engine fails with it, whatever is tried.
        length if length < 900 => Err(EvaluationFailure::Infrastructure("no worker".into())),
        _ => scripted_evaluation(&request, 900_000),
    });
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let miner = app.miner(1);
    let late = miner.announce("digits", &Package::mlp(&[8], 1)).await.unwrap().id;
    app.app.clock.advance(601);
    app.wait_for(&late, State::Expired).await;
    let refused = miner.submit(&broken).await.unwrap();
    app.wait_for(&refused, State::Rejected).await;
    let failed = miner.submit(&Package::mlp(&[1], 1)).await.unwrap();
    app.wait_for(&failed, State::Failed).await;
    let gone = scored(&app, 2).await;
    let reason = "sent by mistake".parse().unwrap();
    administration::disqualify(&app.app.db, app.app.hotkey, &gone, reason, app.app.clock.now()).await.unwrap();
    scored(&app, 3).await;
    settled(&app).await;

    let (_, entries) = read(&miner, None).await.unwrap();
    let ends: Vec<Ended> = stated(&entries, EntryKind::Ended);
    let attempts = app.app.config.limits.evaluation_attempts_max;
    let found: Vec<_> = ends.iter().map(|end| (&end.submission, end.state, end.code, end.blame, end.attempt)).collect();
    let expected = [
        (&late, State::Expired, Code::UploadExpired, Blame::Miner, 0),
        (&refused, State::Rejected, Code::LabelsMismatch, Blame::Miner, 0),
        (&failed, State::Failed, Code::Infrastructure, Blame::Validator, attempts),
        (&gone, State::Rejected, Code::Disqualified, Blame::Miner, 1),
    ];
    assert_eq!(found, expected);
    assert!(ends.iter().all(|end| entries.iter().any(|entry| entry.key == end.key())));
}

#[tokio::test]
async fn a_measurement_is_stated_before_it_begins_and_its_seed_opens_with_the_round() {
    // The first time nothing comes of it.
    let failed = AtomicBool::new(false);
    let evaluator = script(move |request, _| match request.truth.teacher_logits {
        None => scripted_evaluation(&request, 960_000),
        Some(_) if request.order.candidate.weights.len() > 5_000 && !failed.swap(true, Ordering::SeqCst) => {
            Err(EvaluationFailure::Infrastructure("no worker".into()))
        }
        Some(_) => scripted_evaluation(&request, 900_000),
    });
    let app = TestApp::with_competition(Setup { evaluator, ..Setup::default() }).await;
    let miner = app.miner(1);
    rounds::wait_for(&app, 1, Step::Open).await;
    let id = rounds::submit(&app, &miner, 20).await;
    let secret = app.app.db.round(&competition("digits"), 1).await.unwrap().unwrap().secret;
    let view = rounds::play(&app, 1).await;
    settled(&app).await;

    let (_, entries) = read(&miner, None).await.unwrap();
    let attempts: Vec<Attempt> = stated(&entries, EntryKind::Attempt);
    let purposes: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.purpose, attempt.round)).collect();
    assert_eq!(purposes[..2], [(1, Purpose::Submission, 1), (2, Purpose::Submission, 1)], "the one that failed, too");
    assert!(purposes[2..].iter().all(|(_, purpose, round)| *purpose != Purpose::Submission && *round == 1));
    assert!(purposes.iter().map(|(number, ..)| *number).eq(1..=attempts.len() as u64), "without gaps: {purposes:?}");

    let receipts: Vec<SignedReceipt> = stated(&entries, EntryKind::Receipt);
    let [signed] = &receipts[..] else { panic!("{} receipts", receipts.len()) };
    assert_eq!((signed.receipt.rules, signed.receipt.subject.attempt), (RULES, 2));
    let seed = signed.receipt.measured.data.seed;
    assert_eq!(attempts[1].seed_sha256, attempt::commitment(seed, &id, 2), "as was stated before");
    let place = |key: &str| entries.iter().position(|entry| entry.key == key).unwrap();
    assert!(place("round/digits/1/opened") < place(&attempts[0].key()));
    assert!(place(&attempts[1].key()) < place(&format!("receipt/{id}")));

    // What nobody but the validator knew before.
    let revealed = miner.get(&format!("/api/v1/objects/sha256/{}", view.reveal.unwrap().sha256)).await;
    let revealed = Reveal::from_bytes(&revealed.bytes().await.unwrap()).unwrap();
    assert_eq!(revealed.secret, secret);
    for stated in &attempts {
        let seed = attempt::seed(revealed.secret.expose(), &id, stated.number);
        assert_eq!(stated.seed_sha256, attempt::commitment(seed, &id, stated.number));
    }
    assert_eq!(seed, attempt::seed(revealed.secret.expose(), &id, 2));
}

#[tokio::test]
async fn the_same_statement_twice_is_one_leaf_and_another_of_its_name_is_refused() {
    let app = TestApp::start(Setup::default()).await;
    let state = async |key: &str, number: u64| {
        let mut tx = app.app.db.write().await.unwrap();
        leaves::enqueue(&mut tx, key, EntryKind::Competition, &serde_json::json!({ "number": number })).await?;
        tx.commit().await.unwrap();
        Ok::<_, DbError>(())
    };
    state("test/1", 1).await.unwrap();
    state("test/1", 1).await.unwrap();
    assert!(matches!(state("test/1", 2).await, Err(DbError::LeafTaken { key }) if key == "test/1"));
    let mut tx = app.app.db.write().await.unwrap();
    let large = leaves::enqueue(&mut tx, "test/2", EntryKind::Competition, &"x".repeat(40_000)).await;
    assert!(matches!(large, Err(DbError::Leaf { .. })), "it would block whatever comes after it");
    drop(tx);
    settled(&app).await;
    let (_, entries) = read(&app.miner(1), None).await.unwrap();
    assert_eq!(keys(&entries), ["test/1"]);
}

/// A store that, once armed, stores a checkpoint and never answers: the moment between log and database. Whoever reads one of
/// its broken objects panics.
#[derive(Debug, Default)]
pub(super) struct Silent {
    inner: InMemory,
    armed: AtomicBool,
    stored: Notify,
    pub(super) broken: OnceLock<Vec<Digest>>,
}

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that falls silent")
    }
}

#[async_trait]
impl ObjectStore for Silent {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        let written = self.inner.put_opts(path, payload, options).await;
        if path.as_ref() == "log/checkpoint" && self.armed.load(Ordering::SeqCst) {
            self.stored.notify_one();
            std::future::pending::<()>().await;
        }
        written
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let broken =
            self.broken.get().is_some_and(|them| them.iter().any(|it| path.as_ref().ends_with(&it.to_string())));
        assert!(!broken, "this panic is part of the test");
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_kill_between_log_and_database_loses_nothing_and_repeats_nothing() {
    let tmp = tempfile::tempdir().unwrap();
    let store = Arc::new(Silent::default());
    let objects = Objects::with_store(store.clone(), None, Path::default(), tmp.path().into()).unwrap();
    let mut app = TestApp::with_competition(Setup { objects: Some(objects), ..Setup::default() }).await;
    app.leave_unfinished();
    settled(&app).await;
    let (before, _) = read(&app.miner(1), None).await.unwrap();

    store.armed.store(true, Ordering::SeqCst);
    let mut announced = Vec::new();
    for seed in 1..4 {
        announced.push(app.miner(seed).announce("digits", &Package::mlp(&[8], u32::from(seed))).await.unwrap().id);
    }
    store.stored.notified().await;
    let (logged, pending) = app.app.db.count_leaves().await.unwrap();
    assert!(logged == before.size() && pending >= 3, "the database knows of none that the log has");
    let (dir, objects) = app.kill().await;
    let stored = store.get(&Path::from("log/checkpoint")).await.unwrap().bytes().await.unwrap();
    let stored = SignedCheckpoint::open(&stored, &log_signer().key()).unwrap();
    assert!(stored.size() > before.size(), "something was appended before the kill");

    store.armed.store(false, Ordering::SeqCst);
    let mut app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.leave_unfinished();
    settled(&app).await;
    let (after, entries) = read(&app.miner(1), Some(&before)).await.unwrap();
    read(&app.miner(1), Some(&stored)).await.unwrap();
    let expected = announced.iter().map(|id| format!("commitment/{id}"));
    let expected: Vec<String> = ["competition/digits".to_owned()].into_iter().chain(expected).collect();
    assert_eq!(keys(&entries), expected);
    assert_eq!(after.size(), entries.len() as u64);
    for (index, entry) in entries.iter().enumerate() {
        let leaf = app.app.db.leaf(&entry.key).await.unwrap().unwrap();
        assert_eq!(leaf.index_in_log, Some(index as u64), "{}", entry.key);
    }
}

async fn execute(app: &TestApp, sql: &'static str) {
    sqlx::query(sql).execute(app.app.db.pool()).await.unwrap();
}

#[tokio::test]
async fn a_database_put_back_from_an_older_copy_learns_what_the_log_states() {
    let app = TestApp::with_competition(Setup::default()).await;
    let id = scored(&app, 1).await;
    // Forty come and go, then one that the older copy knows nothing of.
    execute(&app, "UPDATE sqlite_sequence SET seq = 40 WHERE name = 'submissions'").await;
    let lost = scored(&app, 3).await;
    settled(&app).await;
    let (before, _) = read(&app.miner(1), None).await.unwrap();
    execute(&app, "DELETE FROM log_outbox WHERE key LIKE 'receipt/%' OR key LIKE 'commitment/%'").await;
    execute(&app, "UPDATE submissions SET arrival = 2 WHERE arrival = 41").await;
    execute(&app, "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'submissions'").await;
    let (dir, objects) = app.stop().await;

    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    let learned = format!("receipt/{lost}");
    while app.app.db.leaf(&learned).await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let later = scored(&app, 2).await;
    settled(&app).await;
    let (_, entries) = read(&app.miner(1), Some(&before)).await.unwrap();
    let expected = [
        "competition/digits".to_owned(),
        format!("commitment/{id}"),
        format!("receipt/{id}"),
        format!("commitment/{lost}"),
        format!("receipt/{lost}"),
        format!("commitment/{later}"),
        format!("receipt/{later}"),
    ];
    assert_eq!(keys(&entries), expected);
    let commitments: Vec<Commitment> = stated(&entries, EntryKind::Commitment);
    let arrivals: Vec<u64> = commitments.iter().map(|commitment| commitment.arrival).collect();
    assert_eq!(arrivals, [1, 41, 42], "whoever comes later arrives later");
}

#[tokio::test]
async fn a_log_put_back_from_an_older_copy_is_not_signed_a_second_time() {
    let tmp = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let objects = Objects::with_store(store.clone(), None, Path::default(), tmp.path().into()).unwrap();
    let mut app = TestApp::with_competition(Setup { objects: Some(objects), ..Setup::default() }).await;
    settled(&app).await;
    let checkpoint = Path::from("log/checkpoint");
    let older = store.get(&checkpoint).await.unwrap().bytes().await.unwrap();
    scored(&app, 1).await;
    settled(&app).await;
    app.leave_unfinished();
    let (dir, objects) = app.stop().await;
    store.put(&checkpoint, older.clone().into()).await.unwrap();

    let mut app = TestApp::start_in(dir, Setup { objects: Some(objects), ..Setup::default() }).await;
    app.leave_unfinished();
    // The service goes on; only the log rests until its files are back.
    app.miner(2).announce("digits", &Package::mlp(&[8], 2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(app.app.db.count_leaves().await.unwrap().1 >= 1);
    assert_eq!(store.get(&checkpoint).await.unwrap().bytes().await.unwrap(), older);
    let findings = validator::doctor::examine(&app.app).await;
    let log = findings.iter().find(|finding| finding.name == "public log").unwrap();
    assert!(!log.healthy && log.detail.contains("put its files back"), "{log:?}");
}

#[tokio::test]
async fn a_hole_and_a_changed_byte_in_the_log_are_found_and_named() {
    let tmp = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let objects = Objects::with_store(store.clone(), None, Path::default(), tmp.path().into()).unwrap();
    let app = TestApp::with_competition(Setup { objects: Some(objects), ..Setup::default() }).await;
    scored(&app, 1).await;
    settled(&app).await;
    // While a validator runs, it gives no damaged file away and puts it back.
    app.stop().await;
    let files = StoredLog(&store);
    let size = checked(&files, None).await.unwrap().0.size();

    let bundle = Path::parse(format!("log/tile/entries/000.p/{size}")).unwrap();
    let sound = store.get(&bundle).await.unwrap().bytes().await.unwrap();
    let mut changed = sound.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    store.put(&bundle, changed.into()).await.unwrap();
    let found = checked(&files, None).await.unwrap_err();
    assert!(matches!(&found, VerifyError::EntryChanged { index, .. } if *index == size - 1), "{found:?}");
    store.put(&bundle, sound.into()).await.unwrap();

    store.delete(&Path::parse(format!("log/tile/0/000.p/{size}")).unwrap()).await.unwrap();
    let found = checked(&files, None).await.unwrap_err();
    assert!(matches!(&found, VerifyError::Missing { path } if *path == format!("tile/0/000.p/{size}")), "{found:?}");
}

#[tokio::test]
async fn the_logs_files_are_served_in_one_spelling_and_kept_as_they_may_be() {
    let app = TestApp::with_competition(Setup::default()).await;
    settled(&app).await;
    let miner = app.miner(1);
    let size = read(&miner, None).await.unwrap().0.size();
    let key: LogKey = miner.get("/log/key").await.text().await.unwrap().trim_end().parse().unwrap();
    assert_eq!(key, log_signer().key());

    let checkpoint = miner.get("/log/checkpoint").await;
    assert_eq!(checkpoint.headers()["cache-control"], "no-store");
    assert_eq!(checkpoint.headers()["content-type"], "text/plain; charset=utf-8");
    for tile in [format!("/log/tile/0/000.p/{size}"), format!("/log/tile/entries/000.p/{size}")] {
        let response = miner.get(&tile).await;
        assert_eq!(response.status(), 200, "{tile}");
        assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable", "{tile}");
    }
    for none in [
        "/log/".to_owned(),
        "/log/tile".into(),
        format!("/log/tile/0/0.p/{size}"),
        format!("/log/tile/0/%30%30%30.p/{size}"),
        format!("/log/tile/0/000.p/{}", size + 1),
        format!("/log/tile/0/000.p/0{size}"),
        "/log/tile/0/000".into(),
        "/log/tile/entries/../0/000".into(),
        "/log/checkpoint/".into(),
    ] {
        assert_eq!(miner.get(&none).await.status(), 404, "{none}");
    }
}

#[tokio::test]
async fn a_receipt_verifies_and_nothing_else_does() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let created = miner.announce("digits", &Package::mlp(&[8], 7)).await.unwrap();
    let target = format!("/api/v1/submissions/{}/receipt", created.id);
    assert_eq!(miner.get(&target).await.status(), 404, "not scored yet");
    miner.upload_all(&created, &Package::mlp(&[8], 7)).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;

    let status = miner.status(&created.id).await;
    let bytes = miner.get(&target).await.bytes().await.unwrap();
    assert_eq!(status.receipt, Some(Digest::of(&bytes)));
    let object = miner.get(&format!("/api/v1/objects/sha256/{}", Digest::of(&bytes))).await;
    assert_eq!(object.headers()["content-disposition"], "attachment; filename=\"receipt.json\"");
    assert_eq!(object.bytes().await.unwrap(), bytes);

    let view: CompetitionView = miner.get("/api/v1/competitions/digits").await.json().await.unwrap();
    let (id, sha256) = (&view.competition.manifest.id, Digest::of(&canonical_json(&view.competition).unwrap()));
    let receipt = Receipt::verify(&bytes, &[view.validator], (id, sha256)).unwrap();
    let subject = &receipt.subject;
    assert_eq!((&subject.submission, subject.hotkey), (&created.id, miner.hotkey()));
    assert_eq!(subject.data_root, view.competition.tables.evaluation.sha256);
    let outcomes = miner.get(&format!("/api/v1/objects/sha256/{}", subject.outcomes_sha256)).await;
    assert_eq!(outcomes.status(), 200);
    let report = miner.get(&format!("/api/v1/objects/sha256/{}", receipt.measured.report_sha256)).await;
    let report: Report = report.json().await.unwrap();
    assert_eq!(receipt.covers(&report), Ok(()));

    let mut changed = bytes.to_vec();
    let digit = String::from_utf8(changed.clone()).unwrap().find("\"items\":1").unwrap() + 8;
    changed[digit] = b'2';
    let refused = Receipt::verify(&changed, &[validator_hotkey()], (id, sha256)).unwrap_err();
    assert!(refused.to_string().starts_with("the receipt was changed, or not signed by"), "{refused}");
    let stranger = Keypair::from_seed(&[9; 32]).hotkey();
    let refused = Receipt::verify(&bytes, &[stranger], (id, sha256)).unwrap_err();
    assert!(refused.to_string().ends_with("which is not a known validator"), "{refused}");
    let other: CompetitionId = "letters".parse().unwrap();
    let refused = Receipt::verify(&bytes, &[validator_hotkey()], (&other, sha256)).unwrap_err();
    assert!(matches!(refused, ReceiptError::ForeignCompetition { .. }), "{refused}");
    assert!(refused.to_string().contains("belongs to competition digits"), "{refused}");
}
