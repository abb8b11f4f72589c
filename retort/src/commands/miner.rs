//! `retort miner`: check, submit and follow packages, whatever trained them.
//!
//! The check is the very admission function of the validator's door and the very engine of its worker.

use super::bench::{Neighbour, faster_neighbours};
use super::likeness::{self, Likeness, Likenesses};
use super::{competition, print_json};
use crate::cli::MinerCommand;
use crate::engine::{engine, phase_name};
use crate::progress::{Phases, upload_bar};
use crate::table;
use anyhow::{Context, Result, bail};
use copies::Relation;
use datasets::{Images, Logits};
use eval::Engine;
use miner_template::client::{Announcing, Client};
use miner_template::files::PackageFiles;
use models::DeviceKind;
use protocol::api::{
    AppealAnswer, AppealRequest, AppealView, BoardRow, Leaderboard, NameRequest, SubmissionStatus, TokenRequest,
};
use protocol::auth::Keypair;
use protocol::competition::{Competition, Manifest};
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Items, PackageBytes, Scope};
use protocol::package::{Admission, Admitted, EXPECTED_FILE, Expected, admit};
use protocol::score::{Ceiling, Score, score};
use protocol::submission::State;
use protocol::{CompetitionId, SubmissionId};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use validator::config::LatencyEffort;
use validator::why::WhyView;

/// How long a validator that doesn't answer is asked again: a restart, and some.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// Between two questions while waiting for a score.
const POLL: Duration = Duration::from_millis(500);
/// Bytes that a worker of `miner check` may use.
const CHECK_MEMORY_BYTES_MAX: u64 = 4 << 30;

pub(crate) fn run(command: MinerCommand) -> Result<()> {
    match command {
        MinerCommand::Check { package, competition, validator, rules_only, device, json } => {
            check(&package, &competition, &validator.validator, rules_only, device, json)
        }
        MinerCommand::Submit { package, competition: what, validator, hotkey, unchecked, invite, name, wait, json } => {
            let (client, id) = competition(&what, &validator.validator)?;
            let keypair = chain::keyfile::load(&hotkey)?;
            let manifest = client.competition(&id)?.competition.manifest;
            // What the validator would refuse costs no upload and no quota.
            if !unchecked {
                admitted(&PackageFiles::read(&package)?, &manifest)?;
            }
            if let Some(license) = &manifest.license {
                eprintln!("by submitting you give the model to everybody under {license}, as the competition says");
            }
            let submission = submit(&client, &id, &package, &Announcing { invite, name }, &keypair)?;
            let status = if wait { wait_for_end(&client, &submission)? } else { client.status(&submission)? };
            if json {
                print_json(&status)?;
            } else {
                println!("{}", describe(&status));
            }
            if !wait && !json {
                println!("follow it: retort miner status {submission} --validator {}", client.base());
            }
            fail_unless_good(&status)
        }
        MinerCommand::Token { validator, hotkey, label, days, json } => {
            let request = TokenRequest { label, expires_in_seconds: days * 24 * 3_600 };
            let created = Client::new(&validator.validator).token(&request, &chain::keyfile::load(&hotkey)?)?;
            if json {
                return print_json(&created);
            }
            // Alone on its line, so that HF_TOKEN=$(retort miner token …) is what it looks like.
            println!("{}", created.token);
            eprintln!("submits for {} for {days} days; it is told this once", created.view.hotkey);
            Ok(())
        }
        MinerCommand::Why { submission, validator, json } => {
            let client = Client::new(&validator.validator);
            let submission = super::submission(&client, &submission)?;
            let why: WhyView = client.get_json(&format!("/api/v1/submissions/{submission}/why"))?;
            if json {
                return print_json(&why);
            }
            println!("{}", told(&why));
            Ok(())
        }
        MinerCommand::Appeal { submission, text, validator, hotkey } => {
            let keypair = chain::keyfile::load(&hotkey)?;
            let client = Client::new(&validator.validator);
            let submission = super::submission(&client, &submission)?;
            let said = client.appeal(&submission, &AppealRequest { text }, &keypair)?;
            println!("{}", said.iter().map(quoted).collect::<Vec<_>>().join("\n"));
            println!("next: the operator answers; retort miner why {submission} shows it");
            Ok(())
        }
        MinerCommand::Name { name, validator, hotkey } => {
            let keypair = chain::keyfile::load(&hotkey)?;
            let NameRequest { name } = Client::new(&validator.validator).call(&NameRequest { name }, &keypair)?;
            println!("{} is {name}", keypair.hotkey());
            Ok(())
        }
        MinerCommand::Withdraw { submission, validator, hotkey } => {
            let keypair = chain::keyfile::load(&hotkey)?;
            let client = Client::new(&validator.validator);
            let status = client.withdraw(&super::submission(&client, &submission)?, &keypair)?;
            println!(
                "{} is {}; its place is free, and what it drew on your quota stays spent",
                status.id, status.state
            );
            Ok(())
        }
        MinerCommand::Status { submission, validator, follow, json } => {
            let client = Client::new(&validator.validator);
            let submission = super::submission(&client, &submission)?;
            if follow {
                return follow_to_the_end(&client, &submission, json);
            }
            let status = client.status(&submission)?;
            if json {
                print_json(&status)
            } else {
                println!("{}", describe(&status));
                Ok(())
            }
        }
    }
}

