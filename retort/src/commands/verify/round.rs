//! `retort verify round`: does a finished round again, from its commitment to its champion, and trusts nothing that it
//! can compute.

use super::checks::Checks;
use super::rerun::answers;
use crate::cli::VerifyRoundArgs;
use crate::commands::competition;
use anyhow::{Context, Result, bail};
use datasets::hidden::{DrandChain, Expected, Reveal, Revealed, relabel, verify_reveal};
use datasets::{Images, Logits};
use miner_template::client::Client;
use protocol::api::CompetitionView;
use protocol::evaluation::{Items, PackageBytes};
use std::sync::Arc;
use validator::db::rounds::Drawn;
use validator::rounds::RoundView;

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
            checks.unclear("judgement", "it rests on earlier rounds, which aren't read here yet");
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
