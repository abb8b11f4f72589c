//! An evaluator that follows a script, for tests and for showing: no model runs, nothing is measured, and the truth is the
//! script's to make answers from.

use futures::FutureExt;
use futures::future::BoxFuture;
use program::package::Classifier;
use protocol::Digest;
use protocol::architecture::Costs;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Order, Scope, outputs_digest};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::package::{Format, PackageConfig};
use protocol::report::{
    CONFUSION_CLASSES_MAX, Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality,
    REPORT_FORMAT, Report,
};
use protocol::score::share_ppm;
use protocol::submission::Rejection;
use serde_json::json;
use service::evaluator::{Evaluator, Machine, Progress, ProgressFn};
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a [`ScriptedEvaluator`] does with a request.
pub type Script = dyn Fn(EvaluationRequest) -> BoxFuture<'static, Result<Evaluation, EvaluationFailure>> + Send + Sync;

/// An evaluator that follows a script, for one at a time as on any machine: for tests, where no model runs.
#[derive(Clone)]
pub struct ScriptedEvaluator {
    script: Arc<Script>,
    fit: Arc<Fit>,
    machine: Arc<Mutex<()>>,
}

/// Whether a [`ScriptedEvaluator`] works when it is tried out.
pub type Fit = dyn Fn() -> Result<(), EvaluationFailure> + Send + Sync;

impl ScriptedEvaluator {
    /// Follows `script`, and always works when it is tried out: the script isn't asked for that.
    pub fn new(script: Arc<Script>) -> Self {
        Self { script, fit: Arc::new(|| Ok(())), machine: Arc::default() }
    }

    /// What the script says to a request, for another script.
    pub fn follow(&self, request: EvaluationRequest) -> BoxFuture<'static, Result<Evaluation, EvaluationFailure>> {
        (self.script)(request)
    }

    /// The same, but tried out it does as `fit` says.
    #[must_use]
    pub fn fit(self, fit: Arc<Fit>) -> Self {
        Self { fit, ..self }
    }
}

impl Default for ScriptedEvaluator {
    /// The teacher is right on 96 %, everyone else on 88 to 95 %, as the package's digest says.
    fn default() -> Self {
        let script = |request: EvaluationRequest| async move {
            let digest = request.order.package_sha256();
            let correct_ppm = match request.truth.teacher_logits {
                None => 960_000,
                Some(_) => 880_000 + 70_000 * u64::from(digest.as_bytes()[0]) / 255,
            };
            scripted_evaluation(&request, correct_ppm)
        };
        Self::new(Arc::new(move |request| script(request).boxed()))
    }
}

impl Evaluator for ScriptedEvaluator {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        let free = Arc::clone(&self.machine).lock_owned();
        free.map(|held| Ok(Machine::held_by(held))).boxed()
    }

    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        progress(Progress { phase: "accuracy".into(), done: 0, total: 1 });
        let evaluation = self.follow(request);
        async move {
            let _machine = machine;
            let evaluation = evaluation.await;
            progress(Progress { phase: "accuracy".into(), done: 1, total: 1 });
            evaluation
        }
        .boxed()
    }

    fn try_out(&self, _: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        std::future::ready((self.fit)()).boxed()
    }
}

/// A made-up evaluation whose numbers agree with each other: right on the first `correct_ppm` of every million items.
///
/// # Errors
/// When the candidate or the reference can't be read.
pub fn scripted_evaluation(request: &EvaluationRequest, correct_ppm: u64) -> Result<Evaluation, EvaluationFailure> {
    let config = PackageConfig::from_json(&request.order.reference.config_json)?;
    let (labels, classes) = (&request.truth.labels, config.labels.len());
    let costs = scripted_costs(request, classes)?;
    let items = labels.len() as u64;
    let answer = |index: usize, label: u16| {
        let right = (index as u64 * 7_919) % items * 1_000_000 < correct_ppm * items;
        if right { usize::from(label) } else { (usize::from(label) + 1) % classes }
    };
    let answers: Vec<usize> = labels.iter().enumerate().map(|(index, label)| answer(index, *label)).collect();
    let mut logits = vec![0.0; labels.len() * classes];
    let told = if classes > CONFUSION_CLASSES_MAX { 0 } else { classes };
    let mut confusion = vec![vec![0_u32; told]; told];
    for (index, (answer, label)) in answers.iter().zip(labels.iter()).enumerate() {
        logits[index * classes + answer] = 4.0;
        if let Some(row) = confusion.get_mut(usize::from(*label)) {
            row[*answer] += 1;
        }
    }
    as_expected(&request.order, &logits, classes)?;
    let right = |count: usize| answers.iter().zip(labels.iter()).take(count).filter(|(a, l)| **a == usize::from(**l));
    let correct = right(labels.len()).count() as u32;
    let public_correct = right(request.truth.public as usize).count() as u32;
    let quality = Quality { correct, public_correct, confusion, negative_flips: 0, positive_flips: 0 };
    let mut report = scripted_report(request, costs, quality);
    if request.order.scope == Scope::FullIfWorthIt && correct < request.timed_from {
        report.latency = Latency::default();
    }
    report.outputs_sha256 = outputs_digest(&logits);
    let outcomes = scripted_outcomes(request, &report, &answers);
    let latency_samples = scripted_samples(&report, &outcomes);
    report.latency.samples_sha256 = Some(Digest::of(&latency_samples));
    let probes = request.order.probe_count();
    Ok(Evaluation { report, logits, probe_logits: vec![0.0; probes * classes], outcomes, latency_samples })
}

