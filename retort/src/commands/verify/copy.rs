//! `retort verify copy`: the evidence between two submissions, from their packages, and what the rules make of it.
//!
//! Weights are compared at any time. Errors on the probes (T4) can be had again once the competition is over, when the
//! probes' seed is shown: until then a miner could train against them. Who announced what when is the log's business.

use super::super::submission;
use super::checks::Checks;
use super::fetched::{fetched, model, uploaded};
use super::rerun;
use crate::cli::VerifyCopyArgs;
use anyhow::{Context, Result};
use copies::{Evidence, Fingerprint, ProbeLogits, Relation, Thresholds, compare, relation};
use miner_template::client::Client;
use protocol::amendment::EngineInForce;
use protocol::api::CompetitionView;
use protocol::evaluation::{Inputs, Items, PackageBytes, Truth};
use protocol::nulls::Nulls;
use protocol::package::package_sha256;
use protocol::{Digest, SubmissionId};
use std::sync::Arc;
use validator::copies::{PairView, probes};

pub(super) fn run(args: &VerifyCopyArgs) -> Result<()> {
    let client = Client::new(args.first.validator(&args.validator.validator));
    let mut checks = Checks::new(args.json);
    let examined = examine(&client, args, &mut checks);
    checks.ended(examined, "the evidence")
}

fn examine(client: &Client, args: &VerifyCopyArgs, checks: &mut Checks) -> Result<()> {
    let [first, second] = [&args.first, &args.second].map(|which| submission(client, which));
    let stated: PairView = client.get_json(&format!("/api/v1/copies/{}/{}", first?, second?))?;
    let view = client.competition(&stated.competition)?;
    let Some(earlier) = package(client, &stated.earlier, checks)? else { return Ok(()) };
    let Some(later) = package(client, &stated.later, checks)? else { return Ok(()) };
    let Some(answers) = answers(client, &view, [&earlier, &later], checks)? else { return Ok(()) };
    let answers = answers.map_err(|why| checks.unclear("T4", format!("{why}; it is taken as stated"))).ok();
    let manifest = &view.competition.manifest;
    let ports = (manifest.input.shape(), manifest.labels.len());
    let print = |package: &PackageBytes, which: usize| {
        let logits = answers.as_ref().map(|all| ProbeLogits { student: &all.students[which], teacher: &all.teacher });
        Fingerprint::of_package(&package.config_json, &package.weights, ports, logits)
    };
    let mut ours = compare(&print(&earlier, 0)?, &print(&later, 1)?);
    weights(&stated.evidence, &ours, checks);
    match answers {
        Some(_) => errors(&stated.evidence, &ours, checks),
        None => {
            ours.residual_correlation_ppm = stated.evidence.residual_correlation_ppm;
            ours.unexplained_ppm = stated.evidence.unexplained_ppm;
        }
    }
    if let Some(ppm) = stated.evidence.fresh_residual_correlation_ppm {
        checks.unclear("T4 on fresh items", format!("{ppm} ppm, taken as stated: it is of a round's hidden items"));
        ours.fresh_residual_correlation_ppm = Some(ppm);
    }
    verdict(&stated, &ours, manifest.nulls.as_ref(), checks);
    Ok(())
}

/// A submission's files as they were uploaded.
fn package(client: &Client, submission: &SubmissionId, checks: &mut Checks) -> Result<Option<PackageBytes>> {
    let Some(status) = fetched("package", client.status(submission), checks)? else { return Ok(None) };
    let Some(files) = uploaded(client, &status, checks)? else { return Ok(None) };
    let sha256 = package_sha256(&files.config_json, &files.weights);
    checks.ok("package", format!("{submission} is sha256:{} of {}", sha256.short(), status.hotkey));
    Ok(Some(files))
}

/// What the teacher, or whatever stands for it, and two students say of the probes.
struct Answers {
    teacher: Vec<f32>,
    students: [Vec<f32>; 2],
}

/// Asks all three, or says why they can't be asked: the probes aren't public yet, or models can't be run here. Nothing at all
/// if the seed is another than was committed to.
fn answers(
    client: &Client,
    view: &CompetitionView,
    students: [&PackageBytes; 2],
    checks: &mut Checks,
) -> Result<Option<Result<Answers, String>>> {
    let Some(seed) = view.probe_seed else {
        return Ok(Some(Err("the probes are secret until the competition is over".to_owned())));
    };
    let committed = view.competition.probes_sha256 == Digest::of(seed.as_bytes());
    let detail = format!("seed {}, as committed to when the competition was published", seed.short());
    if !checks.that("probes", committed, detail, "their seed is not the one that the competition commits to") {
        return Ok(None);
    }
    // Of a teacher that nobody can ask the reference stands for it on the probes.
    let beside = view.competition.teacher.model().unwrap_or(&view.competition.reference);
    let Some(teacher) = model(client, beside, checks)? else { return Ok(None) };
    let Some(reference) = model(client, &view.competition.reference, checks)? else { return Ok(None) };
    let probes: Arc<[u8]> = probes(&seed, view.competition.manifest.input.shape()).into();
    let ask = |who: &str, package: &PackageBytes| ask(who, view, package, &reference, &probes);
    let asked = || -> Result<Answers> {
        let students = [ask("the earlier one", students[0])?, ask("the later one", students[1])?];
        Ok(Answers { teacher: ask("what errors are counted beside", &teacher)?, students })
    };
    Ok(Some(asked().map_err(|problem| format!("models can't be run here: {problem:#}"))))
}

