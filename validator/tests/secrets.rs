//! What must never be seen: secrets in logs, whatever their level, and what lies behind the edge in answers.

use super::support::{Package, Setup, TestApp, accept, validator_keypair};
use protocol::submission::State;
use std::fmt::Write;
use std::process::Command;

const TOKEN: &str = "correct-horse-battery-staple";
/// Says where the child of the test puts the secrets that it knew.
const SECRETS_FILE: &str = "TEST_SECRETS_FILE";

/// The logs of a whole process, of every thread and library, at the finest level: a child runs the journey.
#[test]
fn no_secret_is_logged_on_a_whole_journey_at_the_finest_level() {
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["secrets::journey_of_the_child", "--exact", "--ignored", "--nocapture"])
        .env("RUST_LOG", "trace")
        .env(SECRETS_FILE, &secrets)
        .output()
        .unwrap();
    let logged = [child.stdout, child.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(child.status.success(), "{}", &logged[logged.len().saturating_sub(4_000)..]);
    for word in ["TRACE", "scored submission", "received a file", "/api/v1/uploads/…"] {
        assert!(logged.contains(word), "{word} is missing, so the logs weren't seen");
    }
    let secrets = std::fs::read_to_string(secrets).unwrap();
    assert!(secrets.lines().count() >= 8, "{secrets}");
    for line in secrets.lines() {
        let (what, secret) = line.split_once(' ').unwrap();
        let at = logged.find(secret);
        let around = at.map(|at| logged[at.saturating_sub(200)..at].to_owned());
        assert!(at.is_none(), "{what} is in the logs, after: {}", around.unwrap_or_default());
    }
}

