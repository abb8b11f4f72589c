//! Cards and the code beside them, as the libraries read them: every family of the catalogue answers in PyTorch what
//! PyTorch answered when its weights were made.

use super::client::{Client, Environment};
use crate::support::{Package, Setup, TestApp, competition, competition_toml};
use datasets::picture::Picture;
use datasets::published::read;
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{Fit, ObjectRef, PictureSpec};
use protocol::submission::State;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use validator::Publisher;

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
    Publisher::of(&app.app).publish(&manifest, validator::evaluator::silent()).await.unwrap();
    let miner = app.miner(1);
    let mut repositories = serde_json::Map::new();
    repositories.insert("teachers/fashion".into(), json!(fixtures().join("vit")));
    let plain = ["mlp", "resnet", "resnet_bf16", "resnet_f16", "depthwise_cnn", "mobilenet_v2", "vit"];
    let styled = ["mlp_without_bias", "depthwise_silu", "resnet_silu", "vit_mean", "vit_timm"];
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
    assert_eq!(found.as_object().unwrap().len(), repositories.len());
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

/// Not that a file is missing, nor that a name is wrong: what is the matter, and what there is instead.
#[tokio::test]
async fn a_pipeline_of_a_seat_that_is_empty_yet_says_so_last() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Torch, &app.url(""));
    for made in [
        "pipeline('image-classification', model='arena/digits', trust_remote_code=True)",
        "AutoModelForImageClassification.from_pretrained('arena/digits', trust_remote_code=True)",
        "AutoConfig.from_pretrained('arena/digits')",
    ] {
        let script = format!("from transformers import AutoConfig, AutoModelForImageClassification, pipeline; {made}");
        let (success, output) = client.try_python(&script).await;
        let last = output.trim().lines().last().unwrap();
        assert!(!success && last.contains("digits has no champion yet, so arena/digits is empty"), "{output}");
        assert!(last.contains("once a round with a champion is revealed"), "{last}");
        // The client's own words are of gates: ours come last and take them back.
        assert!(last.contains("Nothing is gated here, and no token is missing: digits has no champion yet"), "{last}");
    }
}

/// What docs/HUB.md says of pictures that aren't plain: transformers makes them RGB before anything of ours runs.
#[tokio::test]
async fn a_pipeline_sees_of_transparency_and_of_16_bits_what_the_documentation_says() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Torch, &app.url(""));
    let output = client
        .python(
            r#"
import json, struct, zlib
import numpy
from PIL import Image
from transformers import AutoImageProcessor, pipeline

def png16(name, pixels, colour):
    "Pillow writes no colours of 16 bits."
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    part = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + parts)

random = numpy.random.default_rng(1)
grey = random.integers(0, 256, (8, 8), dtype=numpy.uint8)
alpha = random.integers(0, 256, (8, 8), dtype=numpy.uint8)
deep = random.integers(0, 65536, (8, 8)).astype(numpy.uint16)
deep[0] = range(100, 900, 100)
colours = random.integers(0, 65536, (8, 8, 3)).astype(numpy.uint16)

Image.fromarray(grey).save("plain.png")
Image.fromarray(numpy.stack([grey, alpha], -1), "LA").save("grey-alpha.png")
Image.fromarray(numpy.stack([grey] * 3 + [alpha], -1), "RGBA").save("alpha.png")
png16("grey-16.png", deep, 0)
Image.fromarray(numpy.minimum(deep, 255).astype(numpy.uint8)).save("grey-16-clipped.png")
png16("colours-16.png", colours, 2)
Image.fromarray((colours >> 8).astype(numpy.uint8)).save("colours-16-upper.png")

classify = pipeline("image-classification", model="teachers/digits", trust_remote_code=True)
answers = {name: classify(f"{name}.png") for name in
           ("plain", "grey-alpha", "alpha", "grey-16", "grey-16-clipped", "colours-16", "colours-16-upper")}
processor = AutoImageProcessor.from_pretrained("teachers/digits", trust_remote_code=True)
answers["wide"] = numpy.asarray(processor(Image.new("L", (160, 80), 200))["pixel_values"][0])[0].tolist()
# As competitions of other rules have it.
Image.fromarray(random.integers(0, 256, (29, 13), dtype=numpy.uint8)).save("odd.png")
answers["odd.png"] = open("odd.png", "rb").read().hex()
for fit, side in (("stretch", 0), ("pad", 0), ("crop", 0), ("crop", 11)):
    other = type(processor)(channels=1, height=8, width=8, fit=fit, shorter_side=side)
    answers[f"{fit} {side}"] = numpy.asarray(other(Image.open("odd.png"))["pixel_values"][0]).ravel().tolist()
