//! Packages whose model is an ONNX file, through the front door: real exports by PyTorch (scripts/onnx_students.py).

use super::lifecycle::after_publishing;
use super::support::{Package, Setup, TestApp, accept};
use futures::FutureExt;
use http::Method;
use protocol::Digest;
use protocol::api::{SubmissionRequest, TokenCreated};
use protocol::package::{CONFIG_FILE, Format, ModelKind, ONNX_FILE, OnnxConfig};
use protocol::submission::{Blame, Code, State};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use validator::Publisher;
use validator::copies::PairView;
use validator::evaluator::silent;

const FASHION: &str = r#"
format = "retort-competition/1"
id = "fashion"
title = "Fashion"
task = "image_classification"
labels = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
weights_public = "at_once"
input = { channels = 1, height = 28, width = 28, mean_ppm = [286040], deviation_ppm = [353020] }
data = { source = "fashion-mnist", public_items = 100, hidden_items = 100 }
rounds = { beacon = "ledger" }
teacher = { package = "teacher" }
reference = { package = "reference" }
teacher_distance = "none"
"#;

const LIMITS: &str = r#"
[limits]
size_bytes_max = 1000000
parameters_max = 1000000
macs_max = 100000000
activation_bytes_max = 10000000
submissions_per_day = 20
"#;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn read(folder: &str, names: &[&str]) -> Package {
    let folder = models().join(folder);
    let read = |name: &&str| ((*name).to_owned(), std::fs::read(folder.join(name)).unwrap());
    Package { files: names.iter().map(read).collect() }
}

fn graph(name: &str) -> Package {
    read(&format!("fixtures/onnx/{name}"), &[CONFIG_FILE, ONNX_FILE])
}

fn catalogue(folder: &str) -> Package {
    read(folder, &[CONFIG_FILE, "model.safetensors"])
}

/// A competition of real pictures that takes these kinds of models.
async fn arena(setup: Setup, taken: &str) -> TestApp {
    let app = TestApp::start(setup).await;
    catalogue("fixtures/vit").write(&app.dir.path().join("teacher"));
    catalogue("fixtures/mlp").write(&app.dir.path().join("reference"));
    let manifest = app.dir.path().join("competition.toml");
    std::fs::write(&manifest, format!("{FASHION}{taken}{LIMITS}")).unwrap();
    Publisher::of(&app.app).publish(&manifest, silent()).await.unwrap();
    app
}

const BOTH: &str = "models = [\"catalogue\", \"onnx\"]\nengine = \"rten\"\n";

