//! Killed at what is on no submission's way: tokens, webhooks, revisions of the Hub, requests that are sent again, and
//! what becomes of a round's measurement that fails. All of a change is there afterwards, or nothing; what somebody was
//! told stays true, and what wasn't told is told again.

use super::acts::scored_in;
use super::miners::{Failed, Miner};
use super::service::Arena;
use crate::support::Package;
use crate::webhooks::Receiver;
use protocol::round::Step;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;
use validator::db::Db;
use validator::failpoints::{Change, Moment, Point};

/// Where these tests kill.
pub(super) const POINTS: [Point; 20] = [
    Point::Written(Change::Token),
    Point::Committed(Change::Token),
    Point::At(Moment::TokenRevoked),
    Point::Written(Change::Webhook),
    Point::Committed(Change::Webhook),
    Point::At(Moment::WebhookDelivered),
    Point::At(Moment::WebhookTold),
    Point::At(Moment::WebhookMissed),
    Point::At(Moment::WebhookRemoved),
    Point::Written(Change::HubRevision),
    Point::Committed(Change::HubRevision),
    Point::Written(Change::Withdrawal),
    Point::Committed(Change::Withdrawal),
    Point::Written(Change::Name),
    Point::Committed(Change::Name),
    Point::Written(Change::Repeat),
    Point::Committed(Change::Repeat),
    Point::At(Moment::RoundAttempt),
    Point::Written(Change::Round(Step::Abandoned)),
    Point::Committed(Change::Round(Step::Abandoned)),
];

const KILLED_WITHIN: Duration = Duration::from_secs(60);
const TOKENS: &str = "/api/v1/tokens";
const WEBHOOKS: &str = "/api/v1/webhooks";

/// Serves until the process kills itself at `point`, which something in `busy` makes it come to.
async fn killed_at(arena: &Arena, point: Point, busy: impl AsyncFnOnce(&str)) {
    let (mut process, base) = arena.serve_within(KILLED_WITHIN, &format!("{point}=return(kill)")).await;
    let base = base.unwrap_or_else(|| panic!("{point}: it doesn't listen: {}", process.stderr()));
    busy(&base).await;
    let ended = process.ended(KILLED_WITHIN).await;
    assert_eq!(ended.and_then(|status| status.signal()), Some(9), "{point}: {}", process.stderr());
    assert!(arena.orphans().await.is_empty(), "{point}");
}

/// Serves while `look` looks.
async fn alive<T>(arena: &Arena, look: impl AsyncFnOnce(&str) -> T) -> T {
    let (process, base) = arena.serve().await;
    let found = look(&base).await;
    assert!(process.stop().await.success());
    found
}

/// What the database counts.
async fn count(arena: &Arena, sql: &str) -> i64 {
    let db = Db::open(&arena.home.database()).await.unwrap();
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(db.pool()).await.unwrap();
    db.close().await;
    count
}

/// A request that gets no answer, because it kills.
async fn gone(miner: &Miner, method: Method, base: &str, target: &str, body: Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = miner.ask(method, base, target, body).await;
    assert!(matches!(answer, Err(Failed::Gone)), "{answer:?}");
}

async fn listed(miner: &Miner, base: &str, target: &str) -> Vec<Value> {
    let Value::Array(listed) = miner.ask(Method::GET, base, target, Vec::new()).await.unwrap() else {
        panic!("a list")
    };
    listed
}

#[tokio::test]
async fn a_token_that_is_cut_off_is_listed_or_isn_t_there_and_a_revoked_one_stays_revoked() {
    let (arena, miner, _) = scored_in(Arena::new("")).await;
    let request = json!({ "label": "laptop", "expires_in_seconds": 3600 });
    for (point, there) in [(Point::Written(Change::Token), 0), (Point::Committed(Change::Token), 1)] {
        killed_at(&arena, point, async |base| gone(&miner, Method::POST, base, TOKENS, request.clone()).await).await;
        let tokens = alive(&arena, async |base| listed(&miner, base, TOKENS).await).await;
        assert_eq!(tokens.len(), there, "{point}");
    }
    let made = alive(&arena, async |base| {
        miner.ask(Method::POST, base, TOKENS, request.to_string().into_bytes()).await.unwrap()
    });
    let made = made.await;
    let target = format!("{TOKENS}/{}", made["id"].as_str().unwrap());
    let point = Point::At(Moment::TokenRevoked);
    killed_at(&arena, point, async |base| gone(&miner, Method::DELETE, base, &target, Value::Null).await).await;
    alive(&arena, async |base| {
        assert_eq!(listed(&miner, base, TOKENS).await.len(), 1, "the one whose answer was lost");
        let who = reqwest::Client::new().get(format!("{base}/api/whoami-v2"));
        let answer = who.bearer_auth(made["token"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), 401);
    })
    .await;
}