/// What `miner check` found, for `--json`.
#[derive(Serialize)]
struct Checked {
    admitted: bool,
    package_sha256: protocol::Digest,
    size_bytes: u64,
    costs: protocol::architecture::Costs,
    report: Option<protocol::Report>,
    score: Option<Score>,
    predicted_rank: Option<u32>,
    likenesses: Option<Likenesses>,
    /// Models that differ in one width and would be much faster.
    faster_neighbours: Vec<Neighbour>,
}

/// What the engine said of a package, and the board of it.
struct Trial {
    evaluation: Evaluation,
    score: Score,
    rank: Option<u32>,
    faster: Vec<Neighbour>,
}

fn check(package: &Path, what: &str, address: &str, rules_only: bool, device: DeviceKind, json: bool) -> Result<()> {
    let files = PackageFiles::read(package)?;
    if what.ends_with(".toml") {
        let text = std::fs::read_to_string(what).with_context(|| format!("read {what}"))?;
        let manifest = Manifest::from_toml(&text)?;
        let passed = admitted(&files, &manifest)?;
        tell_assumed(&passed, expected(&files, &manifest)?.as_deref());
        return show_checked(&passed, None, None, json);
    }
    let (client, id) = competition(what, address)?;
    let published = client.competition(&id)?.competition;
    let passed = admitted(&files, &published.manifest)?;
    let expected = expected(&files, &published.manifest)?;
    tell_assumed(&passed, expected.as_deref());
    let board = client.leaderboard(&id)?;
    let trial = if rules_only { None } else { Some(trial(&client, &published, &board, (&files, expected), device)?) };
    let logits = trial.as_ref().map(|trial| trial.evaluation.logits.as_slice());
    let likenesses = likeness::find(&client, &published, &board, &files, logits)?;
    show_checked(&passed, trial, Some(likenesses), json)
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
    let engine = engine(device, LatencyEffort::Quick)?;
    let evaluation = measure(&engine, &request)?;
    tell_compared(&request);
    let score = score(&evaluation.report, ceiling, &published.manifest.score);
    let faster = faster_neighbours(&engine, &request)?;
    Ok(Trial { rank: predicted_rank(board, &score), evaluation, score, faster })
}

/// What the package says that it answers, if it says so.
fn expected(files: &PackageFiles, manifest: &Manifest) -> Result<Option<Arc<Expected>>> {
    let Some(file) = &files.expected else { return Ok(None) };
    Expected::read(file, manifest.input.shape(), manifest.labels.len())
        .map(|expected| Some(Arc::new(expected)))
        .map_err(|rejection| anyhow::anyhow!("{rejection}. {}", rejection.code.hint()))
        .context("the validator would reject this package")
}

/// Says what nobody can see in a package that brings no answers to be compared with.
fn tell_assumed(passed: &Admitted, expected: Option<&Expected>) {
    let assumed: Vec<String> =
        passed.config.architecture.assumed().iter().map(|(field, value)| format!("{field} {value}")).collect();
    if expected.is_none() && !assumed.is_empty() {
        eprintln!(
            "assumed, since shapes don't show it and config.json doesn't say: {}. A model that was trained otherwise is \
             another function here: write it there, or bring {EXPECTED_FILE}, which is compared",
            assumed.join(", ")
        );
    }
}

/// Says how much of what the package says was compared.
fn tell_compared(request: &EvaluationRequest) {
    match request.expected.as_ref().map(|expected| expected.asks(&request.items.pixels).len()) {
        None => {}
        Some(0) => eprintln!("{EXPECTED_FILE} answers to none of the public items, so nothing was compared"),
        Some(compared) => eprintln!("{EXPECTED_FILE}: {compared} answers are the engine's"),
    }
}

/// The validator's own admission.
fn admitted(files: &PackageFiles, manifest: &Manifest) -> Result<Admitted> {
    let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
    admit(&files.config_json, &files.weights, &rules)
        .map_err(|rejection| anyhow::anyhow!("{rejection}. {}", rejection.code.hint()))
        .context("the validator would reject this package")
}