#[tokio::test]
async fn a_graph_is_entered_scored_shown_and_downloaded_in_bytes_of_ours() {
    let app = arena(Setup::default(), BOTH).await;
    let (miner, mut package) = (app.miner(1), graph("resnet"));
    let id = miner.submit_to("fashion", &package).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let status = miner.status(&id).await;
    let Some(ModelKind::Onnx(graph)) = &status.architecture else { panic!("{:?}", status.architecture) };
    assert_eq!(graph.operators["Conv"], 9, "{graph:?}");
    let (report, costs) = (status.report.unwrap(), status.costs.unwrap());
    let [config, model] = [CONFIG_FILE, ONNX_FILE].map(|path| Digest::of(package.file(path)));
    assert_eq!(report.package_sha256, Format::Onnx.package_sha256(&config, &model), "what was uploaded");
    assert_eq!((report.cost.parameters, report.cost.macs), (costs.parameters, costs.macs));
    assert_eq!(status.row.unwrap().architecture, "onnx");

    let published = |path: &str| status.published.iter().find(|file| file.path == path).unwrap().sha256;
    assert_eq!(published(ONNX_FILE), graph.canonical_sha256);
    assert_ne!(published(ONNX_FILE), model);
    let target = format!("/api/v1/objects/sha256/{}", published(ONNX_FILE));
    let canonical = miner.get(&target).await.bytes().await.unwrap();
    let words: &[&[u8]] = &[b"pytorch", b"/network/", b"images", b"logits"];
    let there = words.iter().map(|word| canonical.windows(word.len()).any(|at| at == *word));
    assert_eq!(there.collect::<Vec<_>>(), [false, false, true, true]);

    let page = miner.get(&format!("/submissions/{id}")).await.text().await.unwrap();
    assert!(page.contains("An ONNX graph") && page.contains("Conv 9, "), "{page}");
    let card = miner.get(&format!("/submissions/{id}/resolve/main/README.md")).await.text().await.unwrap();
    assert!(card.contains("library_name: \"onnx\"") && card.contains("onnxruntime.InferenceSession"), "{card}");
    let downloaded = miner.get(&format!("/submissions/{id}/resolve/main/{ONNX_FILE}")).await.bytes().await.unwrap();
    assert_eq!(downloaded, canonical);
    let config = miner.get(&format!("/submissions/{id}/resolve/main/{CONFIG_FILE}")).await.bytes().await.unwrap();
    assert!(OnnxConfig::from_json(&config).unwrap().labels.is_some_and(|labels| labels.len() == 10));

    // What was downloaded is the same model, and somebody else's.
    let again = Package { files: vec![(CONFIG_FILE.into(), config.into()), (ONNX_FILE.into(), canonical.into())] };
    let copy = app.miner(2).submit_to("fashion", &again).await.unwrap();
    app.wait_for(&copy, State::Scored).await;
    validator::copies::copy_of(&app.app, &super::support::competition("fashion"), u64::MAX).await.unwrap();
    let pair: PairView = miner.get(&format!("/api/v1/copies/{id}/{copy}")).await.json().await.unwrap();
    assert_eq!(pair.relation, copies::Relation::Copy(copies::Tier::Canonical));
    assert!(pair.evidence.of_graph && !pair.evidence.same_package && pair.has_consequences, "{pair:?}");
    let page = miner.get(&format!("/copies/{id}/{copy}")).await.text().await.unwrap();
    assert!(page.contains("graphs&#39; units aren&#39;t matched") || page.contains("graphs' units"), "{page}");
}

#[tokio::test]
async fn a_competition_takes_the_kinds_that_its_manifest_lists() {
    for (taken, given, refused) in [
        ("", graph("mlp"), true),
        (BOTH, graph("mlp"), false),
        (BOTH, catalogue("fixtures/resnet"), false),
        ("models = [\"onnx\"]\n", graph("mlp"), false),
        ("models = [\"onnx\"]\nengine = \"rten\"\n", catalogue("fixtures/resnet"), true),
    ] {
        let app = arena(Setup::default(), taken).await;
        let id = app.miner(1).submit_to("fashion", &given).await.unwrap();
        app.wait_for(&id, if refused { State::Rejected } else { State::Scored }).await;
        let reason = app.miner(1).status(&id).await.reason;
        assert_eq!(reason.map(|reason| reason.code), refused.then_some(Code::KindNotTaken), "{taken}");
    }
}

#[tokio::test]
async fn every_hostile_graph_is_rejected_before_any_engine_and_blames_its_miner() {
    let app = arena(Setup::default(), BOTH).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../program/tests/hostile");
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    assert!(entries.len() > 40);
    for (index, path) in entries.iter().enumerate() {
        let mut package = graph("mlp");
        *package.file(ONNX_FILE) = std::fs::read(path).unwrap();
        let id = app.miner(index as u8 + 1).submit_to("fashion", &package).await.unwrap();
        app.wait_for(&id, State::Rejected).await;
        let reason = app.miner(1).status(&id).await.reason.unwrap();
        assert_eq!(reason.blame, Blame::Miner, "{}: {}", path.display(), reason.detail);
        assert!(reason.code.as_str().starts_with("onnx_") || reason.code == Code::OverLimit, "{}", reason.code);
    }
}

