//! `retort miner check`: what the validator would say of a package, by its own admission and its own engine, and what the
//! board would make of it.

use super::super::bench::{Neighbour, faster_neighbours};
use super::super::likeness::{self, Likeness, Likenesses};
use super::super::onnx::{self, Given};
use super::super::{competition_or_only, print_json};
use super::gate::{Gate, would_reject};
use crate::engine::{engine, evaluated, phase_name, stand_in};
use crate::progress::Phases;
use crate::{leave, table};
use anyhow::{Context, Result, bail};
use copies::{Relation, Signal, Tier};
use eval::Engine;
use miner_template::client::Client;
use miner_template::files::PackageFiles;
use miner_template::source::{self, public_part};
use models::DeviceKind;
use program::package::{Admitted, Package, admit};
use protocol::SubmissionId;
use protocol::api::Leaderboard;
use protocol::architecture::Architecture;
use protocol::competition::Manifest;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::package::{Admission, EXPECTED_FILE, Expected, Format, ModelKind, ONNX_FILE};
use protocol::published::Competition;
use protocol::score::{Ceiling, Score, score};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use validator::config::LatencyEffort;

/// Bytes that a worker may use.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// What `miner check` found, for `--json`.
#[derive(Serialize)]
struct Checked {
    admitted: bool,
    package_sha256: protocol::Digest,
    size_bytes: u64,
    costs: protocol::architecture::Costs,
    /// What it is: an architecture of the catalogue, or an ONNX graph with its operators.
    model: ModelKind,
    report: Option<protocol::Report>,
    /// Whether the report is the official engine's, so that its latency says something of the validator's.
    official: Option<bool>,
    score: Option<Score>,
    /// What the competition asks for.
    gate: Option<Gate>,
    predicted_rank: Option<u32>,
    likenesses: Option<Likenesses>,
    /// Models that differ in one width and would be much faster.
    faster_neighbours: Vec<Neighbour>,
}

/// What the engine said of a package, and the board of it.
struct Trial {
    evaluation: Evaluation,
    score: Score,
    gate: Gate,
    rank: Option<u32>,
    faster: Vec<Neighbour>,
    /// Why it was measured on another engine than the competition's, if it was.
    unofficial: Option<String>,
}

/// How a package is checked.
pub(super) struct How {
    pub(super) rules_only: bool,
    pub(super) device: DeviceKind,
    pub(super) out: Option<PathBuf>,
    pub(super) json: bool,
}

pub(super) fn check(package: &Path, what: Option<&str>, address: &str, how: &How) -> Result<()> {
    onnx::there(package)?;
    leave::last_words("stopped; nothing was sent, and nothing is left of it".into());
    if let Some(file) = what.filter(|what| what.ends_with(".toml")) {
        let manifest = source::manifest(file)?;
        let (given, passed) = checked(package, &manifest, how)?;
        tell_assumed(&passed, expected(&given.files, &manifest)?.as_deref());
        return show_checked(&passed, None, None, how.json);
    }
    let (client, id) = competition_or_only(what, address)?;
    let published = client.competition(&id)?.as_it_goes_on();
    let (given, passed) = checked(package, &published.manifest, how)?;
    let files = &given.files;
    let expected = expected(files, &published.manifest)?;
    tell_assumed(&passed, expected.as_deref());
    let board = client.leaderboard(&id)?;
    let trial = match how.rules_only {
        true => None,
        false => Some(trial(&client, &published, &board, (files, expected), how.device)?),
    };
    let logits = trial.as_ref().map(|trial| trial.evaluation.logits.as_slice());
    let likenesses = likeness::find(&client, &published, &board, files, logits)?;
    show_checked(&passed, trial, Some(likenesses), how.json)
}

/// Reads a package, holds it against the rules, and writes it where that is asked for.
fn checked(package: &Path, manifest: &Manifest, how: &How) -> Result<(Given, Admitted)> {
    let given = onnx::read(package, &manifest.labels)?;
    tell_made(&given);
    tell_left_out(&given);
    let passed = admitted(&given.files, manifest)?;
    match &how.out {
        Some(out) => {
            onnx::write(&given.files, out)?;
            eprintln!("wrote the package into {}", out.display());
            leave::last_words(format!("stopped; nothing was sent, and the package is in {}", out.display()));
        }
        None if !given.made.is_empty() => {
            eprintln!(
                "for `hf upload`, `retort miner check PATH --out DIR` writes the package that `miner submit` sends"
            );
        }
        None => {}
    }
    Ok((given, passed))
}

