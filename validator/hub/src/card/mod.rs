//! Model cards: README.md with its front matter, and results in the form that benchmarks are collected in.
//!
//! We write them, never a miner: what stands in a card was measured here. A card says only what doesn't change, so
//! neither a rank nor who holds the seat. Words of strangers are escaped. It does not know how files are served.

pub(super) mod code;
mod text;
mod yaml;

use crate::messages::date;
use crate::repository::{ARENA, Repository};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use protocol::api::FormView;
use protocol::competition::Manifest;
use protocol::package::{Format, ModelKind};
use protocol::published::PublishedModel;
use protocol::report::Report;
use protocol::score::Score;
use serde_json::{Value, json};
use service::app::App;
use store::db::competitions::{StoredCompetition, StoredModel};
use store::db::evaluations::StoredEvaluation;
use store::db::submissions::Submission;

/// The files of a repository with data, as `load_dataset` finds them: training and public part.
pub(super) const TABLES: [&str; 2] = ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"];

/// The name in the Hub's list of licences where nobody has said one.
const UNKNOWN_LICENSE: &str = "unknown";
/// The name in that list for whatever it has no name for; the licence is named beside it.
const OTHER_LICENSE: &str = "other";
/// The task's name in a result.
const TASK: &str = "accuracy";

/// Everything about a scored submission that its card may say.
pub(crate) struct Scored {
    /// Whose it is, and what its model costs.
    pub(crate) submission: Submission,
    /// What was measured.
    pub(crate) evaluation: StoredEvaluation,
    /// Where it was entered.
    pub(crate) stored: StoredCompetition,
    /// The receipt's bytes.
    pub(crate) receipt: Bytes,
    /// The commit of the data that it was measured on.
    pub(crate) data_commit: String,
    /// Its other forms, once all are measured.
    pub(crate) forms: Vec<FormView>,
}

/// What absolute links begin with.
pub(crate) struct Links {
    /// Where the settings say how we are reached.
    base: Option<String>,
    endpoint: String,
}

impl Links {
    pub(crate) fn of(app: &App) -> Self {
        Self { base: app.config.public_base().map(str::to_owned), endpoint: app.endpoint() }
    }

    /// The address of a path, where the settings say how we are reached.
    pub(crate) fn to(&self, path: &str) -> Option<String> {
        self.base.as_ref().map(|base| format!("{base}{path}"))
    }