/// The logits of one model on the probes, through the engine that the validator used.
fn ask(
    who: &str,
    view: &CompetitionView,
    candidate: &PackageBytes,
    reference: &PackageBytes,
    probes: &Arc<[u8]>,
) -> Result<Vec<f32>> {
    let manifest = &view.competition.manifest;
    let input = manifest.input.clone();
    // An evaluation has items; one is enough.
    let values = input.shape().values() as usize;
    let pixels = probes.get(..values).context("a competition's probes are at least one")?.to_vec().into();
    let truth = Truth { labels: Arc::from([0]), public: 1, teacher_logits: None };
    let items = Items { inputs: Inputs { spec: input, pixels }, truth };
    let models = (candidate.clone(), reference.clone());
    let engine = EngineInForce::of(manifest.engine, &view.amendments, u64::MAX).engine;
    Ok(rerun::answers(who, models, items, Arc::clone(probes), engine)?.probe_logits)
}

/// T0 to T3, which are whole numbers made of the packages alone: the same on every machine.
fn weights(stated: &Evidence, ours: &Evidence, checks: &mut Checks) {
    let share = |ppm: Option<i32>| ppm.map_or("none".into(), |ppm| format!("{:.4}", f64::from(ppm) / 1e6));
    let shown = |evidence: &Evidence| {
        format!(
            "same bytes {}, same numbers {}, same reordered {}, units match {}",
            evidence.same_package,
            evidence.same_canonical,
            evidence.same_symmetric,
            share(evidence.weight_match_ppm)
        )
    };
    let Evidence { residual_correlation_ppm, unexplained_ppm, fresh_residual_correlation_ppm, .. } = *stated;
    let outputs =
        Evidence { residual_correlation_ppm, unexplained_ppm, fresh_residual_correlation_ppm, ..ours.clone() };
    let same = outputs == *stated;
    checks.that("T0 to T3", same, shown(ours), format!("{} here, but it states {}", shown(ours), shown(stated)));
}

/// T4, which rests on outputs: bit for bit the same on the same class of machine.
fn errors(stated: &Evidence, ours: &Evidence, checks: &mut Checks) {
    let shown =
        |evidence: &Evidence| evidence.residual_correlation_ppm.map_or("none".into(), |ppm| format!("{ppm} ppm"));
    match (stated.residual_correlation_ppm, ours.residual_correlation_ppm) {
        (there, here) if there == here => checks.ok("T4", format!("errors on the probes correlate by {}", shown(ours))),
        // Another instruction set rounds otherwise in the last bits, which moves a correlation by millionths.
        (Some(there), Some(here)) if there.abs_diff(here) <= 1_000 => {
            checks.unclear("T4", format!("{} here, {} there: another class of machine?", shown(ours), shown(stated)));
        }
        _ => checks.bad("T4", format!("{} here, but it states {}", shown(ours), shown(stated))),
    }
}

/// What the rules make of our evidence.
fn verdict(stated: &PairView, ours: &Evidence, nulls: Option<&Nulls>, checks: &mut Checks) {
    let thresholds = Thresholds::between(nulls, &stated.families[0], &stated.families[1]);
    let here = relation(ours, &thresholds);
    let detail = match here {
        Relation::Independent => "independent".to_owned(),
        Relation::Suspicion(_) => "alike in one respect, which has no consequences".to_owned(),
        Relation::Copy(_) | Relation::KnownStart if stated.relation == Relation::KnownStart => {
            "alike, but both begin with a known package by what is stated: no consequences".to_owned()
        }
        Relation::KnownStart => "both begin with a known package: no consequences".to_owned(),
        Relation::Copy(_) if stated.has_consequences => "a copy: the later one counts as the earlier one".to_owned(),
        Relation::Copy(_) => "alike, but the later one's owner goes on with its own work: no consequences".to_owned(),
    };
    let may_have_consequences = matches!(here, Relation::Copy(_)) && stated.hotkeys[0] != stated.hotkeys[1];
    // Leniency needs no proof: it takes nothing from the later one.
    let lenient = stated.relation == Relation::KnownStart && matches!(here, Relation::Copy(_));
    let consistent = (stated.relation == here || lenient)
        && stated.thresholds == thresholds
        && (may_have_consequences || !stated.has_consequences);
    checks.that("verdict", consistent, detail, format!("{here:?} by the rules, but it states {:?}", stated.relation));
}