/// As the engine does first of all.
fn as_expected(order: &Order, logits: &[f32], classes: usize) -> Result<(), Rejection> {
    let Some(expected) = &order.expected else { return Ok(()) };
    let rows = expected.places().flat_map(|place| logits.iter().skip(place * classes).take(classes));
    expected.compare(&rows.copied().collect::<Vec<f32>>(), false)
}

fn scripted_outcomes(request: &EvaluationRequest, report: &Report, answers: &[usize]) -> Outcomes {
    let labels = &request.truth.labels;
    let ratio = report.latency.ratio.value_ppm as f64 / 1e6;
    let log_ratio_nanos = match request.order.scope {
        Scope::OutputsOnly => Vec::new(),
        _ if !report.latency.is_timed() => Vec::new(),
        Scope::Full | Scope::FullIfWorthIt => vec![libm::round(libm::log(ratio.max(1e-6)) * 1e9) as i64; 15],
    };
    let values = OutcomeValues {
        images_sha256: report.data.images_sha256,
        size_bytes: report.cost.size_bytes,
        public_items: request.truth.public,
        right: answers.iter().zip(labels.iter()).map(|(answer, label)| *answer == usize::from(*label)).collect(),
        js_micronats: vec![50_000; labels.len()],
        log_ratio_nanos,
    };
    Outcomes::new(values).expect("in range, because a script makes them")
}

/// No times, but what a report and its outcomes would make of them.
fn scripted_samples(report: &Report, outcomes: &Outcomes) -> Vec<u8> {
    let log_ratio_nanos = &outcomes.values().log_ratio_nanos;
    let said = json!({"seed": report.data.seed, "latency": report.latency, "log_ratio_nanos": log_ratio_nanos});
    said.to_string().into_bytes()
}

/// What the candidate costs, as the engine counts it.
fn scripted_costs(request: &EvaluationRequest, classes: usize) -> Result<Costs, EvaluationFailure> {
    let candidate = &request.order.candidate;
    Ok(match Format::of_config(&candidate.config_json) {
        Format::Catalogue => {
            let config = PackageConfig::from_json(&candidate.config_json)?;
            config.plan().ok().and_then(|plan| plan.costs().ok()).unwrap_or_default()
        }
        Format::Onnx => Classifier::read(&candidate.weights, request.order.inputs.spec.shape(), classes)?.costs,
    })
}

fn scripted_report(request: &EvaluationRequest, costs: Costs, quality: Quality) -> Report {
    let order = &request.order;
    let about = order.about().expect("items that can be read, because a script makes them");
    let file_bytes = order.candidate.weights.len() as u64;
    let ratio_ppm = share_ppm(file_bytes, order.reference.weights.len() as u64);
    Report {
        format: REPORT_FORMAT.into(),
        package_sha256: about.package_sha256,
        engine: "scripted/1".into(),
        host: Host::default(),
        device: "scripted".into(),
        on_backend: None,
        data: DataSeen {
            images_sha256: about.images_sha256,
            seed: about.seed,
            items: about.items,
            public_items: request.truth.public,
        },
        outputs_sha256: Digest::from([0; 32]),
        fidelity: Fidelity { agreement: quality.correct, js_micronats: 50_000, ..Fidelity::default() },
        quality,
        calibration: Calibration::default(),
        latency: Latency {
            ratio: Estimate {
                value_ppm: ratio_ppm,
                low_ppm: ratio_ppm * 995 / 1_000,
                high_ppm: ratio_ppm * 1_005 / 1_000,
            },
            launches: 1,
            pairs: 1,
            p50_ns: 20_000,
            p90_ns: Some(25_000),
            reference_p50_ns: 20_000,
            cold_load_ns: 1_000_000,
            ..Latency::default()
        },
        cost: Cost {
            size_bytes: costs.size_bytes,
            file_bytes,
            parameters: costs.parameters,
            macs: costs.macs,
            activation_bytes: costs.activation_bytes_peak,
            peak_rss_bytes: 0,
            throughput_milli: 0,
        },
        phases_ms: Phases::default(),
    }
}