/// Measures a package as a validator would, only shorter, and looks where its widths lie.
fn trial(
    client: &Client,
    published: &Competition,
    board: &Leaderboard,
    (files, expected): (&PackageFiles, Option<Arc<Expected>>),
    device: DeviceKind,
) -> Result<Trial> {
    let (request, ceiling) = request(client, published, files, expected)?;
    // A prediction needs no more than the short preset; the validator measures at its own length.
    let mut engine = engine(device, LatencyEffort::Quick)?;
    let unofficial = stand_in(&mut engine, published.manifest.engine);
    let evaluation = measure(&engine, &request)?;
    tell_compared(&request.order);
    let score = score(&evaluation.report, ceiling, &published.manifest.score);
    // A graph has no widths that could be moved.
    let faster = match files.format {
        Format::Catalogue => faster_neighbours(&engine, &request.order)?,
        Format::Onnx => Vec::new(),
    };
    let gate = Gate::of(&published.manifest.score, ceiling);
    Ok(Trial { rank: predicted_rank(board, &score), evaluation, score, gate, faster, unofficial })
}

/// What the package says that it answers, if it says so.
fn expected(files: &PackageFiles, manifest: &Manifest) -> Result<Option<Arc<Expected>>> {
    let Some(file) = &files.expected else { return Ok(None) };
    Expected::read(file, manifest.input.shape(), manifest.labels.len())
        .map(|expected| Some(Arc::new(expected)))
        .map_err(|rejection| anyhow::anyhow!("{rejection}. {}", rejection.code.hint()))
        .context("the validator would reject this package")
}

/// Says what isn't sent, in the words in which `hf upload` hears it.
pub(super) fn tell_left_out(given: &Given) {
    let left_out = given.folder.as_deref().and_then(PackageFiles::left_out);
    left_out.iter().for_each(|words| eprintln!("left out: {words}"));
}

/// Says what was made of what lies there, which `hf upload` wouldn't do.
pub(super) fn tell_made(given: &Given) {
    given.made.iter().for_each(|words| eprintln!("{words}"));
}

/// Says what nobody can see in a package that brings no answers to be compared with.
fn tell_assumed(passed: &Admitted, expected: Option<&Expected>) {
    let kind = passed.kind();
    let assumed = kind.architecture().map(Architecture::assumed).unwrap_or_default();
    let assumed: Vec<String> = assumed.iter().map(|(field, value)| format!("{field} {value}")).collect();
    if expected.is_none() && !assumed.is_empty() {
        eprintln!(
            "assumed, since shapes don't show it and config.json doesn't say: {}. A model that was trained otherwise is \
             another function here: write it there, or bring {EXPECTED_FILE}, which is compared",
            assumed.join(", ")
        );
    }
}

/// Says how much of what the package says was compared.
fn tell_compared(order: &Order) {
    match order.expected.as_ref().map(|expected| expected.places().len()) {
        None => {}
        Some(0) => eprintln!("{EXPECTED_FILE} answers to none of the public items, so nothing was compared"),
        Some(compared) => eprintln!("{EXPECTED_FILE}: {compared} answers are the engine's"),
    }
}

/// The validator's own admission.
pub(super) fn admitted(files: &PackageFiles, manifest: &Manifest) -> Result<Admitted> {
    let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
    let package = Package { format: files.format, config_json: &files.config_json, model: &files.weights };
    admit(&package, &rules, &manifest.models)
        .map_err(|rejection| anyhow::anyhow!("{}", onnx::refused(files, &rejection)))
        .context("the validator would reject this package")
}

