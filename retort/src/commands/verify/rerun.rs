//! The evaluation again, on this machine, and what it says about a receipt: the same outputs bit for bit, the same
//! counts, a latency ratio that fits.
//!
//! Outputs depend on the instruction sets that a matrix multiplication is made for, and latencies on the machine: where
//! this one differs from the receipt's, a difference refutes nothing. It does not fetch anything.

use super::checks::Checks;
use crate::engine::{self, engine, phase_name};
use crate::progress::Phases;
use anyhow::{Context, Result};
use audit::{Timed, on_backend, same_but_for_ties, why_outputs_may_differ};
use eval::{SAMPLES_FORMAT, Samples};
use models::DeviceKind;
use protocol::backend::OnBackend;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Evaluation, EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::latency::{LatencyVerdict, judge};
use protocol::outcomes::Outcomes;
use protocol::report::{Estimate, Host};
use protocol::{Receipt, Report};
use std::sync::Arc;
use validator::config::LatencyEffort;

/// Bytes that the worker may use.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// A published model is given as long as it needs.
const WALL_SECONDS_MAX: u64 = 3_600;

/// What an evaluation is made of, each part checked against its digest.
pub(super) struct Materials {
    pub(super) candidate: PackageBytes,
    pub(super) reference: PackageBytes,
    pub(super) items: Items,
    pub(super) engine: OfficialEngine,
    pub(super) wall_seconds_max: u64,
}

/// Evaluates again and compares.
pub(super) fn rerun(
    receipt: &Receipt,
    report: &Report,
    outcomes: Option<&Outcomes>,
    materials: Materials,
    outputs_only: bool,
    checks: &mut Checks,
) -> Result<()> {
    let Materials { candidate, reference, items: Items { inputs, truth }, engine, wall_seconds_max } = materials;
    let order = Order {
        candidate,
        reference,
        inputs,
        probes: Default::default(),
        expected: None,
        engine,
        backends: Vec::new(),
        scope: if outputs_only { Scope::OutputsOnly } else { Scope::Full },
        seed: receipt.measured.data.seed,
        wall_seconds_max,
        memory_bytes_max: MEMORY_BYTES_MAX,
    };
    let again = match evaluated("verify", &EvaluationRequest::new(order, truth)) {
        Ok(again) => again,
        Err(failure) => {
            checks.unclear("outputs", format!("the evaluation can't be run again here: {failure:#}"));
            return Ok(());
        }
    };
    if let Some(found) = on_backend(report) {
        near_outputs(found, outcomes, &again, checks);
    } else if same_outputs(receipt, report, &again.report, checks) {
        same_counts(report, outcomes, &again, checks);
    }
    if !outputs_only {
        same_latency(report, &again.report, checks);
    }
    Ok(())
}

/// Runs the engine that the validator used; `who` names it in the progress bar.
fn evaluated(who: &str, request: &EvaluationRequest) -> Result<Evaluation> {
    let engine = engine(DeviceKind::Flex, LatencyEffort::Quick)?;
    let phases = Phases::on_terminal(who);
    let evaluated = engine::evaluated(&engine, request, &|at| phases.at(phase_name(at.phase), at.percent.into(), 100));
    phases.finish();
    Ok(evaluated?)
}

/// What raw times say, by the function that made the validator's report of them.
pub(super) fn timed(samples: &[u8]) -> Result<Timed, String> {
    let samples: Samples = serde_json::from_slice(samples).map_err(|error| format!("they can't be read: {error}"))?;
    if samples.format != SAMPLES_FORMAT {
        return Err(format!("they are in another format than {SAMPLES_FORMAT}"));
    }
    let (latency, log_ratio_nanos) = (samples.summary(), samples.log_ratio_nanos());
    Ok(Timed { seed: samples.seed, latency, log_ratio_nanos })
}

/// What one model answers, through the engine that the validator used; `who` names it in the progress bar.
pub(super) fn answers(
    who: &str,
    (candidate, reference): (PackageBytes, PackageBytes),
    Items { inputs, truth }: Items,
    probes: Arc<[u8]>,
    engine: OfficialEngine,
) -> Result<Evaluation> {
    let order = Order {
        candidate,
        reference,
        inputs,
        probes,
        expected: None,
        engine,
        backends: Vec::new(),
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: WALL_SECONDS_MAX,
        memory_bytes_max: MEMORY_BYTES_MAX,
    };
    evaluated(who, &EvaluationRequest::new(order, truth)).with_context(|| format!("ask {who}"))
}

