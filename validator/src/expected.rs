//! Answers that a package brings (`expected.safetensors`): read at admission, held against what the engine answers, so that a
//! model that would be measured as another function is refused with the first difference.
//!
//! It does not know how anything is evaluated.

use crate::app::App;
use crate::materials::MaterialError;
use bytes::Bytes;
use protocol::SubmissionId;
use protocol::competition::Manifest;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::package::{EXPECTED_FILE, Expected, is_half_precision};
use protocol::submission::Rejection;
use std::sync::Arc;

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

/// What a package says it answers, with what it takes to hold a measurement against that.
pub(crate) struct Expectation {
    answers: Expected,
    is_half_precision: bool,
    /// Of the public items.
    pixels: Arc<[u8]>,
}

impl Expectation {
    /// That of the candidate of a request, if it has one. The request's own bytes are looked at, so that no model is read twice.
    pub(crate) async fn of(
        app: &App,
        id: &SubmissionId,
        manifest: &Manifest,
        request: &EvaluationRequest,
    ) -> Result<Option<Self>, EvaluationFailure> {
        let file = file_of(app, id).await.map_err(|error| EvaluationFailure::Infrastructure(error.to_string()))?;
        let Some(file) = file else { return Ok(None) };
        Ok(Some(Self {
            answers: read(&file, manifest)?,
            is_half_precision: is_half_precision(&request.candidate.weights)?,
            pixels: Arc::clone(&request.items.pixels),
        }))
    }

    /// Holds a measurement's answers to public items against it.
    pub(crate) fn compare(&self, evaluation: &Evaluation) -> Result<(), Rejection> {
        self.answers.compare(&self.pixels, &evaluation.logits, self.is_half_precision).map(drop)
    }
}
