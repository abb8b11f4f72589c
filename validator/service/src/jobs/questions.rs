//! Questions whose parts are all named by digest: an order is made of their objects, and what is said becomes objects again.
//!
//! It does not know who asks, nor what for.

use crate::app::App;
use crate::rounds::RoundError;
use crate::state::materials;
use datasets::{Images, Logits};
use protocol::digest::canonical_json;
use protocol::evaluation::{Evaluation, EvaluationRequest, Items, Order, PackageBytes, Scope, little_endian};
use std::sync::Arc;
use store::db::work::{Files, Question, Told};
use store::objects::ObjectError;

/// What is ordered, and the truth that stays here.
pub(super) async fn request(app: &App, question: &Question) -> Result<EvaluationRequest, RoundError> {
    let images = Images::from_bytes(&app.objects.get(&question.items).await?)?;
    let teacher_logits = match question.teacher_logits {
        Some(logits) => Some(Logits::from_bytes(&app.objects.get(&logits).await?)?.values),
        None => None,
    };
    let probes: Arc<[u8]> = match question.probes {
        Some(probes) => Arc::from(app.objects.get(&probes).await?.as_ref()),
        None => Arc::from([]),
    };
    let Items { inputs, truth } = images.asked(&question.input, question.public, teacher_logits);
    let order = Order {
        candidate: package(app, question.candidate).await?,
        reference: package(app, question.reference).await?,
        inputs,
        probes,
        expected: None,
        engine: question.engine,
        // Here a bit may matter.
        backends: Vec::new(),
        scope: if question.is_timed { Scope::Full } else { Scope::OutputsOnly },
        seed: question.seed,
        wall_seconds_max: app.config.limits.publish_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    Ok(EvaluationRequest::new(order, truth))
}

async fn package(app: &App, Files { config_json, weights }: Files) -> Result<PackageBytes, ObjectError> {
    materials::package(&app.objects, &config_json, &weights).await
}

/// Stores what was said.
pub(super) async fn told(app: &App, evaluation: Evaluation, took_ms: u64) -> Result<Told, RoundError> {
    let logits = Logits::of_items(evaluation.report.data.items, evaluation.logits);
    Ok(Told::Said {
        report: app.objects.put(canonical_json(&evaluation.report)?.into()).await?,
        logits: app.objects.put(logits.to_bytes()?.into()).await?,
        probe_logits: app.objects.put(little_endian(&evaluation.probe_logits).into()).await?,
        outcomes: app.objects.put(evaluation.outcomes.to_bytes().into()).await?,
        took_ms,
    })
}
