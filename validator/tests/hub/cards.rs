//! Cards and the code beside them, as the libraries read them: every family of the catalogue answers in PyTorch what
//! PyTorch answered when its weights were made.

use super::client::{Client, Environment};
use crate::support::{Package, Setup, TestApp, competition_toml};
use protocol::Digest;
use protocol::submission::State;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Packages that PyTorch saved, with what it answered.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fixtures")
}

/// A competition whose models take 28 x 28 pixels; its title is a stranger's.
const FASHION: &str = r#"
format = "retort-competition/1"
id = "fashion"
title = "Fashion <b>\"bold\"</b>: `x` | # ---"
task = "image_classification"
labels = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
weights_public = "at_once"
input = { channels = 1, height = 28, width = 28, mean_ppm = [286040], deviation_ppm = [353020] }
data = { source = "fashion-mnist", public_items = 100, hidden_items = 100 }
rounds = { beacon = "ledger" }
teacher = { package = "teacher" }
reference = { package = "reference" }
teacher_distance = "none"

[limits]
size_bytes_max = 1000000
parameters_max = 1000000
macs_max = 100000000
activation_bytes_max = 10000000
submissions_per_day = 20
"#;

fn fixture(name: &str) -> Package {
    let read = |file: &str| (file.to_owned(), std::fs::read(fixtures().join(name).join(file)).unwrap());
    Package { files: vec![read("config.json"), read("model.safetensors")] }
}