/// What the engine is asked for on the public part; also gives the teacher's right answers there.
fn request(
    client: &Client,
    published: &Competition,
    files: &PackageFiles,
    expected: Option<Arc<Expected>>,
) -> Result<(EvaluationRequest, Ceiling)> {
    let (items, teacher) = public_part(client, published)?;
    let correct = miner_template::teacher::count_right(&teacher.values, &items.labels);
    let ceiling = Ceiling { correct: correct as u32, items: items.count() };
    let Items { inputs, truth } = items.asked(&published.manifest.input, ceiling.items, Some(teacher.values));
    let order = Order {
        candidate: PackageBytes {
            config_json: files.config_json.as_slice().into(),
            weights: files.weights.as_slice().into(),
        },
        reference: PackageBytes {
            config_json: client.object(&published.reference.config_json)?.into(),
            weights: client.object(&published.reference.weights)?.into(),
        },
        inputs,
        probes: Default::default(),
        expected: None,
        engine: published.manifest.engine,
        backends: Vec::new(),
        scope: Scope::Full,
        seed: rand::random(),
        wall_seconds_max: published.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: MEMORY_BYTES_MAX,
    };
    Ok((EvaluationRequest::new(order, truth).claiming(expected)?, ceiling))
}

/// Runs the validator's own engine.
fn measure(engine: &Engine, request: &EvaluationRequest) -> Result<Evaluation> {
    let phases = Phases::new("check");
    let result = evaluated(engine, request, &|at| phases.at(phase_name(at.phase), at.percent.into(), 100));
    phases.finish();
    match result {
        Err(EvaluationFailure::Package(rejection)) => {
            bail!(would_reject(&rejection))
        }
        result => Ok(result?),
    }
}

/// The rank on the board as it stands; below the gate there is none.
fn predicted_rank(board: &Leaderboard, score: &Score) -> Option<u32> {
    let ranked = board.rows.iter().filter(|row| row.rank.is_some());
    let ahead = ranked.filter(|row| row.score_ppm >= score.composite.value_ppm).count() as u32;
    score.gate.then_some(ahead + 1)
}

fn show_checked(passed: &Admitted, trial: Option<Trial>, likenesses: Option<Likenesses>, json: bool) -> Result<()> {
    let is_copy = likenesses.as_ref().is_some_and(Likenesses::has_copy);
    if json {
        let official = trial.as_ref().map(|trial| trial.unofficial.is_none());
        let (report, score, gate, predicted_rank, faster_neighbours) = match trial {
            Some(Trial { evaluation, score, gate, rank, faster, unofficial: _ }) => {
                (Some(evaluation.report), Some(score), Some(gate), rank.filter(|_| !is_copy), faster)
            }
            None => (None, None, None, None, Vec::new()),
        };
        return print_json(&Checked {
            admitted: true,
            package_sha256: passed.package_sha256(),
            size_bytes: passed.size_bytes(),
            costs: passed.costs(),
            model: passed.kind(),
            report,
            official,
            score,
            gate,
            predicted_rank,
            likenesses,
            faster_neighbours,
        });
    }
    show_admitted(passed);
    if let Some(trial) = trial {
        show_trial(&trial, is_copy);
    }
    if let Some(likenesses) = likenesses {
        show_likenesses(&likenesses);
    }
    Ok(())
}

/// What it is and what it costs, before it is run.
fn show_admitted(passed: &Admitted) {
    let (kind, costs) = (passed.kind(), passed.costs());
    println!(
        "admitted: {}, {} parameters, {} MACs, {} as scored, {} of {}",
        kind.kind(),
        costs.parameters,
        costs.macs,
        table::bytes(costs.size_bytes),
        table::bytes(passed.size_bytes()),
        if kind.graph().is_some() { ONNX_FILE } else { "weights" }
    );
    if let Some(graph) = kind.graph() {
        println!(
            "operators: {}; {} of activations at most, {} beside the numbers",
            graph.operators_told(),
            table::bytes(costs.activation_bytes_peak),
            table::bytes(graph.graph_bytes)
        );
    }
}