/// What the engine is asked for on the public part; also gives the teacher's right answers there.
fn request(
    client: &Client,
    published: &Competition,
    files: &PackageFiles,
    expected: Option<Arc<Expected>>,
) -> Result<(EvaluationRequest, Ceiling)> {
    let images = Images::from_bytes(&client.object(&published.public_images)?)?;
    let teacher = Logits::from_bytes(&client.object(&published.public_teacher_logits)?)?;
    let correct = miner_template::teacher::count_right(&teacher.values, &images.labels);
    let ceiling = Ceiling { correct: correct as u32, items: images.count };
    let request = EvaluationRequest {
        candidate: PackageBytes {
            config_json: files.config_json.as_slice().into(),
            weights: files.weights.as_slice().into(),
        },
        reference: PackageBytes {
            config_json: client.object(&published.reference.config_json)?.into(),
            weights: client.object(&published.reference.weights)?.into(),
        },
        items: Items {
            input: published.manifest.input.clone(),
            public: images.count,
            pixels: images.pixels.into(),
            labels: images.labels.into(),
            teacher_logits: Some(teacher.values.into()),
        },
        probes: Default::default(),
        expected,
        scope: Scope::Full,
        seed: rand::random(),
        wall_seconds_max: published.manifest.limits.evaluation_seconds_max,
        memory_bytes_max: CHECK_MEMORY_BYTES_MAX,
    };
    Ok((request, ceiling))
}

