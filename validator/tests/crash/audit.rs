//! What must be true of a directory whose process was just killed, and of one that came to rest.

use super::miners::Miner;
use super::service::Arena;
use object_store::local::LocalFileSystem;
use protocol::submission::State;
use protocol::{Digest, SubmissionId};
use sqlx::Row;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use transparency::{Envelope, LogStore, LogView, SignedCheckpoint, verify_entries};
use validator::db::Db;
use validator::log::LOG_PREFIX;

/// What was found, for the report.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) submissions: u64,
    pub(crate) scored: u64,
    pub(crate) log_entries: u64,
    pub(crate) objects: u64,
}

/// Looks at what a killed process left: the database is whole, everything acknowledged is there, nothing is there twice,
/// no row names an object that isn't there.
pub(crate) async fn after_a_kill(arena: &Arena, miners: &[Miner]) {
    let (_dir, path) = arena.database_copy();
    if !path.exists() {
        return;
    }
    let db = Db::open(&path).await.unwrap();
    intact(&db).await;
    acknowledged(&db, miners).await;
    once(&db).await;
    let stored = files(arena);
    for named in must_exist(&db).await {
        assert!(stored.contains(&named), "a row names the object {named}, which isn't there");
    }
    db.close().await;
}

async fn intact(db: &Db) {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(db.pool()).await.unwrap();
    assert_eq!(found, ["ok"]);
    let foreign = sqlx::query("PRAGMA foreign_key_check").fetch_all(db.pool()).await.unwrap();
    assert!(foreign.is_empty(), "rows without the rows that they belong to");
}

async fn states(db: &Db) -> HashMap<SubmissionId, State> {
    let rows = sqlx::query("SELECT id, state FROM submissions").fetch_all(db.pool()).await.unwrap();
    let state = |row: sqlx::sqlite::SqliteRow| {
        (row.get::<&str, _>("id").parse().unwrap(), row.get::<&str, _>("state").parse().unwrap())
    };
    rows.into_iter().map(state).collect()
}

async fn acknowledged(db: &Db, miners: &[Miner]) {
    let states = states(db).await;
    let stored: HashSet<(String, String)> =
        sqlx::query_as("SELECT submission_id, path FROM submission_files WHERE stored = 1")
            .fetch_all(db.pool())
            .await
            .unwrap()
            .into_iter()
            .collect();
    for entry in miners.iter().flat_map(|miner| &miner.entries) {
        let Some(id) = &entry.id else { continue };
        let state = states.get(id).unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
        if entry.completed {
            assert!(*state != State::AwaitingUpload, "{id} was acknowledged as complete and is {state}");
        }
        for path in &entry.uploaded {
            assert!(stored.contains(&(id.to_string(), path.clone())), "{path} of {id} was acknowledged and is lost");
        }
        assert!(![State::Failed, State::Expired].contains(state), "{id}, an honest one, is {state}");
    }
}

/// Each submission has one result at most, and one row says so in the order of what happened.
async fn once(db: &Db) {
    let twice = "SELECT submission_id FROM events WHERE to_state = 'scored' GROUP BY submission_id HAVING count(*) > 1";
    let twice: Vec<String> = sqlx::query_scalar(twice).fetch_all(db.pool()).await.unwrap();
    assert!(twice.is_empty(), "scored twice: {twice:?}");
    let unequal = "SELECT count(*) FROM submissions s LEFT JOIN evaluations e ON e.submission_id = s.id
                   WHERE (s.state = 'scored') != (e.submission_id IS NOT NULL)";
    let unequal: i64 = sqlx::query_scalar(unequal).fetch_one(db.pool()).await.unwrap();
    assert_eq!(unequal, 0, "a score without a result, or a result without a score");
    let unstated = "SELECT count(*) FROM evaluations e WHERE NOT EXISTS
                    (SELECT 1 FROM log_outbox o WHERE o.key = 'receipt/' || e.submission_id)";
    let unstated: i64 = sqlx::query_scalar(unstated).fetch_one(db.pool()).await.unwrap();
    assert_eq!(unstated, 0, "a result that isn't stated");
}

/// Objects that rows promise: what miners may download, stored uploads, results.
async fn must_exist(db: &Db) -> HashSet<Digest> {
    let mut named = HashSet::new();
    for sql in [
        "SELECT sha256 FROM public_objects",
        "SELECT sha256 FROM submission_files WHERE stored = 1",
        "SELECT sha256 FROM published_files",
        "SELECT report_sha256 FROM evaluations",
        "SELECT logits_sha256 FROM evaluations",
        "SELECT outcomes_sha256 FROM evaluations",
        "SELECT probe_logits_sha256 FROM evaluations",
        "SELECT receipt_sha256 FROM evaluations",
        "SELECT fingerprint_sha256 FROM fingerprints WHERE fingerprint_sha256 IS NOT NULL",
        "SELECT fingerprint_sha256 FROM copy_entries",
        "SELECT pool_sha256 FROM competitions",
        "SELECT teacher_logits_sha256 FROM copy_probes",
    ] {
        let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(db.pool()).await.unwrap();
        named.extend(found.iter().map(|sha256| sha256.parse::<Digest>().unwrap()));
    }
    named
}