/// A directory where webhooks may lead to this machine.
async fn with_webhooks() -> (Arena, Miner) {
    let arena = Arena::new("");
    let settings = std::fs::read_to_string(arena.home.config()).unwrap();
    std::fs::write(arena.home.config(), format!("webhooks_private = true\n{settings}")).unwrap();
    let (arena, miner, _) = scored_in(arena).await;
    (arena, miner)
}

#[tokio::test]
async fn a_webhook_that_is_cut_off_is_registered_or_isn_t_and_a_forgotten_one_stays_forgotten() {
    let (arena, miner) = with_webhooks().await;
    let url = Receiver::default().listen().await;
    let request = json!({ "url": url });
    for (point, there) in [(Point::Written(Change::Webhook), 0), (Point::Committed(Change::Webhook), 1)] {
        killed_at(&arena, point, async |base| gone(&miner, Method::POST, base, WEBHOOKS, request.clone()).await).await;
        let webhooks = alive(&arena, async |base| listed(&miner, base, WEBHOOKS).await).await;
        assert_eq!(webhooks.len(), there, "{point}");
    }
    let id = alive(&arena, async |base| listed(&miner, base, WEBHOOKS).await[0]["id"].as_str().unwrap().to_owned());
    let target = format!("{WEBHOOKS}/{}", id.await);
    let point = Point::At(Moment::WebhookRemoved);
    killed_at(&arena, point, async |base| gone(&miner, Method::DELETE, base, &target, Value::Null).await).await;
    assert!(alive(&arena, async |base| listed(&miner, base, WEBHOOKS).await).await.is_empty());
}

