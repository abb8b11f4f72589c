//! The whole way of a model: published, fetched, submitted, evaluated, ranked, shown, paid, downloaded.

use super::support::{Package, Setup, TestApp, competition, validator_hotkey};
use protocol::api::{CompetitionView, Leaderboard, RowKind};
use protocol::digest::canonical_json;
use protocol::submission::State;
use protocol::{Digest, Report};
use std::collections::HashMap;

#[tokio::test]
async fn a_model_goes_all_the_way() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (alice, bob) = (app.miner(1), app.miner(2));

    let listed: Vec<CompetitionView> = alice.get("/api/v1/competitions").await.json().await.unwrap();
    let view: CompetitionView = alice.get("/api/v1/competitions/digits").await.json().await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&view));
    assert_eq!(view.validator, validator_hotkey());
    assert_eq!(view.sha256, Digest::of(&canonical_json(&view.competition).unwrap()));

    let package = Package::mlp(&[8], 7);
    let id = alice.submit(&package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let second = bob.submit(&Package::mlp(&[16], 8)).await.unwrap();
    app.wait_for(&second, State::Scored).await;

    let status = alice.status(&id).await;
    assert_eq!((status.hotkey, status.reason, status.queue_position), (alice.hotkey(), None, None));
    assert_eq!(status.report.unwrap().package_sha256, package.clone().sha256());
    assert_eq!(status.costs.unwrap().parameters, 64 * 8 + 8 + 8 * 10 + 10);

    let board: Leaderboard = alice.get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    let kinds: Vec<_> = board.rows.iter().map(|row| (row.kind, row.rank)).collect();
    let submission = RowKind::Submission;
    // The second may be close enough to the first to share its rank.
    let second = board.rows[2].rank;
    let expected = [(RowKind::Teacher, None), (submission, Some(1)), (submission, second), (RowKind::Reference, None)];
    assert_eq!(kinds, expected);
    assert_eq!((&board.champion, &board.leader), (&None, &board.rows[1].submission));
    assert!(board.rows[1].why.starts_with("leads by "), "{}", board.rows[1].why);
    assert!(board.rows[2].why.contains(" behind place 1"), "{}", board.rows[2].why);
    assert_eq!(status.rank, board.rows.iter().find(|row| row.submission == Some(id.clone())).unwrap().rank);

    let csv = alice.get("/api/v1/competitions/digits/leaderboard.csv").await;
    assert_eq!(csv.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.text().await.unwrap().lines().count(), 5);
}

#[tokio::test]
async fn what_is_public_can_be_downloaded_and_nothing_else() {
    let app = TestApp::with_open_packages(Setup::default()).await;
    let miner = app.miner(1);
    let about = Some([("format".to_owned(), "pt".to_owned())].into());
    let mut package = Package::mlp(&[8], 7).with_weights(|weights| *weights = rewritten(weights, about));
    let target = format!("/api/v1/objects/sha256/{}", Digest::of(package.file("model.safetensors")));

    let created = miner.announce("digits", &package).await.unwrap();
    miner.upload_all(&created, &package).await.unwrap();
    assert_eq!(miner.get(&target).await.status(), 404, "uploaded, not scored");
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;

    let whole = miner.get(&target).await;
    assert_eq!(whole.headers()["content-disposition"], "attachment; filename=\"model.safetensors\"");
    assert_eq!(whole.headers()["cache-control"], "public, max-age=31536000, immutable");
    let etag = whole.headers()["etag"].clone();
    let weights = whole.bytes().await.unwrap();
    assert_eq!(&weights, package.file("model.safetensors"));

    let part = miner.http.get(app.url(&target)).header("range", "bytes=8-15").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], format!("bytes 8-15/{}", weights.len()));
    assert_eq!(part.bytes().await.unwrap(), weights[8..16]);
    let past = miner.http.get(app.url(&target)).header("range", "bytes=99999999-").send().await.unwrap();
    assert_eq!(past.status(), 416);
    let known = miner.http.get(app.url(&target)).header("if-none-match", etag).send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.bytes().await.unwrap().len()), (304, 0));
    let head = miner.http.head(app.url(&target)).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], weights.len().to_string());

    // What is offered for download is the same model in our own bytes.
    let status = miner.status(&created.id).await;
    let published = status.published.iter().find(|file| file.path == "model.safetensors").unwrap();
    let ours = miner.get(&format!("/api/v1/objects/sha256/{}", published.sha256)).await.bytes().await.unwrap();
    assert_ne!(ours, weights, "the uploader wrote metadata");
    assert_eq!(ours, rewritten(&weights, None));

    let report = app.app.db.evaluation(&created.id).await.unwrap().unwrap();
    let object = |digest: &Digest| format!("/api/v1/objects/sha256/{digest}");
    let downloaded: Report = miner.get(&object(&report.report_sha256)).await.json().await.unwrap();
    assert_eq!(downloaded, report.report);
    let samples = report.report.latency.samples_sha256.unwrap();
    assert_eq!(miner.get(&object(&samples)).await.status(), 200);

    let stored = app.app.db.competition(&competition("digits")).await.unwrap().unwrap();
    for (secret, why) in [
        (stored.pool_sha256, "the hidden pool"),
        (report.logits_sha256, "logits"),
        (Digest::of(b"nothing"), "not stored at all"),
    ] {
        assert_eq!(miner.get(&object(&secret)).await.status(), 404, "{why}");
    }
    for public in [
        stored.competition.tables.training,
        stored.competition.tables.evaluation,
        stored.competition.teacher.model().unwrap().weights,
        stored.competition.reference.config_json,
    ] {
        let bytes = miner.get(&object(&public.sha256)).await.bytes().await.unwrap();
        assert_eq!((Digest::of(&bytes), bytes.len() as u64), (public.sha256, public.size_bytes));
    }
}

/// The same tensors as the safetensors library writes them.
fn rewritten(file: &[u8], metadata: Option<HashMap<String, String>>) -> Vec<u8> {
    let tensors = safetensors::SafeTensors::deserialize(file).unwrap();
    safetensors::serialize(tensors.iter(), metadata).unwrap()
}

#[tokio::test]
async fn a_submission_below_the_gate_has_no_rank_and_a_reason() {
    let script = super::lifecycle::script(|request, _| {
        let correct_ppm = match request.truth.teacher_logits {
            None => 960_000,
            // The reference passes its own gate, or nothing is published.
            Some(_) if request.order.candidate.weights == request.order.reference.weights => 950_000,
            Some(_) => 500_000,
        };
        validator::scripted::scripted_evaluation(&request, correct_ppm)
    });
    let app = TestApp::with_competition(Setup { evaluator: script, ..Setup::default() }).await;
    let id = app.miner(1).submit(&Package::mlp(&[8], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let board: Leaderboard = app.miner(1).get("/api/v1/competitions/digits/leaderboard").await.json().await.unwrap();
    assert_eq!((board.rows[1].rank, board.champion), (None, None));
    assert_eq!(board.rows[1].why, "below the accuracy gate: 50.00 % is right, 86.40 % is needed");
}
