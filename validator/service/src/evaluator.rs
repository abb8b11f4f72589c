//! The narrow door to the evaluation engine: a request in, a report out.
//!
//! The binary puts a sandboxed worker process behind it; tests put a script there. This file knows no engine, no
//! process and no model, only the words of `protocol::evaluation`. What every implementation promises is [`conformance`].

pub mod conformance;

use futures::FutureExt;
use futures::future::BoxFuture;
use program::package::Classifier;
use protocol::Digest;
use protocol::architecture::Costs;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Scope, outputs_digest};
use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::package::{Format, PackageConfig, package_sha256};
use protocol::report::{
    CONFUSION_CLASSES_MAX, Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality,
    REPORT_FORMAT, Report,
};
use protocol::score::share_ppm;
use protocol::submission::Rejection;
use serde_json::json;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How far an evaluation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a word or two.
    pub phase: String,
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 where nobody knows.
    pub total: u64,
}

/// Hears about progress. It may be called from any thread and must not block.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// What is measured on, while it is nobody else's: whatever the engine needs to know that, until it is dropped.
pub struct Machine(Box<dyn Any + Send>);

impl Machine {
    /// A machine that is held by `hold`.
    pub fn held_by(hold: impl Any + Send) -> Self {
        Self(Box::new(hold))
    }

    /// What holds it, if it is of this kind.
    pub fn hold<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Measures a package. Dropping a future of it ends the waiting, or the evaluation and whatever runs for it; within
/// [`conformance::PROMISE`] the machine is the next one's.
pub trait Evaluator: Send + Sync {
    /// Waits until the machine is free, as long as that takes: no evaluation has begun, and nobody's time runs.
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        std::future::ready(Ok(Machine::held_by(()))).boxed()
    }

    /// Measures `request.candidate` on a machine that is this evaluation's alone.
    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>>;

    /// The engine that is asked for as this machine has it: named with its version and the digest of its library.
    ///
    /// # Errors
    /// When it lacks it, in words that say what to do. That is nobody's fault but ours.
    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        std::future::ready(Ok(asked)).boxed()
    }

    /// The library of an engine, if it is a file beside the program: kept with the competition that names it.
    ///
    /// # Errors
    /// As [`Self::official`].
    fn library(&self, _engine: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// Whether it can measure at the moment, shown on a model that is known to work.
    fn try_out(&self, request: EvaluationRequest) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        async move { self.evaluate(self.machine().await?, request, silent()).await.map(drop) }.boxed()
    }
}

/// Waits for the machine, however long, and measures on it.
pub async fn evaluated(
    evaluator: &dyn Evaluator,
    request: EvaluationRequest,
    progress: ProgressFn,
) -> Result<Evaluation, EvaluationFailure> {
    progress(Progress { phase: "waiting for the machine".into(), done: 0, total: 0 });
    let machine = evaluator.machine().await?;
    evaluator.evaluate(machine, request, progress).await
}

/// How much longer than its own limit the engine may take before we stop believing in it.
const GRACE: Duration = Duration::from_secs(30);

/// Waits for the machine, measures the package of this digest on it, and takes a report for an answer only if it is about that package and all the
/// items asked about.
pub async fn measured(
    evaluator: &dyn Evaluator,
    request: EvaluationRequest,
    package_sha256: Digest,
) -> Result<Evaluation, EvaluationFailure> {
    let machine = evaluator.machine().await?;
    measured_on(evaluator, machine, request, package_sha256).await
}

/// The same on a machine that was waited for. The engine's time begins here.
pub async fn measured_on(
    evaluator: &dyn Evaluator,
    machine: Machine,
    request: EvaluationRequest,
    package_sha256: Digest,
) -> Result<Evaluation, EvaluationFailure> {
    let ours = EvaluationFailure::Infrastructure;
    let (items, official) = (request.items.labels.len(), request.engine);
    let limit = Duration::from_secs(request.wall_seconds_max) + GRACE;
    let evaluation = tokio::time::timeout(limit, evaluator.evaluate(machine, request, silent()))
        .await
        .map_err(|_| ours(format!("no answer for {} s", limit.as_secs())))??;
    let report = &evaluation.report;
    if report.package_sha256 != package_sha256 || report.data.items as usize != items {
        return Err(ours("the report is about another package or other items".into()));
    }
    if !official.measured(&report.engine) {
        return Err(ours(format!("it was measured on {}, and asked for on {official}", report.engine)));
    }
    Ok(evaluation)
}