/// Enters a package; the process may die meanwhile.
async fn enter(miner: &mut Miner, base: &str, seed: u32) {
    miner.begin("digits", Package::mlp(&[8], seed));
    while let Err(Failed::Refused { status: 404, .. }) = miner.go_on(base).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How often each message came.
fn came(receiver: &Receiver) -> BTreeMap<u64, usize> {
    let mut came = BTreeMap::new();
    for message in receiver.messages().iter().filter(|message| message["type"] != "retort.challenge") {
        *came.entry(message["data"]["id"].as_u64().unwrap()).or_insert(0) += 1;
    }
    came
}

#[tokio::test]
async fn a_receiver_hears_everything_at_least_once_and_what_is_written_down_only_once() {
    let (arena, mut miner) = with_webhooks().await;
    let receiver = Receiver::default();
    let request = json!({ "url": receiver.listen().await }).to_string().into_bytes();
    alive(&arena, async |base| miner.ask(Method::POST, base, WEBHOOKS, request).await.unwrap()).await;
    let mut heard = 0;
    for (seed, point) in [(21, Moment::WebhookDelivered), (22, Moment::WebhookTold), (23, Moment::WebhookMissed)] {
        let point = Point::At(point);
        let missed = point == Point::At(Moment::WebhookMissed);
        *receiver.refuses.lock().unwrap() = u32::from(missed);
        killed_at(&arena, point, async |base| enter(&mut miner, base, seed).await).await;
        if missed {
            let failures = "SELECT count(*) FROM webhooks WHERE failures = 1 AND retry_at > 0";
            assert_eq!(count(&arena, failures).await, 1);
        }
        let (process, base) = arena.serve().await;
        if !miner.entries.last().unwrap().completed {
            miner.go_on(&base).await.unwrap();
        }
        arena.until_done(&miner, &base).await;
        // Every step of one submission: awaiting_upload, checking, queued, evaluating, scored.
        heard += 5;
        let began = std::time::Instant::now();
        let behind = "SELECT count(*) FROM webhooks WHERE cursor < (SELECT max(id) FROM feed)";
        while came(&receiver).len() < heard || count(&arena, behind).await > 0 {
            assert!(began.elapsed() < KILLED_WITHIN, "{point}: {:?}", came(&receiver));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(process.stop().await.success());
        // The one that was delivered and not written down.
        let again = came(&receiver).values().map(|count| count - 1).sum::<usize>();
        assert_eq!(again, 1, "{point}: {:?}", came(&receiver));
    }
}

#[tokio::test]
async fn a_revision_that_is_cut_off_is_made_again_and_is_the_same() {
    let (arena, miner, _) = scored_in(Arena::new("")).await;
    // Cards name the address, which is another at each start unless the settings say one.
    let settings = std::fs::read_to_string(arena.home.config()).unwrap();
    std::fs::write(
        arena.home.config(),
        format!("public_url = \"https://validator.example\"\nregistration = \"open\"\n{settings}"),
    )
    .unwrap();
    let info = "/api/models/teachers/digits";
    let rows = "SELECT count(*) FROM hub_revisions";
    let mut commits = Vec::new();
    for (point, there) in [(Point::Written(Change::HubRevision), 0), (Point::Committed(Change::HubRevision), 1)] {
        killed_at(&arena, point, async |base| {
            assert!(matches!(miner.get(base, info).await, Err(Failed::Gone)), "{point}");
        })
        .await;
        assert_eq!(count(&arena, rows).await, there, "{point}");
        // What a killed process stored for nothing is swept; what it wrote down stays whole.
        arena.sweep().await;
        alive(&arena, async |base| {
            let told: Value = serde_json::from_slice(&miner.get(base, info).await.unwrap()).unwrap();
            for file in told["siblings"].as_array().unwrap() {
                let target = format!("/teachers/digits/resolve/main/{}", file["rfilename"].as_str().unwrap());
                miner.get(base, &target).await.unwrap();
            }
            commits.push(told["sha"].as_str().unwrap().to_owned());
        })
        .await;
        if there == 0 {
            let db = Db::open(&arena.home.database()).await.unwrap();
            sqlx::query("DELETE FROM hub_revisions").execute(db.pool()).await.unwrap();
            db.close().await;
        }
    }
    assert_eq!(commits[0], commits[1]);
}

#[tokio::test]
async fn a_request_s_key_that_is_cut_off_stands_for_its_submission_or_for_nothing() {
    let (arena, miner, id) = scored_in(Arena::new("")).await;
    let package = miner.entries[0].package.clone();
    let keys = "SELECT count(*) FROM idempotency_keys";
    for (point, there) in [(Point::Written(Change::Repeat), 0), (Point::Committed(Change::Repeat), 1)] {
        killed_at(&arena, point, async |base| {
            let answer = miner.announce_as("once", base, "digits", &package).await;
            assert!(matches!(answer, Err(Failed::Gone)), "{answer:?}");
        })
        .await;
        assert_eq!(count(&arena, keys).await, there, "{point}");
    }
    alive(&arena, async |base| {
        let again = miner.announce_as("once", base, "digits", &package).await.unwrap();
        assert_eq!(again.id, id);
        let other = miner.announce_as("once", base, "digits", &Package::mlp(&[8], 9)).await;
        let Err(Failed::Refused { status: 422, problem }) = other else { panic!("{other:?}") };
        assert_eq!(problem.code, "idempotency_key_reused");
    })
    .await;
}

#[tokio::test]
async fn a_submission_whose_withdrawal_is_cut_off_waits_or_is_withdrawn() {
    let (arena, miner, _) = scored_in(Arena::new("")).await;
    let withdrawn = "SELECT count(*) FROM submissions WHERE state = 'withdrawn'";
    let package = Package::mlp(&[8], 9);
    for (point, there) in [(Point::Written(Change::Withdrawal), 0), (Point::Committed(Change::Withdrawal), 1)] {
        killed_at(&arena, point, async |base| {
            let created = miner.announce_as("waits", base, "digits", &package).await.unwrap();
            let target = format!("/api/v1/submissions/{}/withdraw", created.id);
            gone(&miner, Method::POST, base, &target, Value::Null).await;
        })
        .await;
        assert_eq!(count(&arena, withdrawn).await, there, "{point}");
    }
}

#[tokio::test]
async fn a_name_whose_giving_is_cut_off_is_given_or_free() {
    let (arena, miner, _) = scored_in(Arena::new("")).await;
    let names = "SELECT count(*) FROM names";
    for (point, there) in [(Point::Written(Change::Name), 0), (Point::Committed(Change::Name), 1)] {
        killed_at(&arena, point, async |base| {
            gone(&miner, Method::POST, base, "/api/v1/names", json!({ "name": "small nets" })).await;
        })
        .await;
        assert_eq!(count(&arena, names).await, there, "{point}");
    }
}

#[tokio::test]
async fn a_round_that_is_called_closes_and_a_failed_measurement_in_it_is_counted_and_repeated() {
    let arena = Arena::new("");
    arena.add("digits", |toml| toml.replace("[limits]", "rounds.seconds = 86400\nrounds.items = 20\n\n[limits]"));
    let mut miner = Miner::new(1, &arena);
    let open = "SELECT count(*) FROM rounds WHERE step = 'open' AND closes_at > unixepoch()";
    // Width 5 fails the first time that a process measures it, and so it does in a round after a restart.
    alive(&arena, async |base| {
        for seed in 1..=3 {
            miner.begin("digits", Package::random(&[5], seed));
            while miner.go_on(base).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        arena.until_done(&miner, base).await;
        // A round takes what was announced in an earlier second than that in which it is called.
        let settled = "SELECT max(created_at) < unixepoch() FROM submissions";
        let began = std::time::Instant::now();
        while count(&arena, open).await == 0 || count(&arena, settled).await == 0 {
            assert!(began.elapsed() < KILLED_WITHIN, "no round opens");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let mut process = arena.spawn(&["close", "digits"], &format!("{}=return(kill)", Point::Committed(Change::Act)));
    let ended = process.ended(KILLED_WITHIN).await;
    assert_eq!(ended.and_then(|status| status.signal()), Some(9), "{}", process.stderr());
    assert_eq!(count(&arena, open).await, 0);
    killed_at(&arena, Point::At(Moment::RoundAttempt), async |_| ()).await;
    let attempts = "SELECT coalesce(max(attempts), 0) FROM round_entries";
    assert_eq!(count(&arena, attempts).await, 1);
    let (process, _) = arena.serve().await;
    let measured = "SELECT count(*) FROM round_entries WHERE attempts = 2 AND result IS NOT NULL";
    let began = std::time::Instant::now();
    while count(&arena, measured).await == 0 {
        assert!(began.elapsed() < KILLED_WITHIN, "it is never measured: {}", process.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(process.stop().await.success());
}

#[tokio::test]
async fn a_round_whose_beacon_never_came_is_abandoned_once_and_the_next_one_opens() {
    let arena = Arena::new("");
    arena.add("digits", |toml| {
        toml.replace("rounds.beacon = \"ledger\"", "rounds = { beacon = \"drand\", seconds = 1, items = 20 }")
    });
    let until = async |sql: &str| {
        let began = std::time::Instant::now();
        while count(&arena, sql).await == 0 {
            assert!(began.elapsed() < KILLED_WITHIN, "never: {sql}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    alive(&arena, async |_| until("SELECT count(*) FROM rounds WHERE step = 'closed'").await).await;
    // Drand comes half a minute after the close; nobody waits for it here.
    let db = Db::open(&arena.home.database()).await.unwrap();
    let past = "UPDATE rounds SET record = json_set(record, '$.wait.due_at', 1, '$.wait.abandoned_at', 2)";
    sqlx::query(past).execute(db.pool()).await.unwrap();
    db.close().await;
    let abandoned = "SELECT count(*) FROM rounds WHERE step = 'abandoned'";
    for (point, there) in
        [(Point::Written(Change::Round(Step::Abandoned)), 0), (Point::Committed(Change::Round(Step::Abandoned)), 1)]
    {
        killed_at(&arena, point, async |_| ()).await;
        assert_eq!(count(&arena, abandoned).await, there, "{point}");
    }
    alive(&arena, async |_| until("SELECT count(*) FROM rounds WHERE round = 2").await).await;
    let leaves = "SELECT count(*) FROM log_outbox WHERE key = 'round/digits/1/abandoned'";
    assert_eq!((count(&arena, abandoned).await, count(&arena, leaves).await), (1, 1));
}