print(json.dumps(answers))
"#,
        )
        .await;
    let answers: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    for (picture, seen_as) in [
        ("grey-alpha", "plain"),
        ("alpha", "plain"),
        ("grey-16", "grey-16-clipped"),
        ("colours-16", "colours-16-upper"),
    ] {
        assert_eq!(answers[picture], answers[seen_as], "{picture}");
    }
    assert_ne!(answers["plain"], answers["grey-16"]);
    // Twice as wide as high: half of the square, in the middle of black, as `retort predict` has it.
    let (ground, picture) = (json!(vec![0.0; 8]), json!(vec![200.0; 8]));
    let rows = [[&ground; 2].as_slice(), &[&picture; 4], &[&ground; 2]].concat();
    assert_eq!(answers["wide"], json!(rows));
    let odd = Picture::decode(&hex::decode(answers["odd.png"].as_str().unwrap()).unwrap()).unwrap();
    let shape = ImageShape { channels: 1, height: 8, width: 8 };
    for (name, fit, shorter_side) in [
        ("stretch 0", Fit::Stretch, None),
        ("pad 0", Fit::Pad, None),
        ("crop 0", Fit::Crop, None),
        ("crop 11", Fit::Crop, Some(11)),
    ] {
        let ours = odd.fitted(shape, PictureSpec { fit: Some(fit), shorter_side }).unwrap();
        let theirs: Vec<f64> = serde_json::from_value(answers[name].clone()).unwrap();
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(ours.len() == theirs.len() && apart <= 1.0, "{name}: {apart} levels apart");
    }
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
async fn public_data_is_what_datasets_pandas_polars_and_duckdb_read() {
    let app = TestApp::with_competition(Setup::default()).await;
    let client = Client::new(Environment::Data, &app.url(""));
    let output = client
        .python(
            r#"
import hashlib, json, re
import duckdb, numpy, pandas, polars
from datasets import load_dataset
from huggingface_hub import DatasetCard, hf_hub_download

content = DatasetCard.load("arena/digits").content
exec(re.search(r"```python\n(.*?)```", content, re.DOTALL).group(1))
test = data["test"]
digest = lambda values: hashlib.sha256(values).hexdigest()
path = hf_hub_download("arena/digits", "data/test-00000-of-00001.parquet", repo_type="dataset")
bytes_of = lambda picture: bytes(picture["bytes"])[:4].hex()
print(json.dumps({
    "rows": {name: len(split) for name, split in data.items()},
    "features": [str(type(test.features[name]).__name__) for name in ("image", "label", "teacher_logits")],
    "names": test.features["label"].names,
    "pixels": [digest(b"".join(numpy.asarray(row["image"]).tobytes() for row in data[name])) for name in ("train", "test")],
    "labels": test["label"][:],
    "answers": digest(numpy.array(test["teacher_logits"][:], "<f4").tobytes()),
    "pandas": bytes_of(pandas.read_parquet(path)["image"][0]),
    "polars": bytes_of(polars.read_parquet(path)["image"][0]),
    "duckdb": duckdb.sql(f"SELECT count(*), max(label), len(any_value(teacher_logits)) FROM '{path}'").fetchall()[0],
}))
"#,
        )
        .await;
    let found: Value = serde_json::from_str(output.trim().lines().last().unwrap()).unwrap();
    // What the validator measures on, and what miners of the template train on.
    let competition = app.app.db.competition(&competition("digits")).await.unwrap().unwrap().competition;
    let part = async |object: ObjectRef| {
        let table = app.app.objects.get(&object.sha256).await.unwrap();
        read(table, competition.manifest.input.shape(), 10).unwrap()
    };
    let (training, test) = (part(competition.tables.training).await, part(competition.tables.evaluation).await);
    let answers: Vec<u8> = test.answers.unwrap().values.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    assert_eq!(
        found,
        json!({
            "rows": { "train": 1000, "test": 100 },
            "features": ["Image", "ClassLabel", "List"],
            "names": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            "pixels": [Digest::of(&training.images.pixels), Digest::of(&test.images.pixels)],
            "labels": test.images.labels,
            "answers": Digest::of(&answers),
            "pandas": "89504e47", "polars": "89504e47", "duckdb": [100, 9, 10],
        })
    );
}