fn same_outputs(receipt: &Receipt, report: &Report, again: &Report, checks: &mut Checks) -> bool {
    let (there, here) = (receipt.measured.outputs_sha256, again.outputs_sha256);
    if there == here {
        checks.ok("outputs", format!("run again: the same bit for bit, sha256:{}", here.short()));
        return true;
    }
    let differ = format!("sha256:{} there, sha256:{} here", there.short(), here.short());
    match why_outputs_may_differ(report, again) {
        Some(why) => checks.unclear("outputs", format!("{differ}; that proves nothing, since {why}")),
        None => checks.bad("outputs", format!("{differ}, on the same engine and class of machine")),
    }
    false
}

/// Of answers from a backend only those may be others that are ties on the official engine.
fn near_outputs(found: &OnBackend, outcomes: Option<&Outcomes>, again: &Evaluation, checks: &mut Checks) {
    let there = format!(
        "answered on {}, a sample of {} held against {}",
        found.backend, found.held_against, again.report.engine
    );
    let Some(outcomes) = outcomes else {
        return checks.unclear("outputs", format!("{there}; without the answers item by item nothing shows more"));
    };
    let items = again.report.data.items;
    match same_but_for_ties(outcomes, again) {
        Ok(ties) => {
            checks.ok("outputs", format!("{there}: run again, {ties} of {items} answers differ, all of them ties"))
        }
        Err(others) => {
            checks.bad("outputs", format!("{there}: run again, {others} of {items} answers differ that are no ties"))
        }
    }
}

/// From equal outputs follow equal counts, to the last unit.
fn same_counts(report: &Report, outcomes: Option<&Outcomes>, again: &Evaluation, checks: &mut Checks) {
    let (there, here) = (report, &again.report);
    let (cost, cost_here) = (&there.cost, &here.cost);
    let mut parts = vec![
        ("right answers", there.quality == here.quality),
        ("fidelity", there.fidelity == here.fidelity),
        ("calibration", there.calibration == here.calibration),
        ("size", (cost.size_bytes, cost.file_bytes) == (cost_here.size_bytes, cost_here.file_bytes)),
        ("parameters", cost.parameters == cost_here.parameters),
        ("multiply-accumulates", cost.macs == cost_here.macs),
    ];
    if let Some(outcomes) = outcomes {
        let (there, here) = (outcomes.values(), again.outcomes.values());
        parts.push(("outcomes", there.right == here.right && there.js_micronats == here.js_micronats));
    }
    let wrong: Vec<&str> = parts.iter().filter(|(_, same)| !same).map(|(part, _)| *part).collect();
    let quality = &here.quality;
    let detail =
        format!("{} of {} right, and {} other figures the same", quality.correct, here.data.items, parts.len() - 1);
    let problem = format!("they don't follow from the outputs: {}", wrong.join(", "));
    checks.that("figures", wrong.is_empty(), detail, problem);
}

/// Two measurements of one ratio have intervals that overlap.
fn same_latency(there: &Report, here: &Report, checks: &mut Checks) {
    if judge(&there.latency) == LatencyVerdict::Skipped {
        return checks.ok("latency", "not timed: with these answers no latency could bring it above the gate");
    }
    let (ratio, ratio_here) = (there.latency.ratio, here.latency.ratio);
    let shown = |ratio: Estimate| {
        let unit = |ppm: i64| ppm as f64 / 1e6;
        format!("×{:.3} [{:.3}, {:.3}]", unit(ratio.value_ppm), unit(ratio.low_ppm), unit(ratio.high_ppm))
    };
    let both = format!("{} there, {} here", shown(ratio), shown(ratio_here));
    if ratio.low_ppm <= ratio_here.high_ppm && ratio_here.low_ppm <= ratio.high_ppm {
        return checks.ok("latency", both);
    }
    let machine = |host: &Host| format!("{}, {} cores", host.cpu_model, host.cores);
    let (machine_there, machine_here) = (machine(&there.host), machine(&here.host));
    match (judge(&there.latency), judge(&here.latency)) {
        _ if machine_there != machine_here => {
            checks.unclear("latency", format!("{both}; another machine: {machine_there} there, {machine_here} here"));
        }
        (_, LatencyVerdict::Unstable(_)) => checks.unclear("latency", format!("{both}; this machine is too restless")),
        (LatencyVerdict::Unstable(_), _) => checks.unclear("latency", format!("{both}; that machine was too restless")),
        _ => checks.bad("latency", format!("{both}: the intervals don't meet")),
    }
}