#[tokio::test]
async fn every_family_runs_in_pytorch_as_its_card_says() {
    let app = TestApp::start(Setup::default()).await;
    fixture("vit").write(&app.dir.path().join("teacher"));
    fixture("mlp").write(&app.dir.path().join("reference"));
    let manifest = app.dir.path().join("competition.toml");
    std::fs::write(&manifest, FASHION).unwrap();
    app.app.publisher().publish(&manifest, validator::evaluator::silent()).await.unwrap();
    let miner = app.miner(1);
    let mut repositories = serde_json::Map::new();
    repositories.insert("teachers/fashion".into(), json!(fixtures().join("vit")));
    let plain = ["mlp", "resnet", "resnet_bf16", "resnet_f16", "depthwise_cnn", "mobilenet_v2", "vit"];
    let styled = ["mlp_without_bias", "depthwise_silu", "resnet_silu", "vit_mean"];
    for name in plain.into_iter().chain(styled) {
        let package = fixture(name);
        let created = miner.announce("fashion", &package).await.unwrap();
        miner.upload_all(&created, &package).await.unwrap();
        miner.complete(&created.id).await.unwrap();
        app.wait_for(&created.id, State::Scored).await;
        repositories.insert(format!("submissions/{}", created.id), json!(fixtures().join(name)));
    }
    let client = Client::new(Environment::Torch, &app.url(""));
    std::fs::write(client.folder().join("repositories.json"), json!(repositories).to_string()).unwrap();
    let output = client
        .python(
            r#"
import contextlib, io, json, re, sys
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForImageClassification

found = {}
for repository, folder in json.load(open("repositories.json")).items():
    expected = load_file(f"{folder}/expected.safetensors")
    snippet = re.search(r"```python\n(.*?)```", ModelCard.load(repository).content, re.DOTALL).group(1)
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(snippet, names)
    assert printed.getvalue().startswith("tensor([["), printed.getvalue()
    with torch.no_grad():
        ours = names["model"](expected["images"])
        one_line = AutoModelForImageClassification.from_pretrained(repository, trust_remote_code=True)
        theirs = one_line.float()(expected["images"]).logits
    found[repository] = [(answer - expected["logits"]).abs().max().item() for answer in (ours, theirs)]
    sys.modules.pop("retort_network")
    sys.path.pop(0)
print(json.dumps(found))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    assert_eq!(found.as_object().unwrap().len(), 12);
    for (repository, differences) in found.as_object().unwrap() {
        for difference in differences.as_array().unwrap() {
            assert!(difference.as_f64().unwrap() < 1e-4, "{repository} of {}: {differences}", repositories[repository]);
        }
    }
}

/// A picture of any size gives a label, in the one line that people know.
#[tokio::test]
async fn a_pipeline_of_transformers_takes_pictures() {
    let app = TestApp::start(Setup::default()).await;
    app.publish(&competition_toml("digits", "weights_public = \"at_once\"")).await;
    let id = app.miner(1).submit(&Package::random(&[16], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let client = Client::new(Environment::Torch, &app.url(""));
    let output = client
        .python(
            r#"
import json
import numpy, torch
from PIL import Image
from transformers import AutoModelForImageClassification, pipeline
pixels = numpy.random.default_rng(1).integers(0, 256, (8, 8), dtype=numpy.uint8)
Image.fromarray(pixels).save("small.png")
Image.fromarray(pixels).convert("RGB").resize((80, 50)).save("large.jpg")
classify = pipeline("image-classification", model="arena/digits", trust_remote_code=True)
answers = classify(["small.png", "large.jpg"])
model = AutoModelForImageClassification.from_pretrained("arena/digits", trust_remote_code=True)
with torch.no_grad():
    expected = model(torch.tensor(pixels, dtype=torch.float32)[None, None]).logits.softmax(1)
print(json.dumps({
    "labels": [len(answer) for answer in answers],
    "best": answers[0][0]["label"],
    "expected": model.config.id2label[expected.argmax().item()],
    "difference": abs(answers[0][0]["score"] - expected.max().item()),
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    assert_eq!(found["labels"], json!([5, 5]));
    assert_eq!(found["best"], found["expected"]);
    assert!(found["difference"].as_f64().unwrap() < 1e-5, "{found}");
}

#[tokio::test]
async fn cards_and_results_are_read_by_the_library_that_defines_them() {
    let mut setup = Setup::default();
    setup.config.public_url = "https://validator.example/".into();
    let app = TestApp::start(setup).await;
    let title = r#"title = "A \"stranger's\" <script>: [x](y)\n---\n# \u2028""#;
    app.publish(&competition_toml("digits", "").replace("title = \"Digits\"", title)).await;
    let miner = app.miner(1);
    let mut package = Package::random(&[16], 7);
    let created = miner.announce("digits", &package).await.unwrap();
    for upload in &created.uploads {
        let path = upload.url.strip_prefix("https://validator.example").unwrap();
        let put = miner.http.put(app.url(path)).body(package.file(&upload.path).clone()).send().await.unwrap();
        assert_eq!(put.status(), 204);
    }
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import base64, json, yaml
from huggingface_hub import DatasetCard, ModelCard, hf_hub_download, model_info, dataset_info
from huggingface_hub import parse_eval_result_entries

card = ModelCard.load("arena/digits")
results = {result.metric_type: result for result in card.data.eval_results}
entries = parse_eval_result_entries(yaml.safe_load(open(hf_hub_download("arena/digits", ".eval_results/digits.yaml"))))
[entry] = entries
receipt = open(hf_hub_download("arena/digits", "receipt.json"), "rb").read()
token = base64.urlsafe_b64decode(entry.verify_token + "=" * (-len(entry.verify_token) % 4))
teacher = ModelCard.load("teachers/digits").data
data = DatasetCard.load("arena/digits")
print(json.dumps({
    "front": {name: card.data.get(name) for name in ("license", "pipeline_tag", "base_model", "datasets", "metrics")},
    "title": results["accuracy"].dataset_name,
    "metrics": {name: [r.metric_value, r.verified, r.dataset_type] for name, r in results.items()},
    "revision": [results["accuracy"].dataset_revision, entry.dataset_revision, dataset_info("arena/digits").sha],
    "token": results["accuracy"].verify_token == entry.verify_token and token == receipt,
    "entry": [entry.dataset_id, entry.task_id, entry.value, entry.source_url, entry.date],
    "info": [r.metric_type for r in model_info("arena/digits").card_data.eval_results],
    "teacher": [r.metric_value for r in teacher.eval_results],
    "data": [data.data.pretty_name, data.content.count("```")],
    "body": card.text,
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        found["front"],
        json!({ "license": "unknown", "pipeline_tag": "image-classification", "base_model": "teachers/digits",
                "datasets": ["arena/digits"], "metrics": ["accuracy"] })
    );
    assert_eq!(found["title"], "A \"stranger's\" <script>: [x](y)\n---\n# \u{2028}");
    let evaluation = app.app.db.evaluation(&created.id).await.unwrap().unwrap();
    let share = |ppm: i64| ppm as f64 / 1e6;
    let accuracy = share(evaluation.score.accuracy.value_ppm);
    assert_eq!(found["metrics"]["accuracy"], json!([accuracy, true, "arena/digits"]));
    assert_eq!(found["metrics"]["latency_ratio"][0], share(evaluation.report.latency.ratio.value_ppm));
    let [model, results, data] = [0, 1, 2].map(|place| found["revision"][place].as_str().unwrap());
    assert_eq!((model, results), (data, data));
    assert_eq!(found["token"], true);
    let page = format!("https://validator.example/submissions/{}", created.id);
    assert_eq!(found["entry"], json!(["arena/digits", "accuracy", accuracy, page, "2027-01-15T08:00:00.000Z"]));
    assert_eq!(found["info"], json!(["accuracy", "agreement", "latency_ratio"]));
    assert_eq!(found["teacher"].as_array().unwrap().len(), 3);
    assert_eq!(found["data"][1], 2);
    let body = found["body"].as_str().unwrap();
    assert!(body.contains("&lt;script&gt;: \\[x\\]\\(y\\)") && !body.contains("<script>"), "{body}");
    assert!(body.contains(&page) && body.contains("HF_ENDPOINT=https://validator.example"), "{body}");
}

#[tokio::test]
async fn a_card_has_the_same_bytes_on_another_validator_with_the_same_facts() {
    // Its address is one of the facts.
    let setup = || {
        let mut setup = Setup::default();
        setup.config.public_url = "https://validator.example".into();
        setup
    };
    let app = TestApp::with_competition(setup()).await;
    let read =
        async |app: &TestApp| app.miner(1).get("/teachers/digits/resolve/main/README.md").await.bytes().await.unwrap();
    let before = read(&app).await;
    let info: Value = app.miner(1).get("/api/models/teachers/digits").await.json().await.unwrap();
    let (dir, objects) = app.stop().await;
    // Even if what was written down is lost, it comes out the same.
    let db = validator::db::Db::open(&dir.path().join("data.sqlite")).await.unwrap();
    sqlx::query("DELETE FROM hub_revisions").execute(db.pool()).await.unwrap();
    db.close().await;
    let app = TestApp::start_in(dir, Setup { objects: Some(objects), ..setup() }).await;
    assert_eq!(Digest::of(&read(&app).await), Digest::of(&before));
    let again: Value = app.miner(1).get("/api/models/teachers/digits").await.json().await.unwrap();
    assert_eq!(info["sha"], again["sha"]);
}

#[tokio::test]
async fn auto_config_reads_a_champion() {
    let app = TestApp::with_competition(Setup::default()).await;
    let id = app.miner(1).submit(&Package::random(&[16], 7)).await.unwrap();
    app.wait_for(&id, State::Scored).await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import json
from transformers import AutoConfig
config = AutoConfig.from_pretrained("arena/digits", trust_remote_code=True)
print(json.dumps([config.model_type, config.architecture, config.id2label["3"] if "3" in config.id2label else config.id2label[3]]))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    assert_eq!(found, json!(["retort", { "kind": "mlp", "hidden": [16] }, "3"]));
    let (success, output) =
        client.try_python("from transformers import AutoConfig; AutoConfig.from_pretrained('arena/digits')").await;
    assert!(!success && output.contains("trust_remote_code=True"), "{output}");
}

#[tokio::test]
async fn public_data_is_read_as_its_card_says() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Hub, &app.url(""));
    let output = client
        .python(
            r#"
import re
from huggingface_hub import DatasetCard, snapshot_download
snapshot_download("arena/digits", repo_type="dataset")
snippet = re.search(r"```python\n(.*?)```", DatasetCard.load("arena/digits").content, re.DOTALL).group(1)
exec(snippet)
print(images(file("training-images.rtimg"))[0].shape, logits(file("public-teacher-logits.rtlog")).shape)
"#,
        )
        .await;
    let (pixels, others) = output.trim().split_once('\n').unwrap();
    assert!(pixels.starts_with("(100, 1, 8, 8) ["), "{output}");
    assert_eq!(others, "(1000, 1, 8, 8) (100, 10)");
}
