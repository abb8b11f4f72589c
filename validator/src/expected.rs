//! Answers that a package brings (`expected.safetensors`): read at admission, held against what the engine answers, so that a
//! model that would be measured as another function is refused with the first difference.
//!
//! It does not know how anything is evaluated.

use crate::app::App;
use crate::db::competitions::StoredCompetition;
use crate::db::submissions::Submission;
use crate::materials::{self, MaterialError};
use bytes::Bytes;
use protocol::SubmissionId;
use protocol::competition::Manifest;
use protocol::evaluation::{Evaluation, EvaluationFailure};
use protocol::package::{EXPECTED_FILE, Expected, is_half_precision};
use protocol::submission::Rejection;

/// The bytes of a submission's file, if it brings one.
pub(crate) async fn file_of(app: &App, id: &SubmissionId) -> Result<Option<Bytes>, MaterialError> {
    let files = app.db.files(id).await?;
    match files.iter().find(|file| file.declared.path == EXPECTED_FILE) {
        Some(file) => Ok(Some(app.objects.get(&file.declared.sha256).await?)),
        None => Ok(None),
    }
}

/// What is in it.
pub(crate) fn read(file: &[u8], manifest: &Manifest) -> Result<Expected, Rejection> {
    Expected::read(file, manifest.input.shape(), manifest.labels.len())
}

/// Holds a measurement's answers to public items against what its package says.
pub(crate) async fn compare(
    app: &App,
    submission: &Submission,
    stored: &StoredCompetition,
    evaluation: &Evaluation,
) -> Result<(), EvaluationFailure> {
    let ours = |error: MaterialError| EvaluationFailure::Infrastructure(error.to_string());
    let Some(file) = file_of(app, &submission.id).await.map_err(ours)? else { return Ok(()) };
    let materials = app.materials.of(&app.objects, stored).await.map_err(ours)?;
    let [_, weights] = materials::files_of(app, &submission.id).await.map_err(ours)?;
    let expected = read(&file, &stored.competition.manifest)?;
    expected.compare(&materials.items.pixels, &evaluation.logits, is_half_precision(&weights)?)?;
    Ok(())
}
