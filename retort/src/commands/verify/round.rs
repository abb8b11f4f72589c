//! `retort verify round`: does a finished round again, from its commitment to its champion, and trusts nothing that it
//! can compute.

use super::checks::Checks;
use super::rerun::answers;
use super::{HttpLog, line, log_key, witnesses};
use crate::cli::VerifyRoundArgs;
use crate::commands::competition;
use anyhow::{Context, Result, bail};
use datasets::hidden::{Beacon, DrandChain, Expected, Reveal, Revealed, relabel, verify_reveal};
use datasets::{Images, Logits};
use futures::executor::block_on;
use miner_template::client::Client;
use protocol::api::CompetitionView;
use protocol::competition::ObjectRef;
use protocol::evaluation::{Items, PackageBytes};
use protocol::outcomes::Outcomes;
use protocol::score::Ceiling;
use protocol::{Digest, Report};
use std::sync::Arc;
use transparency::{Envelope, verify_entries};
use validator::db::rounds::{Drawn, EntryRole};
use validator::rounds::RoundView;
use validator::rounds::referee::{Decision, Fighter, Referee};

pub(super) fn run(args: &VerifyRoundArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let view = client.competition(&id)?;
    let round: RoundView = client.get_json(&format!("/api/v1/competitions/{id}/rounds/{}", args.round))?;
    let (Some(reveal), Some(drawn)) = (round.reveal, round.drawn.clone()) else {
        bail!("round {} of {id} is {}, and only a revealed round can be done again", args.round, round.step);
    };
    let reveal = Reveal::from_bytes(&client.object(&reveal)?).context("read the reveal")?;
    let first = first_fixed_seed(&client, &view, &round)?;
    let mut checks = Checks::new(args.json);
    match again(&view, &round, &reveal, first.as_ref()) {
        Ok(revealed) => {
            let count = revealed.images.count;
            checks.ok("draw", format!("{count} items follow from commitment, beacon and secret"));
            items(&mut checks, &client, &drawn, &revealed)?;
            teacher(&mut checks, &client, &view, &drawn, &revealed)?;
            judgement(&mut checks, &client, &view, &round, &drawn)?;
            witnessed(&mut checks, &client, &view, &round, args)?;
        }
        Err(error) => checks.bad("draw", format!("{error:#}")),
    }
    checks.finish(&format!("round {} of {id}", args.round))
}

/// The seed of the fixed part, from the competition's first round; `None` if this is the first.
fn first_fixed_seed(client: &Client, view: &CompetitionView, round: &RoundView) -> Result<Option<[u8; 32]>> {
    if round.round == 1 {
        return Ok(None);
    }
    let path = format!("/api/v1/competitions/{}/rounds/1", view.competition.manifest.id);
    let first: RoundView = client.get_json(&path)?;
    let reveal = first.reveal.context("the first round isn't revealed")?;
    let reveal = Reveal::from_bytes(&client.object(&reveal)?).context("read the first round's reveal")?;
    Ok(Some(again(view, &first, &reveal, None).context("do the first round again")?.fixed_seed))
}

fn again(
    view: &CompetitionView,
    round: &RoundView,
    reveal: &Reveal,
    fixed_seed: Option<&[u8; 32]>,
) -> Result<Revealed> {
    let competition = &view.competition;
    let pool_root = competition.hidden_root.to_string();
    let expected = Expected {
        competition: competition.manifest.id.as_ref(),
        round: round.round,
        pool_root: &pool_root,
        pool_count: competition.manifest.data.hidden_items,
        rules: &competition.manifest.rounds,
        commitment: &round.commitment,
        beacon: round.beacon.as_ref(),
        chain: Some(&DrandChain::quicknet()),
        fixed_seed,
    };
    Ok(verify_reveal(reveal, &expected)?)
}

/// Whether the round was bound, and closed, before anybody could know its beacon, on the word of witnesses.
fn witnessed(
    checks: &mut Checks,
    client: &Client,
    view: &CompetitionView,
    round: &RoundView,
    args: &VerifyRoundArgs,
) -> Result<()> {
    let trusted = witnesses::trusted(&args.trusted, &view.competition.manifest.log)?;
    if trusted.is_empty() {
        eprintln!("not shown to be before the beacon: no witness is named, here (--witness) or in the manifest");
        return Ok(());
    }
    let key = log_key(client, None)?;
    let names = ["opened", "closed"].map(|what| (what, format!("round/{}/{}/{what}", round.competition, round.round)));
    let mut leaves = Vec::new();
    let read = verify_entries(&HttpLog(client), &key, None, |index, entry| {
        let found = Envelope::parse(entry).ok().and_then(|leaf| names.iter().find(|(_, name)| *name == leaf.key));
        leaves.extend(found.map(|(what, _)| (*what, index)));
    });
    let checkpoint = match block_on(read) {
        Ok(verified) => verified.checkpoint,
        Err(error) => {
            checks.bad("log", line(&error));
            return Ok(());
        }
    };
    if leaves.len() < names.len() {
        checks.bad("log", "it doesn't state that the round opened and closed");
        return Ok(());
    }
    let beacon_at = match &round.beacon {
        Some(Beacon::Drand { published, .. }) => Some(DrandChain::quicknet().round_unix(published.round)),
        Some(Beacon::Ledger { .. }) | None => None,
    };
    witnesses::before_beacon(checks, client, (&key, &checkpoint), &trusted, &leaves, beacon_at)
}