/// What the engine found, the gate beside it, and where that would stand.
fn show_trial(Trial { evaluation, score, gate, rank, faster, unofficial }: &Trial, is_copy: bool) {
    let (accuracy, ratio, composite) = (score.accuracy, evaluation.report.latency.ratio, score.composite);
    println!(
        "on the public part: accuracy {:.2} % [{:.2}, {:.2}], latency ×{:.3} [{:.3}, {:.3}] of the reference, \
         score {:.4} [{:.4}, {:.4}]",
        accuracy.value_ppm as f64 / 1e4,
        accuracy.low_ppm as f64 / 1e4,
        accuracy.high_ppm as f64 / 1e4,
        ratio.value_ppm as f64 / 1e6,
        ratio.low_ppm as f64 / 1e6,
        ratio.high_ppm as f64 / 1e6,
        composite.value_ppm as f64 / 1e6,
        composite.low_ppm as f64 / 1e6,
        composite.high_ppm as f64 / 1e6,
    );
    unofficial.iter().for_each(|told| println!("the latency is {told}"));
    println!("the gate: {}", gate.beside(&accuracy));
    match rank {
        _ if is_copy => println!("predicted rank: none, since it is a copy (below)"),
        Some(rank) => println!(
            "predicted rank: {rank}, by public items alone; rounds decide by hidden ones that are shifted, turned, scaled, \
             mixed: a student has to learn from such (docs/HIDDEN_ROUNDS.md)"
        ),
        None => println!("predicted rank: none, since it misses the accuracy gate"),
    }
    faster.iter().for_each(|neighbour| println!("faster: {}", neighbour.hint()));
}

/// What the validator would make of it beside the teacher, the reference and everybody's entries.
fn show_likenesses(likenesses: &Likenesses) {
    for Likeness { of, relation } in &likenesses.found {
        let unless = match of.parse::<SubmissionId>() {
            Ok(_) => format!(", unless {of} is your own entry"),
            Err(_) => String::new(),
        };
        match relation {
            Relation::Copy(tier) => {
                let what = same(*tier);
                println!("it equals {of}: it would count as a copy, without rank or pay{unless} ({what})");
            }
            Relation::Suspicion(signal) => {
                let what = alike(*signal);
                println!("it is like {of} in one respect, which has no consequences alone ({what})");
            }
            Relation::KnownStart => {
                println!("it begins with the same known package as {of}, which has no consequences");
            }
            Relation::Independent => {}
        }
    }
    if !likenesses.has_copy() {
        println!("{}; the validator compares errors on secret items too", no_copy(likenesses));
    }
}

/// What it was compared with.
fn no_copy(Likenesses { compared, not_public, .. }: &Likenesses) -> String {
    let nobody = "no copy of the teacher or the reference";
    let entries = |count: usize| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
    match (*compared, *not_public) {
        (0, 0) => format!("{nobody}, and there are no entries yet"),
        (0, hidden) => format!("{nobody}; the weights of {} aren't public yet", entries(hidden)),
        (public, 0) => format!("{nobody}, nor of {} whose weights are public", entries(public)),
        (public, hidden) => {
            format!("{nobody}, nor of {} whose weights are public ({hidden} are not yet)", entries(public))
        }
    }
}

/// What makes it a copy, in a few words.
fn same(tier: Tier) -> &'static str {
    match tier {
        Tier::Bytes => "the same bytes",
        Tier::Canonical => "the same model in another encoding",
        Tier::Symmetric => "the same model with its units reordered",
        Tier::Function => "the same function in another shape",
        Tier::Outputs => "the same outputs",
        Tier::MatchedAndCorrelated => "its units match and its errors correlate",
    }
}

/// In what two models are alike.
fn alike(signal: Signal) -> &'static str {
    match signal {
        Signal::WeightMatch => "its units match",
        Signal::ResidualCorrelation => "its errors correlate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_was_compared() {
        let said = |compared, not_public| no_copy(&Likenesses { found: Vec::new(), compared, not_public });
        assert!(said(0, 0).ends_with("there are no entries yet"));
        assert!(said(0, 2).ends_with("the weights of 2 entries aren't public yet"));
        assert!(said(1, 0).ends_with("nor of 1 entry whose weights are public"));
        assert!(said(3, 1).ends_with("nor of 3 entries whose weights are public (1 are not yet)"));
    }
}