/// What the test above runs in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs as the child of another test"]
async fn journey_of_the_child() {
    let Some(file) = std::env::var_os(SECRETS_FILE) else { return };
    let mut setup = Setup::default();
    setup.config.operator_token = TOKEN.into();
    let app = TestApp::with_competition(setup).await;
    // Whatever prints the parts of a validator.
    tracing::info!(config = ?app.app.config, log = ?app.app.log, db = ?app.app.db, "settings of the test");
    let miner = app.miner(1);
    let mut package = Package::mlp(&[8], 7);
    let created = miner.announce("digits", &package).await.unwrap();
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    let stored = app.app.db.competition(&super::support::competition("digits")).await.unwrap().unwrap();
    let round = loop {
        match app.app.db.latest_round(&super::support::competition("digits")).await.unwrap() {
            Some(round) => break round,
            None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    };
    tracing::info!(?stored, ?round, "what is stored");
    let guess = "a-guess-of-a-stranger";
    for (token, target, status) in [
        (TOKEN, "/api/v1/operator", 200),
        (TOKEN, "/operator", 200),
        (TOKEN, "/metrics", 200),
        (guess, "/metrics", 403),
    ] {
        let request = miner.http.get(app.url(target)).header("authorization", format!("Bearer {token}"));
        assert_eq!(request.send().await.unwrap().status(), status, "{target}");
    }
    let act = app.url(&format!("/api/v1/operator/submissions/{}/disqualify", created.id));
    let act = miner.http.post(act).header("authorization", format!("Bearer {TOKEN}")).body(r#"{"reason":"test"}"#);
    assert_eq!(act.send().await.unwrap().status(), 200);
    let refused = miner.http.put(app.url("/api/v1/uploads/0123456789abcdef0123456789abcdef")).body("x");
    assert_eq!(refused.send().await.unwrap().status(), 404);

    let mut secrets = String::new();
    let mut secret = |what: &str, text: &str| writeln!(secrets, "{what} {text}").unwrap();
    secret("operator-token", TOKEN);
    secret("guessed-token", "a-guess-of-a-stranger");
    secret("token-of-no-upload", "0123456789abcdef0123456789abcdef");
    for upload in &created.uploads {
        secret("upload-token", upload.url.rsplit('/').next().unwrap());
    }
    for (what, bytes) in [
        ("hotkey-seed", [0xff_u8; 32]),
        ("log-seed", [0xee; 32]),
        ("split-key", stored.split_key),
        ("salt", stored.salt),
        ("round-secret", *round.secret.expose()),
    ] {
        secret(what, &hex::encode(bytes));
        // As a list of numbers, which is how bytes are printed.
        let list: Vec<String> = bytes[..8].iter().map(u8::to_string).collect();
        secret(what, &list.join(", "));
    }
    let weights = hex::encode(&package.file("model.safetensors")[200..232]);
    secret("bytes-of-a-model", &weights);
    assert!(!format!("{:?}", validator_keypair()).contains("ff, ff"));
    std::fs::write(file, secrets).unwrap();
}

/// Words that only the inside of the service says.
const INSIDE: [&str; 14] = [
    "SELECT",
    "INSERT",
    "sqlite",
    "sqlx",
    "/home",
    "/root",
    "/tmp",
    "/work",
    ".rs:",
    "panicked",
    "backtrace",
    "no such",
    "database",
    "object_store",
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_failures_of_ours_tell_nothing_of_the_inside() {
    let mut app = TestApp::with_competition(Setup::default()).await;
    app.leave_unfinished();
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let scored = miner.submit(&package).await.unwrap();
    app.wait_for(&scored, State::Scored).await;
    let created = miner.announce("digits", &Package::mlp(&[8], 8)).await.unwrap();
    // Readers find a column missing, which is an error of SQL for some and a panic for others.
    for table in ["submissions", "evaluations", "public_objects", "competitions"] {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(app.app.db.pool())
            .await
            .unwrap();
        for column in columns.iter().filter(|column| !["id", "sha256", "submission_id"].contains(&column.as_str())) {
            let rename = format!("ALTER TABLE {table} RENAME COLUMN {column} TO x_{column}");
            // The names come from the database itself.
            sqlx::query(sqlx::AssertSqlSafe(rename)).execute(app.app.db.pool()).await.unwrap();
        }
    }
    app.app.board.changed(&super::support::competition("digits"));
    let body = serde_json::json!({ "competition": "digits", "files": Package::mlp(&[8], 9).declarations() });
    let mut answers = vec![miner.post("/api/v1/submissions", body.to_string().into_bytes()).await];
    answers.push(miner.http.put(app.url(&created.uploads[0].url)).body("x").send().await.unwrap());
    let object = protocol::Digest::of(&package.files[0].1);
    for target in [
        "/api/v1/competitions".to_owned(),
        "/api/v1/competitions/digits".to_owned(),
        "/api/v1/competitions/digits/leaderboard".to_owned(),
        "/api/v1/competitions/digits/rounds".to_owned(),
        format!("/api/v1/submissions/{scored}"),
        format!("/api/v1/submissions/{scored}/receipt"),
        format!("/api/v1/objects/sha256/{object}"),
        format!("/submissions/{scored}"),
        "/competitions/digits".to_owned(),
        "/".to_owned(),
        "/metrics".to_owned(),
    ] {
        answers.push(miner.get(&target).await);
    }
    let mut failures = 0;
    for answer in answers {
        let (url, status) = (answer.url().path().to_owned(), answer.status().as_u16());
        let text = answer.text().await.unwrap();
        failures += u32::from(status >= 500);
        for word in INSIDE {
            assert!(!text.contains(word), "{url} answers {status} with {word:?}: {text}");
        }
        if status >= 500 {
            let problem: protocol::api::Problem = serde_json::from_str(&text).unwrap();
            assert_eq!((problem.status, problem.code.as_str()), (status, "internal"), "{url}");
        }
    }
    assert!(failures >= 8, "only {failures} failed, so this test sees too little");
}

#[tokio::test]
async fn what_is_private_looks_as_if_it_were_not_there() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));
    let mut package = Package::mlp(&[8], 7);
    let created = alice.announce("digits", &package).await.unwrap();
    alice.upload_all(&created, &package).await.unwrap();
    let stored = app.app.db.competition(&super::support::competition("digits")).await.unwrap().unwrap();
    let nothing = protocol::Digest::of(b"nothing");
    let about = async |digest: &protocol::Digest| {
        let target = format!("/api/v1/objects/sha256/{digest}");
        let response = bob.get(&target).await;
        let names: Vec<String> = response.headers().keys().map(ToString::to_string).collect();
        (response.status(), names, response.text().await.unwrap())
    };
    let missing = about(&nothing).await;
    assert_eq!(missing.0, 404);
    for (what, digest) in [
        ("the hidden pool", stored.pool_sha256),
        ("an upload before its score", protocol::Digest::of(package.file("model.safetensors"))),
    ] {
        assert_eq!(about(&digest).await, missing, "{what}");
    }
    let none: protocol::SubmissionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let mut details = Vec::new();
    for id in [&created.id, &none] {
        let refusal = bob.complete(id).await.unwrap_err();
        assert_eq!(refusal.status, 404);
        details.push(refusal.problem.detail.replace(&id.to_string(), "ID"));
    }
    assert_eq!(details[0], details[1], "another's submission and none");
    alice.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
}

#[tokio::test]
async fn what_is_written_by_miners_is_shown_as_text() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for target in [
        "/competitions/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/submissions/%3Cimg%20src=x%20onerror=alert(1)%3E",
        "/competitions/digits/rounds/%3Cscript%3E",
    ] {
        let response = miner.get(target).await;
        assert_eq!(response.status(), 404, "{target}");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let text = response.text().await.unwrap();
        assert!(!text.contains("<script>") && !text.contains("<img src=x"), "{text}");
    }
    let long = "x".repeat(1_000);
    let refusal = accept(miner.get(&format!("/api/v1/competitions/{long}")).await, &[]).await.unwrap_err();
    assert!(refusal.problem.detail.len() < 100, "what was sent is shown in part only");
}