/// Whether the published items are those.
fn items(checks: &mut Checks, client: &Client, drawn: &Drawn, revealed: &Revealed) -> Result<()> {
    let published = Images::from_bytes(&client.object(&drawn.items)?)?;
    let holds = published == revealed.images && drawn.fixed == revealed.draw.fixed;
    let detail =
        format!("{} fixed and {} fresh ones, as published", drawn.fixed, published.count.saturating_sub(drawn.fixed));
    checks.that("items", holds, detail, "the published items are others than those that were drawn");
    Ok(())
}

/// Asks the teacher again, here, and gives mixtures its answers.
fn teacher(
    checks: &mut Checks,
    client: &Client,
    view: &CompetitionView,
    drawn: &Drawn,
    revealed: &Revealed,
) -> Result<()> {
    let published = Logits::from_bytes(&client.object(&drawn.teacher_logits)?)?;
    let package = |model: &protocol::competition::PublishedModel| -> Result<PackageBytes> {
        Ok(PackageBytes {
            config_json: client.object(&model.config_json)?.into(),
            weights: client.object(&model.weights)?.into(),
        })
    };
    let competition = &view.competition;
    let items = Items {
        input: competition.manifest.input.clone(),
        pixels: revealed.images.pixels.clone().into(),
        labels: revealed.images.labels.clone().into(),
        public: 0,
        teacher_logits: None,
    };
    let models = (package(&competition.teacher)?, package(&competition.reference)?);
    let logits = answers("the teacher", models, items, Arc::from([]))?.logits;
    let mut relabelled = revealed.images.clone();
    relabel(&mut relabelled, &revealed.draw, &logits, published.classes)?;
    match logits == published.values {
        true => checks.ok("teacher", "its outputs are bit for bit the published ones"),
        false => checks
            .unclear("teacher", "its outputs here aren't bit for bit the published ones: another class of machine?"),
    }
    let holds = relabelled.labels == revealed.images.labels;
    checks.that("labels", holds, "mixtures have the teacher's labels", "mixtures have other labels than the teacher's");
    Ok(())
}

/// Judges again from the published outcomes.
fn judgement(
    checks: &mut Checks,
    client: &Client,
    view: &CompetitionView,
    round: &RoundView,
    drawn: &Drawn,
) -> Result<()> {
    let mut fighters = Vec::new();
    for entry in round.entries.iter().filter(|entry| entry.role != EntryRole::Outsider) {
        let measured = match (entry.report, entry.outcomes) {
            (Some(report), Some(outcomes)) => Some(measured(client, &report, &outcomes)?),
            _ => None,
        };
        let submission = entry.submission.clone();
        fighters.push(Fighter { submission, role: entry.role, arrival: entry.arrival, measured });
    }
    let age = round.champion_age_seconds;
    let known: Ceiling = drawn.known_ceiling;
    let referee = Referee::new(&view.competition, known, age, Digest::from(*drawn.seed.as_bytes()));
    let Decision { verdicts, successor } =
        referee.decide(&fighters, drawn.fresh_ceiling, round.champion_before.is_some());
    let champion = successor.or(round.champion_before.clone());
    let published: Vec<_> = round
        .entries
        .iter()
        .filter(|entry| entry.role == EntryRole::Challenger)
        .filter_map(|entry| Some((entry.submission.clone(), entry.verdict?)))
        .collect();
    let holds = champion == round.champion && verdicts == published;
    let who = round.champion.as_ref().map_or("nobody".to_owned(), ToString::to_string);
    let detail = format!("{} measured, {} verdicts, and the seat is {who}'s", fighters.len(), verdicts.len());
    let problem = format!("here the seat goes to {champion:?}, there to {who}");
    checks.that("judgement", holds, detail, problem);
    Ok(())
}

fn measured(client: &Client, report: &ObjectRef, outcomes: &ObjectRef) -> Result<(Report, Outcomes)> {
    let report: Report = serde_json::from_slice(&client.object(report)?).context("read a report")?;
    let outcomes = Outcomes::from_bytes(&client.object(outcomes)?).context("read outcomes")?;
    if report.data.images_sha256 != outcomes.values().images_sha256 {
        bail!("a report and its outcomes are about different items");
    }
    Ok((report, outcomes))
}