    /// What `HF_ENDPOINT` is to be set to.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// A card.
pub(super) struct CardData {
    /// What is in its front matter.
    pub(super) front: Value,
    /// All of README.md.
    pub(super) text: String,
}

impl CardData {
    fn new(front: Value, body: &str) -> Self {
        let text = format!("---\n{}---\n\n{body}", yaml::block(&front));
        Self { front, text }
    }
}

/// The card of a scored submission, in its own repository or in the champion's.
pub(super) fn of_submission(repository: &Repository, scored: &Scored, kind: &ModelKind, links: &Links) -> CardData {
    let manifest = &scored.stored.competition.manifest;
    let (report, score) = (&scored.evaluation.report, &scored.evaluation.score);
    let mut front = model(manifest, kind.kind(), manifest.license.as_deref());
    if kind.format() == Format::Onnx {
        front["library_name"] = json!("onnx");
    }
    // Without a model there is no repository of it.
    if manifest.teacher.model().is_some() {
        front["base_model"] = json!(format!("teachers/{}", manifest.id));
    }
    let receipt = verify_token(scored);
    front["model-index"] = index(&repository.id(), manifest, (report, score), Some((&scored.data_commit, &receipt)));
    CardData::new(front, &text::of_submission(repository, scored, kind, links))
}

/// The card of a teacher.
pub(super) fn of_teacher(
    repository: &Repository,
    (stored, teacher, measured): (&StoredCompetition, &PublishedModel, &StoredModel),
    links: &Links,
) -> CardData {
    let manifest = &stored.competition.manifest;
    let mut front = model(manifest, teacher.config.architecture.kind(), None);
    front["model-index"] = index(&repository.id(), manifest, (&measured.report, &measured.score), None);
    CardData::new(front, &text::of_teacher(repository, manifest, &measured.report, &measured.score, links))
}

/// The card of a competition's data.
pub(super) fn of_data(stored: &StoredCompetition, links: &Links) -> CardData {
    let manifest = &stored.competition.manifest;
    let files = ["train", "test"].iter().zip(TABLES);
    let files: Vec<Value> = files.map(|(split, path)| json!({ "split": split, "path": path })).collect();
    let front = json!({
        "license": UNKNOWN_LICENSE,
        "pretty_name": manifest.title,
        "tags": ["retort", "distillation"],
        "task_categories": ["image-classification"],
        "configs": [{ "config_name": "default", "data_files": files }],
    });
    CardData::new(front, &text::of_data(&stored.competition, links))
}

/// What the front matter of every model has.
fn model(manifest: &Manifest, kind: &str, license: Option<&str>) -> Value {
    let mut front = json!({
        "license": UNKNOWN_LICENSE,
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "datasets": [format!("{ARENA}/{}", manifest.id)],
        "metrics": ["accuracy"],
        "tags": ["retort", "distillation", kind],
    });
    match license {
        // The Hub's names are SPDX's in small letters; what several are joined by is no name there.
        Some(license) if !license.contains(' ') => front["license"] = license.to_ascii_lowercase().into(),
        Some(license) => {
            front["license"] = OTHER_LICENSE.into();
            front["license_name"] = license.into();
        }
        None => {}
    }
    front
}

/// Results as model cards have them.
fn index(name: &str, manifest: &Manifest, (report, score): (&Report, &Score), verified: Option<(&str, &str)>) -> Value {
    let mut metrics = vec![
        metric("accuracy", "Accuracy", score.accuracy.value_ppm),
        metric("agreement", "Same answer as the teacher", score.agreement.value_ppm),
    ];
    if report.latency.is_timed() {
        metrics.push(metric("latency_ratio", "Latency over the reference student", report.latency.ratio.value_ppm));
    }
    let mut dataset = json!({
        "name": manifest.title,
        "type": format!("{ARENA}/{}", manifest.id),
        "split": "public",
    });
    if let Some((commit, receipt)) = verified {
        dataset["revision"] = json!(commit);
        for metric in &mut metrics {
            (metric["verified"], metric["verifyToken"]) = (json!(true), json!(receipt));
        }
    }
    let task = json!({ "type": "image-classification", "name": "Image classification" });
    json!([{ "name": name, "results": [{ "task": task, "dataset": dataset, "metrics": metrics }] }])
}

fn metric(kind: &str, name: &str, value_ppm: i64) -> Value {
    json!({ "type": kind, "name": name, "value": share(value_ppm) })
}

/// Parts per million as a number.
fn share(value_ppm: i64) -> f64 {
    value_ppm as f64 / 1e6
}

/// The receipt as one word: base64url of the very bytes of `receipt.json`.
fn verify_token(scored: &Scored) -> String {
    URL_SAFE_NO_PAD.encode(&scored.receipt)
}

/// `.eval_results/<competition>.yaml`.
pub(super) fn results(scored: &Scored, links: &Links) -> String {
    let evaluation = &scored.evaluation;
    let competition = &evaluation.competition;
    let mut result = json!({
        "dataset": { "id": format!("{ARENA}/{competition}"), "task_id": TASK, "revision": scored.data_commit },
        "value": share(evaluation.score.accuracy.value_ppm),
        "verifyToken": verify_token(scored),
        "date": date(evaluation.evaluated_at),
        "notes": format!(
            "Measured by the validator; verifyToken is the signed receipt, base64url: retort verify {} --validator {}",
            evaluation.submission,
            links.endpoint()
        ),
    });
    if let Some(url) = links.to(&format!("/submissions/{}", evaluation.submission)) {
        result["source"] = json!({ "name": "Retort", "url": url });
    }
    yaml::block(&json!([result]))
}