/// Runs the validator's own engine.
fn measure(engine: &Engine, request: &EvaluationRequest) -> Result<Evaluation> {
    let phases = Phases::new("check");
    let result = engine.evaluate(request, &|at| phases.at(phase_name(at.phase), at.percent.into(), 100));
    phases.finish();
    match result {
        Err(EvaluationFailure::Package(rejection)) => {
            bail!("the validator would reject this package: {rejection}. {}", rejection.code.hint())
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
    if json {
        let (report, score, predicted_rank, faster_neighbours) = match trial {
            Some(Trial { evaluation, score, rank, faster }) => (Some(evaluation.report), Some(score), rank, faster),
            None => (None, None, None, Vec::new()),
        };
        return print_json(&Checked {
            admitted: true,
            package_sha256: passed.package_sha256(),
            size_bytes: passed.size_bytes,
            costs: passed.costs,
            report,
            score,
            predicted_rank,
            likenesses,
            faster_neighbours,
        });
    }
    println!(
        "admitted: {}, {} parameters, {} MACs, {} as scored, {} of weights",
        passed.config.architecture.kind(),
        passed.costs.parameters,
        passed.costs.macs,
        table::bytes(passed.costs.size_bytes),
        table::bytes(passed.size_bytes)
    );
    if let Some(Trial { evaluation, score, rank, faster }) = trial {
        let (accuracy, ratio) = (score.accuracy, evaluation.report.latency.ratio);
        println!(
            "on the public part: accuracy {:.2} % [{:.2}, {:.2}], latency ×{:.3} [{:.3}, {:.3}] of the reference, \
             score {:.4} [{:.4}, {:.4}]{}",
            accuracy.value_ppm as f64 / 1e4,
            accuracy.low_ppm as f64 / 1e4,
            accuracy.high_ppm as f64 / 1e4,
            ratio.value_ppm as f64 / 1e6,
            ratio.low_ppm as f64 / 1e6,
            ratio.high_ppm as f64 / 1e6,
            score.composite.value_ppm as f64 / 1e6,
            score.composite.low_ppm as f64 / 1e6,
            score.composite.high_ppm as f64 / 1e6,
            if score.gate { "" } else { ", below the accuracy gate" },
        );
        match rank {
            Some(rank) => println!("predicted rank: {rank}"),
            None => println!("predicted rank: none, since it misses the accuracy gate"),
        }
        faster.iter().for_each(|neighbour| println!("faster: {}", neighbour.hint()));
    }
    if let Some(likenesses) = likenesses {
        show_likenesses(&likenesses);
    }
    Ok(())
}

/// What the validator would make of it beside the teacher, the reference and everybody's entries.
fn show_likenesses(Likenesses { found, compared, not_public }: &Likenesses) {
    for Likeness { of, relation } in found {
        match relation {
            Relation::Copy(_) => println!(
                "it equals {of}: it would count as a copy, without rank or pay, unless {of} is your own entry ({relation:?})"
            ),
            _ => println!("it is like {of} in one respect, which has no consequences alone ({relation:?})"),
        }
    }
    if !found.iter().any(|likeness| matches!(likeness.relation, Relation::Copy(_))) {
        println!(
            "no copy of the teacher, the reference or the {compared} entries whose weights are public ({not_public} are not \
             yet); the validator compares errors on secret items too"
        );
    }
}

/// Submits with a bar of bytes.
pub(crate) fn submit(
    client: &Client,
    id: &CompetitionId,
    package: &Path,
    with: &Announcing,
    keypair: &Keypair,
) -> Result<SubmissionId> {
    let files = PackageFiles::read(package)?;
    let bar = upload_bar(files.iter().map(|(_, bytes)| bytes.len() as u64).sum());
    let counter = bar.clone();
    let submission = client.submit(id, &files, with, keypair, &move |bytes| counter.inc(bytes));
    bar.finish_and_clear();
    Ok(submission?)
}

/// Asks until the submission has ended, and tells what it hears.
fn until_end(
    client: &Client,
    submission: &SubmissionId,
    mut hear: impl FnMut(&SubmissionStatus) -> Result<()>,
) -> Result<SubmissionStatus> {
    let mut silent_since = None;
    loop {
        let status = match client.status(submission) {
            Ok(status) => status,
            // A restart loses nothing: the submission goes on.
            Err(error) if error.is_passing() => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > SILENCE_MAX {
                    return Err(error.into());
                }
                std::thread::sleep(POLL);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        silent_since = None;
        hear(&status)?;
        if status.state.is_terminal() {
            return Ok(status);
        }
        std::thread::sleep(POLL);
    }
}

/// Waits with a bar of stages.
pub(crate) fn wait_for_end(client: &Client, submission: &SubmissionId) -> Result<SubmissionStatus> {
    let phases = Phases::new(submission.to_string());
    let ended = until_end(client, submission, |status| {
        if !status.state.is_terminal() {
            phases.at(status.state.as_str(), 0, 1);
        }
        Ok(())
    })?;
    phases.finish();
    Ok(ended)
}

/// Tells each change, one after the other, and fails if it ends badly.
fn follow_to_the_end(client: &Client, submission: &SubmissionId, json: bool) -> Result<()> {
    let mut told = None;
    let ended = until_end(client, submission, |status| {
        // The time left counts down, which is no change.
        let now = (status.state, status.queue_position);
        if told.replace(now) != Some(now) {
            match json {
                true => println!("{}", serde_json::to_string(status)?),
                false => println!("{} {}", super::when(status.changed_at), describe(status)),
            }
        }
        Ok(())
    })?;
    fail_unless_good(&ended)
}

/// A submission's story, a line for each fact.
fn told(why: &WhyView) -> String {
    let mut text = format!("{} in {}: {}", why.submission, why.competition, why.state);
    for fact in &why.facts {
        let round = fact.round.map_or(String::new(), |round| format!("round {round}: "));
        text.push_str(&format!("\n  {:12} {round}{}", fact.topic.as_str(), fact.sentence));
    }
    if let Some(reason) = &why.reason {
        text.push_str(&format!("\nblames the {:?}. {}", reason.blame, reason.hint));
    }
    why.appeals.iter().for_each(|appeal| text.push_str(&format!("\n{}", quoted(appeal))));
    text
}

/// An appeal with its answer.
fn quoted(appeal: &AppealView) -> String {
    let AppealView { number, text, at, answer } = appeal;
    let answer = match answer {
        Some(AppealAnswer { text, at }) => format!("answered {}: {text}", super::when(*at)),
        None => "not answered yet".into(),
    };
    format!("appeal {number} of {}: {text}\n  {answer}", super::when(*at))
}

fn describe(status: &SubmissionStatus) -> String {
    let name = status.name.as_ref().map_or_else(String::new, |name| format!("{name} ("));
    let end = if name.is_empty() { "" } else { ")" };
    let mut text = format!("{name}{}{end} in {}: {}", status.id, status.competition, status.state);
    if let Some(reason) = &status.reason {
        text.push_str(&format!("\n{}: {}\nblames the {:?}. {}", reason.code, reason.detail, reason.blame, reason.hint));
    }
    if let (Some(position), Some(eta)) = (status.queue_position, status.eta_seconds) {
        text.push_str(&format!(", {position} before it, about {eta} s left"));
    }
    let rank = status.row.as_ref().and_then(BoardRow::rank_label).or(status.rank.map(|rank| rank.to_string()));
    if let (Some(rank), Some(score)) = (rank, &status.score) {
        text.push_str(&format!(
            "\nrank {rank}, score {:.4}, accuracy {:.2} %",
            score.composite.value_ppm as f64 / 1e6,
            score.accuracy.value_ppm as f64 / 1e4
        ));
    }
    if let Some(row) = &status.row {
        std::iter::once(&row.why).chain(&row.details).for_each(|sentence| text.push_str(&format!("\n{sentence}")));
    }
    text
}

fn fail_unless_good(status: &SubmissionStatus) -> Result<()> {
    match status.state {
        State::Rejected | State::Failed | State::Expired | State::Withdrawn => {
            bail!("{} ended as {}", status.id, status.state)
        }
        _ => Ok(()),
    }
}