/// The objects in the folder; what has another name than a digest is no object.
fn files(arena: &Arena) -> HashSet<Digest> {
    let Ok(entries) = std::fs::read_dir(arena.home.objects().join("sha256")) else { return HashSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The log on disk goes on from what was seen before; gives what is to be remembered.
pub(crate) async fn log_goes_on(arena: &Arena, seen: Option<SignedCheckpoint>) -> Option<SignedCheckpoint> {
    let key = arena.home.log_signer().unwrap().key();
    if !arena.home.objects().join(LOG_PREFIX).join("checkpoint").exists() {
        assert!(seen.is_none_or(|seen| seen.size() == 0), "the log is gone");
        return None;
    }
    let store = Arc::new(LocalFileSystem::new_with_prefix(arena.home.objects()).unwrap());
    let view = LogView::open(store, LOG_PREFIX, &key).await.unwrap();
    if let Some(seen) = seen.filter(|seen| seen.size() > 0) {
        let proof = view.prove_consistency(seen.size()).await.unwrap();
        view.checkpoint().follows(&seen, &proof).unwrap();
    }
    Some(view.checkpoint().clone())
}

/// Looks at a directory in which everything is done and swept: everybody has one answer, and nothing lies about.
pub(crate) async fn at_rest(arena: &Arena, miners: &[Miner]) -> Audit {
    after_a_kill(arena, miners).await;
    let (_dir, path) = arena.database_copy();
    let db = Db::open(&path).await.unwrap();
    let states = states(&db).await;
    let open: Vec<_> = states.iter().filter(|(_, state)| !state.is_terminal()).collect();
    assert!(open.is_empty(), "never done: {open:?}");

    // Objects: all that are named, nothing else, and each has its bytes.
    let (stored, named) = (files(arena), db.named_objects().await.unwrap());
    let orphans: Vec<_> = stored.difference(&named).collect();
    assert!(orphans.is_empty(), "objects that no row names: {orphans:?}");
    for sha256 in &stored {
        let bytes = std::fs::read(arena.home.objects().join("sha256").join(sha256.to_string())).unwrap();
        assert_eq!(Digest::of(&bytes), *sha256);
    }
    assert_eq!(odd_files(arena), Vec::<String>::new());

    // The log: each statement once, in the log and in the database alike. Rounds go on by the clock: one may have closed
    // in the moment of the stop, or measured somebody, and its leaf is still to come.
    let stated = stated(arena).await;
    let outbox = "SELECT key, index_in_log FROM log_outbox
                  WHERE index_in_log IS NOT NULL OR key NOT LIKE 'round/%' AND key NOT LIKE 'attempt/%'";
    let outbox: Vec<(String, i64)> = sqlx::query_as(outbox).fetch_all(db.pool()).await.unwrap();
    let outbox: BTreeMap<String, u64> = outbox.into_iter().map(|(key, index)| (key, index as u64)).collect();
    assert_eq!(stated, outbox);
    for (id, state) in &states {
        assert!(stated.contains_key(&format!("commitment/{id}")), "{id} isn't committed to");
        let scored = *state == State::Scored;
        assert_eq!(stated.contains_key(&format!("receipt/{id}")), scored, "{id} is {state}");
        assert_eq!(stated.contains_key(&format!("ended/{id}/1")), !scored, "{id} is {state}");
        assert!(!scored || stated.contains_key(&format!("attempt/{id}/1")), "{id} was measured in silence");
    }
    paid(arena, &db).await;
    db.close().await;
    let scored = states.values().filter(|state| **state == State::Scored).count() as u64;
    let (log_entries, objects) = (stated.len() as u64, stored.len() as u64);
    Audit { submissions: states.len() as u64, scored, log_entries, objects }
}

/// Files in the store or beside it that are neither objects nor the log's.
fn odd_files(arena: &Arena) -> Vec<String> {
    let (mut folders, mut odd) = (vec![arena.home.objects(), arena.home.tmp()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains('#') || path.starts_with(arena.home.tmp()) {
                odd.push(name);
            }
        }
    }
    odd
}

/// Every entry of the log by its name, after all of the log was verified.
async fn stated(arena: &Arena) -> BTreeMap<String, u64> {
    let store = Arc::new(LocalFileSystem::new_with_prefix(arena.home.objects()).unwrap());
    let (files, key) = (LogStore::new(store, LOG_PREFIX).unwrap(), arena.home.log_signer().unwrap().key());
    let mut stated = BTreeMap::new();
    let verified = verify_entries(&files, &key, None, |index, bytes| {
        let key = Envelope::parse(bytes).unwrap().key;
        assert!(stated.insert(key.clone(), index).is_none(), "{key} is stated twice");
    });
    verified.await.unwrap();
    stated
}

/// The ledger has the weights of every paid round, and no others.
async fn paid(arena: &Arena, db: &Db) {
    use chain::Ledger;
    let ledger = chain::LocalLedger::open(&arena.home.ledger(), arena.home.keypair().unwrap()).unwrap();
    for stored in db.competitions().await.unwrap() {
        for round in db.rounds(&stored.competition.manifest.id).await.unwrap() {
            let Some(epoch) = round.epoch else { continue };
            let expected: Vec<_> = round.record.weights.iter().map(|w| (w.hotkey, w.weight_ppm)).collect();
            if round.step >= protocol::round::Step::Paid {
                assert_eq!(ledger.weights(epoch).unwrap(), Some(expected));
            }
        }
    }
}
