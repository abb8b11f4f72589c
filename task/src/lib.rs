//! What an answer is worth beside the truth: reports are made here, by whoever gave the order.
//!
//! One folder a task; [`classification`] is the only one so far. What is true of items, and what outputs come to beside it, is
//! the task's; that an answer is about its order, and what a report is made of, is the same for all and stands in this file.
//!
//! Architecture invariant: whatever measures (`eval`) doesn't depend on this crate. It does NOT know how anything is measured,
//! links no ML crate and does no I/O.

#![warn(missing_docs)]

pub mod classification;

use classification::{Marks, marks};
use protocol::Report;
use protocol::backend::Backend;
use protocol::evaluation::{Answer, Evaluation, EvaluationFailure, EvaluationRequest, Measured, outputs_digest};
use protocol::outcomes::{OutcomeValues, Outcomes, OutcomesError};
use protocol::report::{DataSeen, REPORT_FORMAT};
use std::time::Instant;

/// Why no evaluation comes of an answer. It is never the package's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// What the answers are held against doesn't fit what was asked, or contradicts itself.
    #[error("the evaluation items make no sense: {0}")]
    Truth(String),
    /// It is about another package, other items or another seed.
    #[error("the answer is about another package or other items than were ordered")]
    Another,
    /// Too many outputs, or too few.
    #[error("the answer has {found} outputs, which is not as many for each of {items} items and {probes} probes")]
    Outputs {
        /// How many there are, of items and probes together.
        found: usize,
        /// Items of the order.
        items: usize,
        /// Probes of the order.
        probes: usize,
    },
    /// What it has to be about can't be told.
    #[error(transparent)]
    Unread(EvaluationFailure),
    /// It came from a backend that the order doesn't allow.
    #[error("the answers came from {0}, which the order doesn't allow")]
    Backend(Backend),
    /// Nothing ranks by what is no number.
    #[error("the answer has outputs that are no finite numbers")]
    NotFinite,
    /// Its figures are out of all range.
    #[error("the outcomes: {0}")]
    Outcomes(#[from] OutcomesError),
}

impl From<AnswerError> for EvaluationFailure {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Unread(failure) => failure,
            error => Self::Infrastructure(error.to_string()),
        }
    }
}

/// Whether a request can be answered at all, as far as that shows before anybody is asked.
///
/// # Errors
/// [`AnswerError::Truth`] with what doesn't fit.
pub fn check(request: &EvaluationRequest) -> Result<(), AnswerError> {
    classification::check(&request.truth, request.order.inputs.count()).map_err(AnswerError::Truth)
}

/// Whether it is worth anybody's time to time a model with these outputs `[items, classes]`.
pub fn is_worth_timing(request: &EvaluationRequest, outputs: &[f32]) -> bool {
    request.timed_from == 0 || classification::correct(&request.truth, outputs) >= request.timed_from
}

/// Holds an answer against the order and the truth. Nothing of it is believed that can be computed here.
///
/// # Errors
/// As [`AnswerError`] says: an answer may come from another machine.
pub fn evaluation(request: &EvaluationRequest, answer: Answer) -> Result<Evaluation, AnswerError> {
    let began = Instant::now();
    check(request)?;
    let EvaluationRequest { order, truth, .. } = request;
    let Answer { measured, outputs, probe_outputs, latency_samples, log_ratio_nanos } = answer;
    if measured.about != order.about().map_err(AnswerError::Unread)? {
        return Err(AnswerError::Another);
    }
    if let Some(found) = measured.on_backend.as_ref().filter(|found| !order.backends.contains(&found.backend)) {
        return Err(AnswerError::Backend(found.backend));
    }
    let (items, probes) = (order.inputs.count(), order.probe_count());
    let classes = outputs.len() / items;
    if classes == 0 || outputs.len() != items * classes || probe_outputs.len() != probes * classes {
        return Err(AnswerError::Outputs { found: outputs.len() + probe_outputs.len(), items, probes });
    }
    if !outputs.iter().chain(&probe_outputs).all(|value| value.is_finite()) {
        return Err(AnswerError::NotFinite);
    }
    let Marks { quality, fidelity, calibration, right, js_micronats } =
        marks(truth, &outputs, classes).map_err(AnswerError::Truth)?;
    let Measured { about, engine, host, device, on_backend, latency, cost, mut phases_ms } = measured;
    let outcomes = Outcomes::new(OutcomeValues {
        images_sha256: about.images_sha256,
        size_bytes: cost.size_bytes,
        public_items: truth.public,
        right,
        js_micronats,
        log_ratio_nanos,
    })?;
    let data = DataSeen {
        images_sha256: about.images_sha256,
        seed: about.seed,
        items: about.items,
        public_items: truth.public,
    };
    let outputs_sha256 = outputs_digest(&outputs);
    phases_ms.metrics = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let report = Report {
        format: REPORT_FORMAT.into(),
        package_sha256: about.package_sha256,
        engine,
        host,
        device,
        on_backend,
        data,
        outputs_sha256,
        quality,
        fidelity,
        calibration,
        latency,
        cost,
        phases_ms,
    };
    Ok(Evaluation { report, logits: outputs, probe_logits: probe_outputs, outcomes, latency_samples })
}