/// Says nothing.
pub fn silent() -> ProgressFn {
    Arc::new(|_| {})
}

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
            let digest = package_of(&request);
            let correct_ppm = match request.items.teacher_logits {
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

    fn try_out(&self, _: EvaluationRequest) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        std::future::ready((self.fit)()).boxed()
    }
}

/// The digest that names the request's candidate.
pub fn package_of(request: &EvaluationRequest) -> Digest {
    package_sha256(&request.candidate.config_json, &request.candidate.weights)
}

/// A made-up evaluation whose numbers agree with each other: right on the first `correct_ppm` of every million items.
///
/// # Errors
/// When the candidate or the reference can't be read.
pub fn scripted_evaluation(request: &EvaluationRequest, correct_ppm: u64) -> Result<Evaluation, EvaluationFailure> {
    let config = PackageConfig::from_json(&request.reference.config_json)?;
    let (labels, classes) = (&request.items.labels, config.labels.len());
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
    as_expected(request, &logits, classes)?;
    let right = |count: usize| answers.iter().zip(labels.iter()).take(count).filter(|(a, l)| **a == usize::from(**l));
    let correct = right(labels.len()).count() as u32;
    let public_correct = right(request.items.public as usize).count() as u32;
    let quality = Quality { correct, public_correct, confusion, negative_flips: 0, positive_flips: 0 };
    let mut report = scripted_report(request, costs, quality);
    if matches!(request.scope, Scope::FullFrom(correct_min) if correct < correct_min) {
        report.latency = Latency::default();
    }
    report.outputs_sha256 = outputs_digest(&logits);
    let outcomes = scripted_outcomes(request, &report, &answers);
    let latency_samples = scripted_samples(&report, &outcomes);
    report.latency.samples_sha256 = Some(Digest::of(&latency_samples));
    let probes = request.probes.len() / config.input.shape().values() as usize;
    Ok(Evaluation { report, logits, probe_logits: vec![0.0; probes * classes], outcomes, latency_samples })
}

/// As the engine does first of all.
fn as_expected(request: &EvaluationRequest, logits: &[f32], classes: usize) -> Result<(), Rejection> {
    let Some(expected) = &request.expected else { return Ok(()) };
    let asked = expected.asks(&request.items.pixels);
    let rows = asked.iter().flat_map(|asked| logits.iter().skip(asked.place * classes).take(classes));
    expected.compare(&asked, &rows.copied().collect::<Vec<f32>>(), false)
}

fn scripted_outcomes(request: &EvaluationRequest, report: &Report, answers: &[usize]) -> Outcomes {
    let labels = &request.items.labels;
    let ratio = report.latency.ratio.value_ppm as f64 / 1e6;
    let log_ratio_nanos = match request.scope {
        Scope::OutputsOnly => Vec::new(),
        _ if report.latency.launches == 0 => Vec::new(),
        Scope::Full | Scope::FullFrom(_) => vec![libm::round(libm::log(ratio.max(1e-6)) * 1e9) as i64; 15],
    };
    let values = OutcomeValues {
        images_sha256: report.data.images_sha256,
        size_bytes: report.cost.size_bytes,
        public_items: request.items.public,
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
    let candidate = &request.candidate;
    Ok(match Format::of_config(&candidate.config_json) {
        Format::Catalogue => {
            let config = PackageConfig::from_json(&candidate.config_json)?;
            config.plan().ok().and_then(|plan| plan.costs().ok()).unwrap_or_default()
        }
        Format::Onnx => Classifier::read(&candidate.weights, request.items.input.shape(), classes)?.costs,
    })
}

fn scripted_report(request: &EvaluationRequest, costs: Costs, quality: Quality) -> Report {
    let items = request.items.labels.len() as u32;
    let file_bytes = request.candidate.weights.len() as u64;
    let ratio_ppm = share_ppm(file_bytes, request.reference.weights.len() as u64);
    Report {
        format: REPORT_FORMAT.into(),
        package_sha256: package_of(request),
        engine: "scripted/1".into(),
        host: Host::default(),
        device: "scripted".into(),
        data: DataSeen {
            images_sha256: Digest::of(&request.items.pixels),
            // As the engine does: JSON would round the higher bits of a seed.
            seed: request.seed & ((1 << 53) - 1),
            items,
            public_items: request.items.public,
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
