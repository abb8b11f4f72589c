//! What a submission is asked: the order for whoever measures it, and the truth that stays here. It gives no order.

use crate::app::App;
use crate::materials;
use crate::state::materials::MaterialError;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{EvaluationRequest, Items, Order, Scope};
use protocol::score::Scale;
use std::sync::Arc;
use store::db::competitions::StoredCompetition;
use store::db::submissions::Submission;

/// The request for a submission, on `engine` in the order that `seed` says; without probes where a machine isn't ours.
pub(super) async fn request(
    app: &App,
    submission: &Submission,
    stored: &StoredCompetition,
    (seed, engine, is_ours): (u64, OfficialEngine, bool),
) -> Result<EvaluationRequest, MaterialError> {
    let materials = app.materials.of(&app.objects, stored).await?;
    let Items { inputs, truth } = materials.items.clone();
    let order = Order {
        candidate: materials::submitted(app, &submission.id).await?,
        reference: materials.reference.clone(),
        inputs,
        // Whoever knew the probes could train against them.
        probes: if is_ours { Arc::clone(&materials.probes) } else { Arc::default() },
        expected: None,
        engine,
        backends: stored.competition.manifest.backends.accuracy.clone(),
        scope: Scope::FullIfWorthIt,
        seed,
        wall_seconds_max: stored.competition.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    Ok(EvaluationRequest { order, truth, timed_from: worth_timing(stored) })
}

/// Right answers to the public items without which a model is below the gate beyond doubt, so that nobody times it.
fn worth_timing(stored: &StoredCompetition) -> u32 {
    let manifest = &stored.competition.manifest;
    Scale::new(&manifest.score, stored.competition.teacher.ceiling()).hopeless_below(manifest.data.public_items)
}