#[tokio::test]
async fn one_model_in_one_file_is_announced() {
    let app = arena(Setup::default(), BOTH).await;
    let miner = app.miner(1);
    let mut files = graph("mlp").declarations();
    let announce = async |path: &str| {
        let mut files = files.clone();
        files.push(protocol::api::FileDeclaration { path: path.into(), size: 9, sha256: Digest::of(b"") });
        let request = SubmissionRequest { competition: "fashion".parse().unwrap(), files, invite: None, name: None };
        let response = miner.post("/api/v1/submissions", serde_json::to_vec(&request).unwrap()).await;
        let refusal = accept(response, &[]).await.unwrap_err();
        (refusal.problem.code, refusal.problem.detail)
    };
    let (code, detail) = announce("model.safetensors").await;
    assert!(code == "file_unexpected" && detail.contains("two models"), "{code}: {detail}");
    let (code, detail) = announce("model.onnx.data").await;
    assert!(code == "onnx_external_data" && detail.contains("miner check"), "{code}: {detail}");
    files.retain(|file| file.path == ONNX_FILE);
    let request = SubmissionRequest { competition: "fashion".parse().unwrap(), files, invite: None, name: None };
    let response = miner.post("/api/v1/submissions", serde_json::to_vec(&request).unwrap()).await;
    assert_eq!(accept(response, &[]).await.unwrap_err().problem.code, "file_missing");
}

/// What `hf upload` of torch 2.9's default export asks before it sends a byte.
#[tokio::test]
async fn hf_upload_of_a_model_with_its_numbers_beside_it_hears_what_to_do() {
    let app = arena(Setup::default(), BOTH).await;
    let miner = app.miner(1);
    let body = json!({ "label": "hub", "expires_in_seconds": 3600 }).to_string();
    let token: TokenCreated = miner.post("/api/v1/tokens", body.into_bytes()).await.json().await.unwrap();
    let ask = async |files: Value| {
        let headers = [("authorization", format!("Bearer {}", token.token))];
        let body = json!({ "files": files }).to_string().into_bytes();
        miner.send(Method::POST, "/api/models/arena/fashion/preupload/main", &headers, body).await
    };
    let file = |path: &str| json!({ "path": path, "size": 9, "sample": "" });
    let asked = ask(json!([file(CONFIG_FILE), file(ONNX_FILE)])).await;
    assert_eq!(asked.status(), 200);
    let refused = ask(json!([file(CONFIG_FILE), file(ONNX_FILE), file("model.onnx.data")])).await;
    assert_eq!(refused.status(), 422);
    let told = refused.text().await.unwrap();
    assert!(told.contains("onnx_external_data") && told.contains("--out DIR"), "{told}");
}

#[tokio::test]
async fn where_nothing_runs_a_graph_it_fails_at_once_and_nobody_blames_its_miner() {
    let none = |request: protocol::evaluation::EvaluationRequest| {
        let answer = match Format::of_config(&request.order.candidate.config_json) {
            Format::Onnx => Err(Code::EngineMissing.because("no engine here runs ONNX".into()).into()),
            Format::Catalogue => validator::scripted::scripted_evaluation(&request, 900_000),
        };
        async move { answer }.boxed()
    };
    let app = arena(Setup { evaluator: after_publishing(none), ..Setup::default() }, BOTH).await;
    let miner = app.miner(1);
    let id = miner.submit_to("fashion", &graph("mlp")).await.unwrap();
    app.wait_for(&id, State::Failed).await;
    let reason = miner.status(&id).await.reason.unwrap();
    assert_eq!((reason.code, reason.blame), (Code::EngineMissing, Blame::Validator));
    assert_eq!(app.app.db.submission(&id).await.unwrap().unwrap().attempt, 0, "no second attempt");
}

#[test]
fn every_code_is_written_as_it_is_called() {
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
    }
}
