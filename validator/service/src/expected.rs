//! Answers that a package brings (`expected.safetensors`): read at admission, and again for the evaluation, which begins by
//! holding them against what the engine answers.
//!
//! It does not know how anything is evaluated.

use crate::app::App;
use crate::state::materials::MaterialError;
use bytes::Bytes;
use protocol::SubmissionId;
use protocol::competition::Manifest;
use protocol::evaluation::EvaluationFailure;
use protocol::package::{EXPECTED_FILE, Expected};
use protocol::submission::Rejection;
use std::sync::Arc;

/// The bytes of a submission's file, if it brings one.
pub async fn file_of(app: &App, id: &SubmissionId) -> Result<Option<Bytes>, MaterialError> {
    let files = app.db.files(id).await?;
    match files.iter().find(|file| file.declared.path == EXPECTED_FILE) {
        Some(file) => Ok(Some(app.objects.get(&file.declared.sha256).await?)),
        None => Ok(None),
    }
}

/// What is in it.
pub fn read(file: &[u8], manifest: &Manifest) -> Result<Expected, Rejection> {
    Expected::read(file, manifest.input.shape(), manifest.labels.len())
}

/// What a submission says that it answers, if it says so.
pub async fn of(app: &App, id: &SubmissionId, manifest: &Manifest) -> Result<Option<Arc<Expected>>, EvaluationFailure> {
    let file = file_of(app, id).await.map_err(|error| EvaluationFailure::Infrastructure(error.to_string()))?;
    Ok(file.map(|file| read(&file, manifest)).transpose()?.map(Arc::new))
}
